#!/bin/sh
# Usage: check-clean.sh COMMAND [ARG…]
# Runs the command and fails, naming what is left, if it leaves a muster process, a mount, a named network
# namespace or a muster cgroup behind. Otherwise exits as the command did.
set -eu

# One line for each thing that must not be left. A zombie is not listed: it only waits for init.
snapshot() {
	for comm in /proc/[0-9]*/comm; do
		pid=${comm#/proc/}
		pid=${pid%/comm}
		name=$(cat "$comm" 2>/dev/null) || continue
		case $name in muster*) ;; *) continue ;; esac
		grep -qs '^State:[[:space:]]*Z' "/proc/$pid/status" || echo "process $name (pid $pid)"
	done
	# /run/netns is a mount that the first "ip netns add" of a host makes and nobody ever takes away.
	awk '$5 != "/run/netns" {print "mount " $5}' /proc/self/mountinfo
	for netns in /run/netns/*; do
		[ ! -e "$netns" ] || echo "network namespace ${netns##*/}"
	done
	find /sys/fs/cgroup -type d -name 'muster*' 2>/dev/null | sed 's/^/cgroup /'
}

if [ ! -r /proc/self/mountinfo ]; then
	echo "check-clean: no /proc here: what is left behind is not checked" >&2
	exec "$@"
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
snapshot | sort >"$dir/before"

status=0
"$@" || status=$?

# What the kernel is still taking down gets a moment.
tries=0
while :; do
	snapshot | sort >"$dir/after"
	comm -13 "$dir/before" "$dir/after" >"$dir/left"
	tries=$((tries + 1))
	if [ ! -s "$dir/left" ] || [ "$tries" -ge 5 ]; then
		break
	fi
	sleep 1
done
if [ -s "$dir/left" ]; then
	echo "check-clean: left behind:" >&2
	sed 's/^/  /' "$dir/left" >&2
	[ "$status" != 0 ] || status=1
fi
exit "$status"

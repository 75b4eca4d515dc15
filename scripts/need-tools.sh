#!/bin/sh
# Installs what the tests need and a bare machine lacks: a C compiler, for the race detector needs cgo; curl, with
# which the scripts of tasks fetch files; shellcheck, which judges those scripts; systemd-analyze, which judges the
# unit. With "packages" also what looks into packages, with "e2e" what boots a machine.
set -eu

missing=
command -v "$(go env CC | cut -d' ' -f1)" >/dev/null 2>&1 || missing="gcc libc6-dev"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v shellcheck >/dev/null 2>&1 || missing="$missing shellcheck"
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
for what in "$@"; do
	case $what in
	packages) tools="rpm rpmlint lintian" ;;
	e2e) tools="debootstrap systemd-nspawn nsenter jq openssl" ;;
	esac
	for tool in $tools; do
		command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
	done
done
missing=$(echo "$missing" | sed 's/systemd-nspawn/systemd-container/; s/nsenter/util-linux/')
if [ -z "$missing" ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "make test: needs a C compiler with the C library's headers, curl, shellcheck and systemd-analyze; missing here: $missing" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	sudo="sudo -n"
	if ! $sudo true 2>/dev/null; then
		echo "make test: run 'apt-get install $missing' as root" >&2
		exit 1
	fi
fi
echo "make test: installing $missing" >&2
$sudo apt-get -qq update
# shellcheck disable=SC2086 # a list of packages
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing >/dev/null

#!/bin/sh
# Installs a C compiler where there is none: the race detector needs cgo.
set -eu

if command -v "$(go env CC | cut -d' ' -f1)" >/dev/null 2>&1; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "make test: the race detector needs a C compiler: install gcc and the C library headers" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	sudo="sudo -n"
	if ! $sudo true 2>/dev/null; then
		echo "make test: the race detector needs a C compiler: run 'apt-get install gcc libc6-dev' as root" >&2
		exit 1
	fi
fi
echo "make test: no C compiler, installing gcc and libc6-dev" >&2
$sudo apt-get -qq update
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install gcc libc6-dev >/dev/null

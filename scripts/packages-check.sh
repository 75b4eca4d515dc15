#!/bin/bash
# Makes the packages twice, which has to come to the same, and looks into them; and the content packs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
first=$(scripts/packages.sh)
second=$(scripts/packages.sh)
if [ "$first" != "$second" ]; then
	printf 'packages: not the same twice:\n%s\n%s\n' "$first" "$second" >&2
	exit 1
fi
go test -count=1 ./packaging -args -packages="$PWD/dist"
scripts/content.sh

#!/bin/sh
# Usage: fuzz.sh DURATION
# Runs every fuzz target of the module for that long, one after another, within 4 GiB each. The first start of a
# target takes a minute or two more: its packages are compiled for it.
set -eu
duration=$1
found=0
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
	for target in $(go test -list '^Fuzz' "$dir" | grep '^Fuzz'); do
		echo "== $dir $target"
		GOMEMLIMIT=4GiB go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "$dir"
		found=$((found + 1))
	done
done
echo "$found targets, $duration each: nothing found"
[ "$found" -gt 0 ]

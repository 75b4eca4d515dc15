#!/bin/sh
# Prints the version of packages, which sorts: that of the last tag, else the number of commits.
set -eu
described=$(git describe --tags --match 'v[0-9]*' 2>/dev/null || echo "v0.0.0-$(git rev-list --count HEAD)-g$(git rev-parse --short HEAD)")
echo "${described#v}" | sed 's/-/+/; s/-/./g'

#!/bin/bash
# Prints the closing line of a simulation, and all that it printed if it failed.
set -euo pipefail
said=$(cat)
if grep -q '^FAIL' <<<"$said" || ! grep -q '^ok ' <<<"$said"; then
	printf '%s\n' "$said"
	exit 1
fi
grep '^simulation: ' <<<"$said"

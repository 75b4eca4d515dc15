#!/bin/bash
# Prints the closing lines of simulations, and all that it printed if it failed.
set -euo pipefail
said=$(cat)
if grep -q '^FAIL' <<<"$said" || ! grep -q '^ok ' <<<"$said"; then
	printf '%s\n' "$said"
	exit 1
fi
grep -E '^(meetings|crowds|simulation|soak): ' <<<"$said"

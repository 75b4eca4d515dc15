#!/bin/bash
# Makes the content packs in dist/, in the form that DRP takes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$(scripts/version.sh)
mkdir -p dist
umask 022
for pack in packaging/content/*/; do
	name=$(sed -n 's/^Name: //p' "$pack/meta.yaml")
	go run ./cmd/muster-lab bundle "$pack" "v$version" >"dist/$name.json.new"
	mv "dist/$name.json.new" "dist/$name.json"
	echo "dist/$name.json"
done

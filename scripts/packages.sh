#!/bin/bash
# Makes dist/: deb, rpm and the bare program of muster for amd64 and arm64, byte for byte the same from the same commit.
# With "newer", dist/newer: those for amd64 of a version above it, for tests of upgrades.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PACKAGE_VERSION=$(scripts/version.sh)
dist=dist
arches=(amd64 arm64)
if [ "${1:-}" = newer ]; then
	dist=dist/newer
	arches=(amd64)
	PACKAGE_VERSION+=.newer
fi
export PACKAGE_VERSION
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C

stage=dist/stage
rm -rf "$stage" "$dist"/*.deb "$dist"/*.rpm "$dist"/muster_*_linux_* "$dist"/SHA256SUMS
trap 'rm -rf "$stage"' EXIT
umask 022

# The manual and the completions are those of the program itself.
mkdir -p "$dist" "$stage/man" "$stage/completion"
go run -tags manual ./cmd/muster "$stage/man"
gzip -n9 "$stage"/man/*
go build -o "$stage/native" ./cmd/muster
"$stage/native" completion bash >"$stage/completion/muster.bash"
"$stage/native" completion zsh >"$stage/completion/_muster"
"$stage/native" completion fish >"$stage/completion/muster.fish"
cat >"$stage/changelog.yaml" <<EOF
- semver: $PACKAGE_VERSION-1
  date: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
  packager: Muster authors <muster@muster.invalid>
  deb: {urgency: medium, distributions: [unstable]}
  changes:
    - note: Built from commit $(git rev-parse --short HEAD); what has changed is in its history.
EOF

for ARCH in "${arches[@]}"; do
	export ARCH
	CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH go build -trimpath -ldflags "-s -w -X main.version=$PACKAGE_VERSION" -o "$stage/$ARCH/" ./cmd/muster
	cp "$stage/$ARCH/muster" "$dist/muster_$PACKAGE_VERSION-1_linux_$ARCH" # for hosts without either
	for kind in deb rpm; do
		go tool -modfile=tools/go.mod nfpm package --packager "$kind" --target "$dist/" >"$stage/said" || { cat "$stage/said" >&2; exit 1; }
	done
done
rm -rf "$stage"
cd "$dist"
sha256sum -- *.deb *.rpm *_linux_* | tee SHA256SUMS

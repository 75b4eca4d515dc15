#!/bin/bash
# Makes dist/: deb and rpm of muster for amd64 and arm64, byte for byte the same from the same commit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A version that sorts: that of the last tag, else the number of commits.
described=$(git describe --tags --match 'v[0-9]*' 2>/dev/null || true)
if [ -z "$described" ]; then
	described=v0.0.0-$(git rev-list --count HEAD)-g$(git rev-parse --short HEAD)
fi
version=${described#v}
PACKAGE_VERSION=${version/-/+}
export PACKAGE_VERSION=${PACKAGE_VERSION//-/.}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C

stage=dist/stage
rm -rf dist
trap 'rm -rf "$stage"' EXIT
umask 022

# The manual and the completions are those of the program itself.
mkdir -p "$stage/man" "$stage/completion"
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

for ARCH in amd64 arm64; do
	export ARCH
	CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH go build -trimpath -ldflags "-s -w -X main.version=$PACKAGE_VERSION" -o "$stage/$ARCH/" ./cmd/muster
	for kind in deb rpm; do
		go tool -modfile=tools/go.mod nfpm package --packager "$kind" --target dist/ >"$stage/said" || { cat "$stage/said" >&2; exit 1; }
	done
done
rm -rf "$stage"
cd dist
sha256sum -- *.deb *.rpm | tee SHA256SUMS

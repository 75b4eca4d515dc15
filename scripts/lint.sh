#!/bin/sh
# Static checks. Each step names itself, so that a failure says which rule was broken.
set -eu

echo "lint: gofmt"
unformatted=$("$(go env GOROOT)/bin/gofmt" -l .)
if [ -n "$unformatted" ]; then
	echo "run gofmt -w on:" "$unformatted" >&2
	exit 1
fi
echo "lint: go vet"
go vet ./...
go vet -tags manual ./cmd/muster
echo "lint: staticcheck"
go tool -modfile=tools/go.mod staticcheck ./...
echo "lint: shellcheck"
scripts/need-tools.sh
shellcheck scripts/*.sh packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm
shellcheck -s sh packaging/rpm/post packaging/rpm/preun packaging/rpm/postun
echo "lint: go mod tidy"
go mod tidy -diff
(cd tools && go mod tidy -diff)

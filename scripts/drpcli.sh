#!/bin/bash
# Builds bin/drpcli, DRP's own client and runner, from the source of its module: without the few commands that need
# modules which nobody else can fetch, and which no document of ours uses.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
module=$(go list -m -f '{{.Dir}}' gitlab.com/rackn/provision/v4)
cd tools/drpcli
trap 'rm -rf source' EXIT
rm -rf source
cp -r "$module" source
chmod -R u+w source
cd source/cli
rm agent.go airgap.go archive.go content-archive.go info.go netwrangle.go static.go ./*_test.go
cat >without.go <<'END'
package cli

import (
	"slices"

	"github.com/spf13/cobra"
)

func contains(s []string, word string) bool { return slices.Contains(s, word) }

func agentHandler() *cobra.Command { return &cobra.Command{Use: "agent"} }
END
cd ../..
CGO_ENABLED=0 go build -o ../../bin/drpcli .

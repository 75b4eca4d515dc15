// Drpcli is DRP's client and runner, for tests on booted machines: scripts/drpcli.sh
// builds it.
package main

import (
	"os"

	"gitlab.com/rackn/provision/v4/cli"
)

func main() {
	if err := cli.NewApp().Execute(); err != nil {
		os.Exit(1) // it has said why
	}
}

//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// notForUs are upstream's tests that ask for more than the endpoint is.
var notForUs = map[string]string{
	"TestInfo":          "expects DHCP, TFTP and DNS servers",
	"TestBootEnvImport": "expects a file server on a port of its own, and ISO images that are unpacked",
}

// Upstream's own tests, as they are in the module cache, run against muster-lab in
// place of dr-provision. They use the fixed ports 10011 and 10021 of loopback.
func TestUpstreamSuites(t *testing.T) {
	bin := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
while [ $# -gt 0 ]; do
	if [ "$1" = --api-port ]; then port=$2; fi
	shift
done
exec %q endpoint serve --listen "127.0.0.1:$port"
`, labProgram(t))
	if err := os.WriteFile(filepath.Join(bin, "dr-provision"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, suite := range []struct {
		pkg   string
		least int // tests
	}{{"api", 9}, {"agent", 2}} {
		t.Run(suite.pkg, func(t *testing.T) {
			var skip []string
			for name := range notForUs {
				skip = append(skip, "^"+name+"$")
			}
			slices.Sort(skip)
			cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-timeout=5m", "-skip", strings.Join(skip, "|"),
				"gitlab.com/rackn/provision/v4/"+suite.pkg)
			cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "TMPDIR="+t.TempDir())
			cmd.WaitDelay = 10 * time.Second
			out, err := cmd.CombinedOutput()
			if passed := strings.Count(string(out), "\n--- PASS: "); err != nil || passed < suite.least {
				t.Errorf("%v, %d tests passed, want at least %d:\n%s", err, passed, suite.least, out)
			}
		})
	}
}

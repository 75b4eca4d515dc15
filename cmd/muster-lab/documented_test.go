//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The commands in docs/lab.md are run as they stand there, but for the address.
func TestDocumentedCommandsWork(t *testing.T) {
	text, err := os.ReadFile("../../docs/lab.md")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, "--log-level", "trace")
	script := "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		script += strings.ReplaceAll(block[1], "https://127.0.0.1:8092", s.url)
	}
	path := filepath.Dir(labProgram(t)) + string(os.PathListSeparator) + os.Getenv("PATH")
	out, errs, code := s.call("bash", []string{"-c", script}, "PATH="+path)
	for _, want := range []string{"2 members expected", "everybody is ready", "node-0", "drop-after"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
	if log := s.err.String(); !strings.Contains(log, "request") || strings.Contains(log, "r0cketsk8ts") {
		t.Errorf("the endpoint's log is:\n%s", log)
	}
}

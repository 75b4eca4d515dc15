//go:build linux

package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/lab/scenario"
)

// examples are the scenarios of the documents.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../docs/scenarios/*.yaml")
	if err != nil || len(files) != 5 {
		t.Fatalf("found %q, %v; want five examples", files, err)
	}
	return files
}

// runScenario runs a file and returns the exit code and the report.
func runScenario(t *testing.T, file string, args ...string) (int, scenario.Report, *program) {
	t.Helper()
	p := start(t, append([]string{"run", file, "-o", "json"}, args...)...)
	code := p.exit(t)
	var r scenario.Report
	if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil {
		t.Fatalf("exit code %d, %v:\n%s", code, err, &p.err)
	}
	p.leavesNothing(t)
	return code, r, p
}

func TestTheExampleScenariosPass(t *testing.T) {
	for _, file := range examples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			code, r, p := runScenario(t, file)
			if code != 0 || !r.Held || r.Error != "" || len(r.Expectations) == 0 {
				t.Errorf("exit code %d, held %v, error %q:\n%s", code, r.Held, r.Error, &p.err)
			}
		})
	}
}

// One run inverts all expectations of an example: it goes on after each.
func TestEveryExpectationOfTheExamplesFailsWhenItIsInverted(t *testing.T) {
	for _, file := range examples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			junit := filepath.Join(t.TempDir(), "junit.xml")
			code, r, p := runScenario(t, file, "--invert", "--junit", junit)
			if code != exitFailed || r.Held || r.Error != "" {
				t.Errorf("exit code %d, held %v, error %q:\n%s", code, r.Held, r.Error, &p.err)
			}
			for _, f := range r.Expectations {
				named := fmt.Sprintf("%s:%d: expected %s; seen ", file, f.Line, f.Expected)
				if f.Result != scenario.Failed || !strings.Contains(p.err.String(), named) {
					t.Errorf("line %d is %s, and not said to have failed by %q:\n%s", f.Line, f.Result, named, &p.err)
				}
			}
			raw, err := os.ReadFile(junit)
			if err != nil {
				t.Fatal(err)
			}
			var suites struct {
				Suites []struct {
					Tests    int `xml:"tests,attr"`
					Failures int `xml:"failures,attr"`
				} `xml:"testsuite"`
			}
			if err := xml.Unmarshal(raw, &suites); err != nil || len(suites.Suites) != 1 || suites.Suites[0].Tests != len(r.Expectations) || suites.Suites[0].Failures != len(r.Expectations) {
				t.Errorf("JUnit: %+v, %v; want %d failures of as many", suites, err, len(r.Expectations))
			}
		})
	}
}

//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/lab/bench"
)

// short is a plan that takes no time.
var short = plan{
	small: 2, middle: 3, large: 4, leaders: 1, runs: 2, largeRuns: 1, ttl: "3s", within: 50 * time.Millisecond, idle: time.Second,
}

func TestBenchesAreRunAsTheyArePlanned(t *testing.T) {
	t.Parallel()
	p := short
	dir := t.TempDir()
	p.program = filepath.Join(dir, "muster-lab")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", dir, "muster/cmd/muster", "muster/cmd/muster-lab")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := p.one(t.Context(), what{Kind: bench.Idle, Compat: "3.13", Members: 2, Lease: true, Processes: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Kind != bench.Idle || r.Compat != "3.13" || r.Members != 2 || r.Leaders != 1 || r.TTL != p.ttl || !r.Processes || r.ByEndpoint == nil {
		t.Errorf("the bench was %+v", r)
	}
}

// Stand-ins answer for the programs: what is measured is not looked at.
func TestTheDocumentTellsEveryGoalOfAPlan(t *testing.T) {
	t.Parallel()
	p, dir := short, t.TempDir()
	result, err := json.Marshal(fabricated(p, 1).Found[0].Runs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "muster-lab"), []byte("#!/bin/sh\necho '"+string(result)+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "muster"), make([]byte, 11e6), 0o600); err != nil {
		t.Fatal(err)
	}
	keep, out := filepath.Join(dir, "kept.json"), filepath.Join(dir, "performance.md")
	if err := measure(t.Context(), p, dir, "of a test", keep); err != nil {
		t.Fatal(err)
	}
	if err := write(p, keep, out); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, g := range (report{plan: p}).goals() {
		if !strings.Contains(text, "| "+g.figure+" | ") {
			t.Errorf("the goal %q is not in the document", g.figure)
		}
	}
	for _, want := range []string{"medians of 2 runs (N = 4: of 1)", "Muster of a test", "| barrier | 4 | 3.13 | ", "| failover, one lease of 3s | present | "} {
		if !strings.Contains(text, want) {
			t.Errorf("the document lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") || strings.Contains(text, "<no value>") {
		t.Errorf("there are figures that are none:\n%s", text)
	}
}

// fabricated are results in which all figures of all benches are the same.
func fabricated(p plan, n int64) report {
	r := report{plan: p, Size: n * 1e6}
	one := bench.Result{Members: 1, Seconds: 60, Requests: n, ByEndpoint: &bench.ByEndpoint{}, EachProcess: &bench.EachProcess{}}
	for _, members := range p.sizes() {
		for _, compat := range compats {
			for _, kind := range []string{bench.Form, bench.Barrier, bench.Idle, bench.Failover} {
				for _, lease := range []bool{false, true} {
					for _, processes := range []bool{false, true} {
						w := what{Kind: kind, Compat: compat, Members: members, Lease: lease, Processes: processes}
						r.Found = append(r.Found, ran{w, []bench.Result{one}})
					}
				}
			}
		}
	}
	return r
}

func TestAGoalThatIsMissedIsSaidWithItsReason(t *testing.T) {
	for n, want := range map[int64]string{10: "10 MB: met", 11: "11 MB: **missed**"} {
		text, _, err := render(fabricated(usual, n))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, want) || strings.Contains(text, "no linker can drop") != (n > 10) {
			t.Errorf("expected %q, and the reason only of what is missed:\n%s", want, text)
		}
	}
}

func TestReasonsAreOfGoals(t *testing.T) {
	var keys []string
	for _, g := range (report{plan: usual}).goals() {
		keys = append(keys, g.key)
	}
	for _, m := range regexp.MustCompile(`\{\{define "([^"]+)"`).FindAllStringSubmatch(document, -1) {
		if !slices.Contains(keys, m[1]) {
			t.Errorf("performance.tmpl has a reason for %q, which is none of %q", m[1], keys)
		}
	}
}

func TestMediansAreOfTheMiddleRuns(t *testing.T) {
	w := what{Kind: bench.Form}
	for want, list := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}} {
		rs := results{{What: w}}
		for _, s := range list {
			rs[0].Runs = append(rs[0].Runs, bench.Result{Seconds: s})
		}
		if got := rs.median(w, seconds); got != want {
			t.Errorf("median of %v is %v, want %v", list, got, want)
		}
	}
}

//go:build linux

package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/lab"
)

// programs builds both programs as `make build` does, once.
var programs = sync.OnceValue(func() error {
	var err error
	if built, err = os.MkdirTemp("", "programs"); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", built, "../cmd/muster", "../cmd/muster-lab")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
})

// newDemo is a demo in a temporary directory of its own, which, when the test
// ends, must be empty and used by no process.
func newDemo(t *testing.T, members, leaders int) (context.Context, lab.DemoConfig) {
	t.Helper()
	if err := programs(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "demo") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left := entries(t, dir); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		awaitNoProcess(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Minute, errors.New("gave up waiting"))
	t.Cleanup(cancel)
	return ctx, lab.DemoConfig{
		Members: members, Leaders: leaders, Seed: 1,
		Muster: filepath.Join(built, "muster"), Lab: filepath.Join(built, "muster-lab"),
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// awaitNoProcess gives what was killed a moment to go.
func awaitNoProcess(t *testing.T, dir string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); ; {
		left := processesOf(t, dir)
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Errorf("still running: %q", left)
			return
		}
	}
}

// processesOf lists the processes that have a directory in their arguments, their
// environment or as the place where they run.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	pids, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, pid := range pids {
		if filepath.Base(pid) == fmt.Sprint(os.Getpid()) {
			continue
		}
		args, _ := os.ReadFile(filepath.Join(pid, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(pid, "environ"))
		cwd, _ := os.Readlink(filepath.Join(pid, "cwd"))
		if strings.Contains(string(args)+"\x00"+string(env)+"\x00"+cwd, dir+"/") {
			found = append(found, filepath.Base(pid)+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}

func machines(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("node-%02d", i+1))
	}
	return names
}

// checkFormed checks what a demo of a cluster in which nothing fails promises.
func checkFormed(t *testing.T, cfg lab.DemoConfig, r lab.Result) {
	t.Helper()
	all := machines(cfg.Members)
	leaders := slices.Compact(slices.Sorted(slices.Values(r.Leaders)))
	if len(leaders) != cfg.Leaders || slices.ContainsFunc(leaders, func(l string) bool { return !slices.Contains(all, l) }) {
		t.Errorf("leaders are %q, want %d distinct members", r.Leaders, cfg.Leaders)
	}
	var slots []string
	for n := range cfg.Leaders {
		slots = append(slots, fmt.Sprintf("leader/%d", n+1))
	}
	if diff := cmp.Diff(slots, slices.Sorted(maps.Keys(r.Slots))); diff != "" {
		t.Errorf("slots differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(leaders, slices.Sorted(maps.Values(r.Slots))); diff != "" {
		t.Errorf("holders are not the leaders (-leaders +holders):\n%s", diff)
	}
	if diff := cmp.Diff(all, slices.Sorted(maps.Keys(r.Facts))); diff != "" {
		t.Errorf("fact sheets differ (-want +got):\n%s", diff)
	}
	for name, raw := range r.Facts {
		var sheet struct{ Schema int }
		if err := json.Unmarshal(raw, &sheet); err != nil || sheet.Schema < 1 {
			t.Errorf("fact sheet of %s: schema %d, %v: %s", name, sheet.Schema, err, raw)
		}
	}
	got := lab.Result{Members: r.Members, Verdict: r.Verdict, Failed: r.Failed, Missing: r.Missing, StepsRun: r.StepsRun, StepsEarly: r.StepsEarly}
	want := lab.Result{Members: cfg.Members, Verdict: "complete", Failed: []string{}, Missing: []string{}, StepsRun: cfg.Members}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result differs (-want +got):\n%s", diff)
	}
	if r.ReleaseMS.P50 <= 0 || r.ReleaseMS.Max < r.ReleaseMS.P50 {
		t.Errorf("release times are %+v", r.ReleaseMS)
	}
	if least := int64(2*cfg.Members + cfg.Leaders); r.Writes < least || r.Requests <= r.Writes || r.Bytes <= 0 || r.Seconds <= 0 {
		t.Errorf("counted %d requests, %d writes, %d bytes in %f s; want at least %d writes: each joins and completes, and leaders claim", r.Requests, r.Writes, r.Bytes, r.Seconds, least)
	}
}

func TestDemoFormsAClusterThatCanBeLookedAt(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat"+compat, func(t *testing.T) {
			ctx, cfg := newDemo(t, 5, 2)
			cfg.Compat = compat
			var last lab.Cluster
			cfg.Told = func(c lab.Cluster) { last = c }
			var formed lab.Result
			cfg.Formed = func(ctx context.Context, a lab.Access, r lab.Result) {
				formed = r
				status := exec.CommandContext(ctx, cfg.Muster, "status")
				status.Env = append(os.Environ(), "MUSTER_CONFIG="+filepath.Join(a.Dir, "node-02", "muster.yaml"))
				if out, err := status.CombinedOutput(); err != nil || !strings.Contains(string(out), "5 of 5 complete") {
					t.Errorf("muster status on a member: %v\n%s", err, out)
				}
				if !strings.HasPrefix(a.Endpoint, "https://127.0.0.1:") || a.User == "" || a.Password == "" || a.Profile != "demo" {
					t.Errorf("access is %+v", a)
				}
			}
			result, err := lab.Demo(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			checkFormed(t, cfg, result)
			if diff := cmp.Diff(result, formed); diff != "" {
				t.Errorf("the result while it ran differs (-end +formed):\n%s", diff)
			}
			want := lab.Cluster{Verdict: "complete"}
			for _, name := range machines(5) {
				m := lab.Member{Name: name, Joined: true, Task: 4, Tasks: 4, Result: "complete", Step: "done"}
				for slot, holder := range result.Slots {
					if holder == name {
						m.Slot = slot
					}
				}
				want.Members = append(want.Members, m)
			}
			if diff := cmp.Diff(want, last); diff != "" {
				t.Errorf("the last that was told differs (-want +got):\n%s", diff)
			}
		})
	}
}

// A host that stalls while slots are free makes members race for them. So it is
// a fault only if they do so each time.
func TestFormingTwentyMembersTakesAFewWritesEachAndFewConflicts(t *testing.T) {
	ctx, cfg := newDemo(t, 20, 3)
	var conflicts []string
	for len(conflicts) < 3 {
		result, err := lab.Demo(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		checkFormed(t, cfg, result)
		if 2*result.Writes > 7*20 {
			t.Errorf("%d writes are %.2f a member, want at most 3.5", result.Writes, float64(result.Writes)/20)
		}
		patches := result.Writes + result.Conflicts
		if 100*result.Conflicts <= 15*patches {
			return
		}
		conflicts = append(conflicts, fmt.Sprintf("%d of %d", result.Conflicts, patches))
	}
	t.Errorf("patches that were conflicts: %q; want at most 15 %%", conflicts)
}

func TestAFailedWorkflowFailsTheVerdictAndNoStepRuns(t *testing.T) {
	ctx, cfg := newDemo(t, 5, 2)
	cfg.Fail = "node-03"
	r, err := lab.Demo(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	got := lab.Result{Members: r.Members, Verdict: r.Verdict, Failed: r.Failed, Missing: r.Missing, StepsRun: r.StepsRun, StepsEarly: r.StepsEarly, ReleaseMS: r.ReleaseMS}
	want := lab.Result{Members: 5, Verdict: "failed", Failed: []string{"node-03"}, Missing: []string{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result differs (-want +got):\n%s", diff)
	}
}

func TestDemoThatIsEndedEarlyLeavesNothingBehind(t *testing.T) {
	ctx, cfg := newDemo(t, 3, 1)
	ctx, end := context.WithCancelCause(ctx)
	enough := errors.New("enough")
	cfg.Told = func(c lab.Cluster) {
		if slices.ContainsFunc(c.Members, func(m lab.Member) bool { return m.Joined }) {
			end(enough)
		}
	}
	if _, err := lab.Demo(ctx, cfg); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
}

// Without it the others would wait for its completion for ever.
func TestDemoEndsWhenAMachineLosesItsRunner(t *testing.T) {
	ctx, cfg := newDemo(t, 2, 1)
	cfg.Lab = "/bin/false"
	_, err := lab.Demo(ctx, cfg)
	if err == nil || !strings.Contains(err.Error(), " runner ended with exit status 1") {
		t.Errorf("got %v", err)
	}
}

func TestDemoThatCannotWorkIsRefused(t *testing.T) {
	good := lab.DemoConfig{Members: 2, Leaders: 1}
	for name, spoil := range map[string]func(*lab.DemoConfig){
		"no members":       func(c *lab.DemoConfig) { c.Members = 0 },
		"negative members": func(c *lab.DemoConfig) { c.Members = -1 },
		"negative leaders": func(c *lab.DemoConfig) { c.Leaders = -1 },
		"nobody fails":     func(c *lab.DemoConfig) { c.Fail = "node-03" },
		"long path": func(*lab.DemoConfig) {
			long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
			if err := os.Mkdir(long, 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", long)
		},
	} {
		cfg := good
		spoil(&cfg)
		if _, err := lab.Demo(t.Context(), cfg); !errors.Is(err, lab.ErrConfig) {
			t.Errorf("%s: got %v, want %v", name, err, lab.ErrConfig)
		}
	}
}

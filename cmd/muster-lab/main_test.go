package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/lab"
)

// built is where the programs lie once a test has asked for them.
var built string

// TestMain is also a muster-lab that serves an endpoint, for the benches of this process.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "endpoint" {
		main()
		return
	}
	code := m.Run()
	if err := os.RemoveAll(built); err != nil {
		fmt.Println(err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// buildOnce builds both programs as `make build` does.
var buildOnce = sync.OnceValue(func() error {
	var err error
	if built, err = os.MkdirTemp("", "programs"); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", built, "../muster", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
})

// labProgram is the path of a muster-lab with a muster beside it.
func labProgram(t *testing.T) string {
	t.Helper()
	if err := buildOnce(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(built, "muster-lab")
}

// call runs a command in this process.
func call(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	root := newRoot(&out, &errs)
	root.SetArgs(args)
	err = root.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}

func TestWrongUseSaysWhatIsWrongAndEndsWithTwo(t *testing.T) {
	t.Setenv("MUSTER_LAB_CONTROL", "")
	// These tests have no muster beside their program, so nothing can start.
	for args, want := range map[string]string{
		"nosuch":                  `unknown command "nosuch"`,
		"bench nosuch":            `kind: expected form, barrier, idle, failover, found "nosuch"`,
		"bench":                   "accepts 1 arg(s), received 0",
		"bench form --facts some": `facts: expected full, brief, off, found "some"`,
		"bench form --leaders 11": "found 10 and 11",
		"bench failover":          `found ttl "", 3 leaders, 10 members`,
		"bench form --processes":  "build both with `make build`",
		"bench form --ca-file a":  "--ca-file: expected --endpoint as well",
		"bench form --compat 3.13 --endpoint https://a": "it is what it is",
		"bench idle --for 0s":                           "to watch for 1 s or more",
		"endpoint nosuch":                               `unknown command "nosuch"`,
		"endpoint serve --compat 4":                     `--compat: expected 3.13, found "4"`,
		"endpoint serve --log-level loud":               `--log-level: expected trace, debug, info, warn, error or off, found "loud"`,
		"endpoint serve now":                            `unknown command "now"`,
		"endpoint machine add":                          "requires at least 1 arg(s)",
		"endpoint machine add a --param b":              `--param: expected KEY=VALUE, found "b"`,
		"endpoint machine list -o yaml":                 `-o: expected table or json, found "yaml"`,
		"endpoint workflow start":                       "requires at least 1 arg(s)",
		"endpoint workflow start w":                     "expected machines or --all",
		"endpoint workflow fail --all a":                "give machines or --all, not both",
		"endpoint token user a --ttl 1ms":               "--ttl: expected a second or more, found 1ms",
		"endpoint token profile a":                      "expected the endpoint's control socket in --control or MUSTER_LAB_CONTROL",
		"endpoint fault add":                            "accepts 1 arg(s), received 0",
		"endpoint fault clear":                          "expected ids of faults or --all",
		"endpoint fault clear 1 --all":                  "give ids of faults or --all, not both",
		"endpoint fault expire a --all":                 "give a principal or --all, not both",
		"endpoint fault clear one":                      `expected the id of a fault, a number, found "one"`,
		"endpoint fault expire":                         "expected a principal or --all",
		"endpoint fault restart --down -1s":             "--down: expected 0 or more",
		"demo now":                                      `unknown command "now"`,
		"demo --nosuch":                                 "unknown flag: --nosuch; see `muster-lab demo --help`",
		"demo --members many":                           `invalid argument "many" for "--members"`,
		"demo --compat 4":                               `--compat: expected 3.13, found "4"`,
		"demo -o yaml":                                  `-o: expected table or json, found "yaml"`,
		"demo":                                          "build both with `make build`",
		"note":                                          "accepts 1 arg(s), received 0",
		"runner --token-file /nosuch/file":              "--token-file: open /nosuch/file",
	} {
		_, _, err := call(t.Context(), strings.Fields(args)...)
		if err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("muster-lab %s: got exit %d, %v; want 2, %s", args, exitCode(err), err, want)
		}
	}
}

func TestHelpListsWhatPeopleUse(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}} {
		out, _, err := call(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		for name, listed := range map[string]bool{"  demo ": true, "  endpoint ": true, "  runner ": false, "  note ": false} {
			if strings.Contains(out, "\n"+name) != listed {
				t.Errorf("%q: listed %v, want %v:\n%s", args, !listed, listed, out)
			}
		}
	}
}

func TestExitCodesAreThoseOfMuster(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("%w: a flag", errUsage), 2},
		{fmt.Errorf("%w: too few", lab.ErrConfig), 2},
		{fmt.Errorf("%w: node-01", errPeerFailed), 8},
		{errors.New("anything else"), 1},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exit code of %v is %d, want %d", c.err, got, c.want)
		}
	}
}

// A demo is judged by what it promises, whatever the verdict says.
func TestDemoThatBreaksAPromiseFails(t *testing.T) {
	good := func() (lab.DemoConfig, lab.Result) {
		sheet := json.RawMessage("{}")
		return lab.DemoConfig{Members: 2, Leaders: 1}, lab.Result{
			Members: 2, Leaders: []string{"node-01"}, Verdict: "complete", StepsRun: 2,
			Facts: map[string]json.RawMessage{"node-01": sheet, "node-02": sheet},
		}
	}
	failing := func(c *lab.DemoConfig, r *lab.Result) {
		c.Fail, r.Verdict, r.Failed, r.StepsRun = "node-02", "failed", []string{"node-02"}, 0
	}
	for what, c := range map[string]struct {
		spoil func(*lab.DemoConfig, *lab.Result)
		exit  int
		says  string
	}{
		"all is well":               {func(*lab.DemoConfig, *lab.Result) {}, 0, ""},
		"more slots than members":   {func(c *lab.DemoConfig, r *lab.Result) { c.Leaders, r.Leaders = 9, []string{"node-01", "node-02"} }, 0, ""},
		"no leader":                 {func(_ *lab.DemoConfig, r *lab.Result) { r.Leaders = nil }, 1, "0 leaders, expected 1"},
		"a sheet is missing":        {func(_ *lab.DemoConfig, r *lab.Result) { delete(r.Facts, "node-02") }, 1, "1 fact sheets, expected 2"},
		"a step did not run":        {func(_ *lab.DemoConfig, r *lab.Result) { r.StepsRun = 1 }, 1, "1 steps run, expected 2"},
		"a step ran early":          {func(_ *lab.DemoConfig, r *lab.Result) { r.StepsEarly = 1 }, 1, "1 steps ran early"},
		"another verdict":           {func(_ *lab.DemoConfig, r *lab.Result) { r.Verdict = "partial" }, 1, `verdict "partial", expected complete`},
		"one failed as told":        {failing, exitPeerFailed, "node-02"},
		"another failed":            {func(c *lab.DemoConfig, r *lab.Result) { failing(c, r); r.Failed = []string{"node-01"} }, 1, "expected node-02"},
		"failed, but complete":      {func(c *lab.DemoConfig, r *lab.Result) { failing(c, r); r.Verdict = "complete" }, 1, `verdict "complete", expected failed`},
		"failed, but a step ran":    {func(c *lab.DemoConfig, r *lab.Result) { failing(c, r); r.StepsRun = 1 }, 1, "1 steps run, expected 0"},
		"failed, and no leader too": {func(c *lab.DemoConfig, r *lab.Result) { failing(c, r); r.Leaders = nil }, 1, "0 leaders, expected 1"},
	} {
		cfg, result := good()
		c.spoil(&cfg, &result)
		err, exit := judge(cfg, result), 0
		if err != nil {
			exit = exitCode(err)
		}
		if exit != c.exit || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: got exit %d, %v; want %d, %s", what, exit, err, c.exit, c.says)
		}
	}
}

// until asks again and again until the answer is yes.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("gave up waiting: " + what)
		}
	}
}

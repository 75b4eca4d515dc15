//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"
)

// output collects what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// program is a muster-lab process with a temporary directory of its own.
type program struct {
	cmd      *exec.Cmd
	tmp      string
	out, err output
	ended    chan struct{}
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	tmp, err := os.MkdirTemp("", "lab") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command(labProgram(t), args...), tmp: tmp, ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // exit looks at how it ended
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if err := os.RemoveAll(tmp); err != nil {
			t.Error(err)
		}
	})
	return p
}

// exit waits for the end, and returns the exit code.
func (p *program) exit(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		t.Fatalf("it does not end:\n%s%s", &p.out, &p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *program) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// demoDirs are the directories that demos have left, or still use.
func (p *program) demoDirs(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(p.tmp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// children are the processes of the demo, those of its tasks too.
func (p *program) children() []string {
	var found []string
	pids, _ := filepath.Glob("/proc/[0-9]*")
	for _, pid := range pids {
		args, _ := os.ReadFile(filepath.Join(pid, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(pid, "environ"))
		if strings.Contains(string(env), "\x00MUSTER_CONFIG="+p.tmp+"/") {
			found = append(found, filepath.Base(pid)+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}

// leavesNothing wants nothing left of a demo that has ended. What it killed has
// a moment to go.
func (p *program) leavesNothing(t *testing.T) {
	t.Helper()
	if dirs := p.demoDirs(t); len(dirs) > 0 {
		t.Errorf("left behind: %q", dirs)
	}
	until(t, "the children are gone", func() bool { return len(p.children()) == 0 })
}

func TestDemoPrintsItsResultAsJSONAndProgressAsLines(t *testing.T) {
	p := start(t, "demo", "--members", "2", "--leaders", "1", "-o", "json")
	if code := p.exit(t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, &p.err)
	}
	d := json.NewDecoder(strings.NewReader(p.out.String()))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var value any
		if err := d.Decode(&value); err != nil || value == nil {
			t.Errorf("%v: got %v, %v; want a value", key, value, err)
		}
	}
	want := "members leaders slots facts verdict failed missing steps_run steps_early release_ms requests writes conflicts bytes_to_clients seconds"
	if diff := cmp.Diff(strings.Fields(want), keys); diff != "" {
		t.Errorf("keys differ (-want +got):\n%s", diff)
	}
	for _, line := range []string{
		"node-01  joined", "node-02  joined", "node-01  workflow complete", "node-02  workflow complete",
		"verdict  complete", "node-01  step done", "node-02  step done",
	} {
		if strings.Count("\n"+p.err.String(), "\n"+line+"\n") != 1 {
			t.Errorf("no line, or more than one, says %q:\n%s", line, &p.err)
		}
	}
	p.leavesNothing(t)
}

func TestDemoWithAFailedWorkflowEndsWithEight(t *testing.T) {
	p := start(t, "demo", "--members", "2", "--leaders", "1", "--fail", "node-02", "--compat", "3.13")
	if code := p.exit(t); code != exitPeerFailed {
		t.Errorf("exit code %d, want 8:\n%s", code, &p.err)
	}
	if !strings.HasSuffix(p.err.String(), "\nmuster-lab: a machine's workflow failed: node-02\n") || !strings.Contains(p.out.String(), "\nfailed       node-02\n") {
		t.Errorf("it says\n%s%s", &p.out, &p.err)
	}
}

func TestImpossibleDemoEndsWithTwo(t *testing.T) {
	for args, want := range map[string]string{
		"--members 0":   "expected at least 1 member",
		"--members -1":  "expected at least 1 member",
		"--fail nobody": `no machine is called "nobody"; expected one of node-01 to node-05`,
	} {
		p := start(t, append([]string{"demo"}, strings.Fields(args)...)...)
		if code := p.exit(t); code != exitUsage || !strings.Contains(p.err.String(), want) {
			t.Errorf("demo %s: exit code %d, want 2 and %s:\n%s", args, code, want, &p.err)
		}
	}
}

func TestKeptDemoCanBeLookedAtAsItSaysUntilItIsInterrupted(t *testing.T) {
	p := start(t, "demo", "--members", "2", "--leaders", "1", "--keep")
	until(t, "the demo says how to look at it", func() bool { return strings.Contains(p.err.String(), "Interrupt (Ctrl-C)") })
	command := regexp.MustCompile(`(?m)^  (MUSTER_CONFIG=\S+ \S+ status)$`).FindStringSubmatch(p.err.String())
	if command == nil {
		t.Fatalf("no command for the status:\n%s", &p.err)
	}
	out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", command[1]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "2 of 2 complete") {
		t.Errorf("%s: %v\n%s", command[1], err, out)
	}
	if !strings.Contains(p.out.String(), "\nsteps        2 run, 0 early\n") {
		t.Errorf("the result is not there while the cluster runs:\n%s", &p.out)
	}
	if len(p.children()) == 0 {
		t.Error("no agent or runner runs")
	}
	p.signal(t, syscall.SIGINT)
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, &p.err)
	}
	p.leavesNothing(t)
}

func TestSignalInTheMiddleTakesTheDemoDown(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		p := start(t, "demo", "--members", "2", "--leaders", "1")
		until(t, "a member has joined", func() bool { return strings.Contains(p.err.String(), "joined") })
		p.signal(t, s)
		if code := p.exit(t); code != exitFailed {
			t.Errorf("%v: exit code %d, want 1", s, code)
		}
		if want := "muster-lab: demo: ended early: " + s.String() + " signal received\n"; !strings.HasSuffix(p.err.String(), want) {
			t.Errorf("%v: got\n%s\nwant %s", s, &p.err, want)
		}
		p.leavesNothing(t)
	}
}

func TestKilledDemoTakesItsProcessesAlong(t *testing.T) {
	p := start(t, "demo", "--members", "2", "--leaders", "1", "--keep")
	until(t, "two agents, two runners and a task run", func() bool { return len(p.children()) > 4 })
	p.signal(t, syscall.SIGKILL)
	p.exit(t)
	until(t, "the children are gone", func() bool { return len(p.children()) == 0 })
}

func TestEndpointServesUntilItIsToldToStop(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	p := start(t, "endpoint", "serve", "--listen", "127.0.0.1:0", "--ca-file", ca)
	until(t, "the endpoint says where it is", func() bool { return strings.Count(p.out.String(), "\n") == 4 })
	said := map[string]string{}
	for line := range strings.Lines(p.out.String()) {
		if fields := strings.Fields(line); len(fields) == 2 {
			said[fields[0]] = fields[1]
		}
	}
	client, err := api.UserSessionTokenProxyContextServer(t.Context(), said["endpoint"], said["user"], said["password"], true, false, true, ca)
	if err != nil {
		t.Fatalf("log in at %q: %v", said, err)
	}
	defer client.Close()
	profile := &models.Profile{Name: "made"}
	if err := client.CreateModel(profile); err != nil {
		t.Fatal(err)
	}
	if ok, err := client.ExistsModel("profiles", "made"); err != nil || !ok {
		t.Errorf("the profile that was made exists: %v, %v", ok, err)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, &p.err)
	}
}

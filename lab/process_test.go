//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// generous bounds a wait for what must happen.
const generous = time.Minute

// within is a context for such a wait.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), generous, errors.New("gave up waiting"))
	t.Cleanup(cancel)
	return ctx
}

// shell starts a script as a process of a member; it is stopped with the test.
func shell(t *testing.T, p *Processes, home, kind, script string) *Process {
	t.Helper()
	t.Cleanup(p.Stop)
	proc, err := p.Start(home, kind, os.Environ(), "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	return proc
}

// awaitFile waits until a file has a line, and returns it.
func awaitFile(t *testing.T, file string) string {
	t.Helper()
	var raw []byte
	err := await(within(t), func() bool {
		raw, _ = os.ReadFile(file)
		return strings.HasSuffix(string(raw), "\n")
	})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return strings.TrimSpace(string(raw))
}

// running tells a process that runs from one that is gone, or that only its
// parent has still to notice.
func running(t *testing.T, pid string) bool {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		return false
	}
	return !strings.Contains(string(status), "\nState:\tZ")
}

func TestStopKillsWhatIgnoresTermWithAllThatItStarted(t *testing.T) {
	home := t.TempDir()
	p := NewProcesses(time.Millisecond)
	procs, children := map[string]*Process{}, map[string]string{}
	for _, kind := range []string{"first", "second"} {
		file := filepath.Join(home, kind+".child")
		procs[kind] = shell(t, p, home, kind, `trap "" TERM; sleep 600 & echo $! > `+file+`; wait`)
		children[kind] = awaitFile(t, file)
		if !running(t, children[kind]) {
			t.Fatal("the grandchild does not run before the stop")
		}
	}
	p.Stop()
	for kind, proc := range procs {
		if got := proc.cmd.ProcessState.String(); got != "signal: killed" {
			t.Errorf("the %s process ended with %s, want signal: killed", kind, got)
		}
		if err := await(within(t), func() bool { return !running(t, children[kind]) }); err != nil {
			t.Errorf("the grandchild of the %s: %v", kind, err)
		}
	}
}

// A process that ends at once may leave something behind that does not.
func TestStopKillsWhatAnEndedProcessLeftBehind(t *testing.T) {
	home := t.TempDir()
	p := NewProcesses(time.Millisecond)
	proc := shell(t, p, home, "brief", `(trap "" TERM; exec sleep 600) & echo $! > `+home+`/child`)
	child := awaitFile(t, filepath.Join(home, "child"))
	if err := proc.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if err := await(within(t), func() bool { return !running(t, child) }); err != nil {
		t.Errorf("the grandchild %s: %v", child, err)
	}
}

func TestStopLetsProcessesEndThemselves(t *testing.T) {
	home := t.TempDir()
	p := NewProcesses(generous)
	proc := shell(t, p, home, "tidy", `trap "echo over > `+home+`/end; exit 7" TERM; echo > `+home+`/ready; while :; do sleep 0.02; done`)
	awaitFile(t, filepath.Join(home, "ready"))
	p.Stop()
	if got := proc.cmd.ProcessState.ExitCode(); got != 7 {
		t.Errorf("got exit code %d, want its own 7", got)
	}
	if got := awaitFile(t, filepath.Join(home, "end")); got != "over" {
		t.Errorf("its last act wrote %q, want over", got)
	}
}

func TestServeTellsOfAProcessThatEndsWithItsLastWords(t *testing.T) {
	home := filepath.Join(t.TempDir(), "node-01")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	p := NewProcesses(generous)
	t.Cleanup(p.Stop)
	lost := make(chan error, 1)
	err := p.serve(func(err error) { lost <- err }, home, "agent", os.Environ(),
		"/bin/sh", "-c", "for i in 1 2 3 4 5 6 7; do echo line $i; done; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-lost:
		want := "node-01 agent ended with exit status 3: line 3\nline 4\nline 5\nline 6\nline 7"
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	case <-within(t).Done():
		t.Error("nobody was told")
	}
}

func TestWaitsEndWithTheirContext(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := await(ctx, func() bool { return false }); !errors.Is(err, cause) {
		t.Errorf("await: got %v, want %v", err, cause)
	}
	p := NewProcesses(time.Millisecond)
	if err := shell(t, p, t.TempDir(), "long", "sleep 600").Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("wait: got %v, want %v", err, cause)
	}
}

func TestWhatCannotStartIsAnErrorThatNamesIt(t *testing.T) {
	home := t.TempDir()
	_, err := NewProcesses(0).Start(home, "agent", nil, filepath.Join(home, "none"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(fmt.Sprint(err), "agent") {
		t.Errorf("got %v", err)
	}
}

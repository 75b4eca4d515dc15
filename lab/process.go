package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// processes are the members' processes, each the leader of a process group of
// its own, with its output in a file beside its configuration.
type processes struct {
	mu   sync.Mutex
	list []*process
}

type process struct {
	home, kind string
	cmd        *exec.Cmd
	log        string
	ended      chan struct{}
	err        error // how it ended; valid once ended is closed
}

func newProcesses() *processes { return &processes{} }

// start starts a program for the member that lives in home.
func (p *processes) start(home, kind string, env []string, program string, args ...string) error {
	proc := &process{home: home, kind: kind, cmd: exec.Command(program, args...), log: filepath.Join(home, kind+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(proc.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	proc.cmd.Env, proc.cmd.Stdout, proc.cmd.Stderr = env, log, log
	proc.cmd.SysProcAttr = groupLeader()
	if err := proc.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", kind, err)
	}
	go func() {
		proc.err = proc.cmd.Wait()
		close(proc.ended)
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, proc)
	return nil
}

func (p *processes) find(home, kind string) *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, proc := range p.list {
		if proc.home == home && proc.kind == kind {
			return proc
		}
	}
	return nil
}

// awaitEvery is how often a condition is looked at that nothing announces.
const awaitEvery = 20 * time.Millisecond

// await waits until until holds, or, if it is nil, until the process has ended.
// A process that ends before until holds is an error, with its last words.
func (p *processes) await(ctx context.Context, home, kind string, until func() bool) error {
	proc := p.find(home, kind)
	if proc == nil {
		return fmt.Errorf("%s was never started", kind)
	}
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for {
		if until != nil && until() {
			return nil
		}
		select {
		case <-proc.ended:
			if until == nil {
				return nil
			}
			return fmt.Errorf("it ended (%v): %s", proc.err, proc.tail())
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tail is the end of what a process printed.
func (p *process) tail() string {
	raw, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// tails are the last words of every process.
func (p *processes) tails() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, proc := range p.list {
		fmt.Fprintf(&b, "--- %s %s\n%s\n", filepath.Base(proc.home), proc.kind, proc.tail())
	}
	return b.String()
}

// stopWait is how long processes have to end once they are told to. It is more
// than a runner takes to report the task that it gives up.
const stopWait = 10 * time.Second

// stop ends every process and what it started: by SIGTERM, and what is left
// after a while by SIGKILL.
func (p *processes) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, proc := range p.list {
		proc.signal(syscall.SIGTERM)
	}
	late := time.After(stopWait)
	for _, proc := range p.list {
		select {
		case <-proc.ended:
		case <-late:
			late = closedTime // the others have had their time too
		}
		proc.signal(syscall.SIGKILL)
		<-proc.ended
	}
}

// closedTime is a channel of a time that has passed.
var closedTime = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// signal sends a signal to the whole group; one that is gone is no fault.
func (p *process) signal(s syscall.Signal) {
	if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		_ = p.cmd.Process.Signal(s) // a group that cannot be reached: at least its leader
	}
}

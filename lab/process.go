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

// Processes are the members' processes, each the leader of a process group of
// its own, with its output in a file beside its configuration. They end with this
// process at the latest. It is safe for concurrent use.
type Processes struct {
	patience time.Duration // how long those that are told to end have for it

	mu       sync.Mutex
	list     []*Process
	watchers sync.WaitGroup
}

// Process is one of them.
type Process struct {
	name  string // base name of its home, and kind
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
	err   error // how it ended; valid once ended is closed
}

// NewProcesses starts none yet. patience is how long those that are told to end have
// for it.
func NewProcesses(patience time.Duration) *Processes { return &Processes{patience: patience} }

// Start starts a program for the member that lives in home. Its output goes to
// KIND.log there.
func (p *Processes) Start(home, kind string, env []string, program string, args ...string) (*Process, error) {
	proc := &Process{
		name: filepath.Base(home) + " " + kind, log: filepath.Join(home, kind+".log"),
		cmd: exec.Command(program, args...), ended: make(chan struct{}),
	}
	log, err := os.OpenFile(proc.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	proc.cmd.Env, proc.cmd.Stdout, proc.cmd.Stderr = env, log, log
	proc.cmd.SysProcAttr = groupLeader()
	if err := proc.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", proc.name, err)
	}
	go func() {
		proc.err = proc.cmd.Wait()
		close(proc.ended)
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, proc)
	return proc, nil
}

// serve is Start for a program that has to run until Stop; lost is told if it
// ends, at the latest by then.
func (p *Processes) serve(lost func(error), home, kind string, env []string, program string, args ...string) error {
	proc, err := p.Start(home, kind, env, program, args...)
	if err != nil {
		return err
	}
	p.watchers.Go(func() {
		<-proc.ended
		lost(proc.Fault())
	})
	return nil
}

// awaitEvery is how often a condition is looked at that nothing announces.
const awaitEvery = 20 * time.Millisecond

// await waits until a condition holds.
func await(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// PID is that of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits until the process has ended, or returns why ctx has.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Fault says how a process ended that should not have, with its last words.
func (p *Process) Fault() error {
	return fmt.Errorf("%s ended with %v: %s", p.name, p.cmd.ProcessState, p.tail())
}

// Outcome says how a process has ended: its exit status, with what it said last unless
// that is 0.
func (p *Process) Outcome() string {
	said := p.tail()
	if p.err == nil || said == "" {
		return fmt.Sprintf("ended with %v", p.cmd.ProcessState)
	}
	return fmt.Sprintf("ended with %v: %s", p.cmd.ProcessState, said[strings.LastIndexByte(said, '\n')+1:])
}

// tail is the end of what a process printed.
func (p *Process) tail() string {
	raw, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// Tails are the last words of every process.
func (p *Processes) Tails() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	shown := map[string]bool{} // logs: the processes of a kind share one
	for _, proc := range p.list {
		if shown[proc.log] {
			continue
		}
		shown[proc.log] = true
		fmt.Fprintf(&b, "--- %s\n%s\n", proc.name, proc.tail())
	}
	return b.String()
}

// stopWait is how long a demo's processes have to end once they are told to. It is more
// than a runner takes to report the task that it gives up.
const stopWait = 10 * time.Second

// Stop ends every process and what it started: by SIGTERM, and what is left
// after a while by SIGKILL.
func (p *Processes) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, proc := range p.list {
		proc.Signal(syscall.SIGTERM)
	}
	late := time.After(p.patience)
	for _, proc := range p.list {
		select {
		case <-proc.ended:
		case <-late:
			late = closedTime // the others have had their time too
		}
		proc.Signal(syscall.SIGKILL)
		<-proc.ended
	}
	p.watchers.Wait()
}

// closedTime is a channel of a time that has passed.
var closedTime = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// Terminate sends SIGTERM to the process alone, as a service manager that leaves it
// to the process to end what it has started.
func (p *Process) Terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// Signal sends a signal to the whole group; one that is gone is no fault.
func (p *Process) Signal(s syscall.Signal) {
	if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		_ = p.cmd.Process.Signal(s) // a group that cannot be reached: at least its leader
	}
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"muster/agent"
	"muster/config"
	"muster/coordinator"
	"muster/profile"
	"muster/steps"
)

// stepRunner runs the steps of the agent's host, each by `muster run` in a process
// of its own, so that the promise of never twice is held by one code path. It is
// for use by one goroutine.
type stepRunner struct {
	settings []string // that the agent was started with, as flags
	stderr   io.Writer

	reading sync.WaitGroup
	mu      sync.Mutex
	outputs map[*os.File]bool // that are read
}

// readSteps returns the steps of this host. That there are none is no error,
// unless somebody has said where they are.
func (a *app) readSteps() ([]steps.Step, error) {
	all, err := steps.Read(a.cfg.StepsDir)
	if errors.Is(err, fs.ErrNotExist) && a.cfg.Origin("steps_dir") == "default" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("steps_dir (%s): %w", a.cfg.Origin("steps_dir"), err)
	}
	if len(all) > 0 && a.cfg.Socket == "" {
		return nil, fmt.Errorf("%w: socket (%s): expected a path, found none: steps need it", config.ErrInvalid, a.cfg.Origin("socket"))
	}
	for _, s := range all {
		if s.ByHelper {
			if _, err := os.Stat(a.cfg.RootSocket); err != nil {
				return nil, fmt.Errorf("%w: root_socket (%s): expected the socket of the helper that runs step %s as user %s: %w: run `systemctl enable --now muster-root.socket` as root", config.ErrInvalid, a.cfg.Origin("root_socket"), s.Name, s.User, err)
			}
		}
		if s.Workflow != "" && !a.hasMachineToken() {
			return nil, fmt.Errorf("%w: machine_token_file (%s): expected a token, by which step %s starts its workflow, found none in %s", config.ErrInvalid, a.cfg.Origin("machine_token_file"), s.Name, a.cfg.MachineTokenFile)
		}
	}
	return all, nil
}

// run implements agent.RunStep.
func (r *stepRunner) run(ctx context.Context, s steps.Step, round profile.Round) error {
	output, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	args := slices.Concat(r.settings, []string{"run", "--round=" + strconv.Itoa(round.N)}, s.Args())
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...) // this program, also after it was replaced by another version
	cmd.Args[0] = "muster"
	cmd.Env = stepEnvironment(os.Environ())
	cmd.Stdout, cmd.Stderr = theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what is sent to the agent's group does not reach it
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endFor
	r.mu.Lock()
	r.outputs[output] = true
	r.mu.Unlock()
	r.reading.Go(func() {
		r.tag(output, s.Name)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.outputs, output)
		output.Close()
	})
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	cmd.Wait() // its state tells
	switch code := cmd.ProcessState.ExitCode(); code {
	case exitOK:
		return nil
	case exitSuperseded:
		return coordinator.ErrSuperseded
	case exitTimedOut, exitPeerFailed: // not exitUsage: what was read at the start was good, so that is of the profile, and mended there
		return fmt.Errorf("%w (exit %d)", agent.ErrStepOver, code)
	default:
		return fmt.Errorf("muster run: %s", cmd.ProcessState)
	}
}

// tag copies what a step writes, each line with the step's name before it. What
// stays behind of a step may write as long as the agent runs.
func (r *stepRunner) tag(output *os.File, name string) {
	for lines := bufio.NewReaderSize(output, 16<<10); ; {
		line, err := lines.ReadSlice('\n') // a longer one comes in parts
		if len(line) > 0 {
			fmt.Fprintf(r.stderr, "step %s: %s\n", name, strings.TrimSuffix(string(line), "\n"))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// outputFor is how long the last output of a step may be on its way.
const outputFor = time.Second

// close waits for the last output of steps.
func (r *stepRunner) close() {
	r.mu.Lock()
	for output := range r.outputs {
		output.SetReadDeadline(time.Now().Add(outputFor)) // what stayed behind may never close it
	}
	r.mu.Unlock()
	r.reading.Wait()
}

// stepEnvironment is what a step inherits: without what is meant for the agent
// alone.
func stepEnvironment(own []string) []string {
	return without(own, "RS_TOKEN", "RS_KEY", "RS_JOB_UUID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
}

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
)

func newRun(a *app) *cobra.Command {
	var after []string
	var name string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "run --after GATE -- COMMAND [ARG...]",
		Short: "Run a command on this host once a gate opens, at most once a round",
		Long: "Blocks until the gate opens, runs COMMAND and returns its exit code. The gate `complete` opens when\n" +
			"every expected member has completed its workflow in the present round. A command never runs twice\n" +
			"in a round: if it has run, its exit code is returned again; if it may have run, that is an error.\n" +
			"The command's result is recorded in the profile. It inherits the environment as it is.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(after) == 0 {
				return fmt.Errorf("%w: --after: name the gate to wait for: complete", errUsage)
			}
			for _, gate := range after {
				if gate != "complete" {
					return fmt.Errorf("%w: --after: expected complete, found %q", errUsage, gate)
				}
			}
			if timeout < 0 {
				return negative(timeout)
			}
			if name == "" {
				name = stepName(args)
			}
			return a.local(cmd.Context(), timeout, func(ctx context.Context, l agent.Local) error {
				return a.gated(ctx, l, name, timeout, args)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&after, "after", nil, "gate to wait for: complete")
	flags.StringVar(&name, "name", "", "name of the step (default: from the command)")
	flags.DurationVar(&timeout, "timeout", 0, "give up waiting after this time (exit 3)")
	return cmd
}

// stepName names a step after its command, so that another command is another
// step.
func stepName(args []string) string {
	base := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, filepath.Base(args[0]))
	sum := sha256.Sum256([]byte(strings.Join(args, "\x00")))
	return fmt.Sprintf("%.20s-%x", "s"+base, sum[:6])
}

// gated waits for the gate and runs the command as a step of the round.
func (a *app) gated(ctx context.Context, l agent.Local, name string, timeout time.Duration, args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	outcome, err := l.Wait(ctx, agent.Waiting{Timeout: timeout, InJob: a.inJob()}, a.progress)
	if err != nil {
		return err
	}
	round := profile.Round{N: outcome.Round, ID: outcome.RoundID}
	note, again, err := l.BeginStep(ctx, name, round)
	if err != nil {
		return err
	}
	if again {
		fmt.Fprintf(a.stderr, "step %s has run in round %d already (exit %d)\n", name, round.N, note.Exit)
		if err := l.EndStep(ctx, name, round, note.Exit); err != nil { // the profile may not know yet
			return fmt.Errorf("step %s ended with exit %d, but that could not be noted: %w", name, note.Exit, err)
		}
		return result(note.Exit)
	}
	exit, started := execute(ctx, path, args)
	// The step has run: that is noted even while the end was asked for.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	err = l.EndStep(noting, name, round, exit)
	if errors.Is(err, agent.ErrStopping) { // the agent ended, or is another by now
		err = a.local(noting, commandTimeout, func(ctx context.Context, l agent.Local) error {
			return l.EndStep(ctx, name, round, exit)
		})
	}
	if err != nil {
		return fmt.Errorf("step %s ended with exit %d, but that could not be noted: %w", name, exit, err)
	}
	if started != nil {
		return errors.Join(started, result(exit))
	}
	return result(exit) // bare: the command has spoken for itself
}

func result(exit int) error {
	if exit == 0 {
		return nil
	}
	return childExit(exit)
}

// execute runs the command in a process group of its own, passes the end that
// is asked for on to all of it, and returns its exit code. As a shell says it,
// that is 128 + the signal's number if a signal ended it, and 126, with an
// error, if it could not be started.
func execute(ctx context.Context, path string, args []string) (int, error) {
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return 126, fmt.Errorf("run %s: %w", args[0], err)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/coordinator"
	"muster/profile"
)

func newStep(a *app) *cobra.Command {
	var r agent.Rolling
	var failures int
	var timeout time.Duration
	var goOn bool
	cmd := a.mutation(&cobra.Command{
		Use:   "step NAME [--at-once N|P%] [--max-failures N] -- COMMAND [ARG...]\n  muster step NAME --continue",
		Short: "Run a command on the members of the round, so many at once",
		Long: "Waits until it is this member's turn, runs COMMAND and returns its exit code. Each member calls it; never do\n" +
			"more of them run it than --at-once says, a count or a share of the expected members (rounded down, at least\n" +
			"one). The first to come fixes that for the round. When more fail than --max-failures (0), nobody begins any\n" +
			"more, and those who wait go on waiting: `muster step NAME --continue`, by an operator, lets them, and lets those\n" +
			"that failed run it again. A member that died keeps its seat until it is forgotten (`muster forget`) or replaced.\n\n" +
			"A command never runs twice in a round: if it has run, its exit code is returned again; if it may have run, that\n" +
			"is an error, until --retry says that somebody has looked.",
		Args: cobra.MinimumNArgs(1),
	})
	flags := cmd.Flags()
	flags.StringVar(&r.AtOnce, "at-once", "", "N or P%: on so many members at once; if not given, as whoever was first said")
	flags.IntVar(&failures, "max-failures", 0, "so many may fail before nobody begins any more")
	flags.BoolVar(&r.Retry, "retry", false, "run it though it may have run already")
	flags.BoolVar(&goOn, "continue", false, "let members go on with a step that was stopped; needs RS_TOKEN or RS_KEY")
	timeoutFlag(cmd, &timeout)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if r.Name = args[0]; flags.Changed("max-failures") {
			r.MaxFailures = &failures
		}
		switch dash := cmd.ArgsLenAtDash(); {
		case timeout < 0:
			return negative(timeout)
		case goOn && len(args) == 1 && r.AtOnce == "" && r.MaxFailures == nil && !r.Retry:
			return a.continueStep(cmd.Context(), r.Name)
		case goOn || dash != 1 || len(args) < 2:
			return fmt.Errorf("%w: expected a name, -- and a command, or a name and --continue; see `muster step --help`", errUsage)
		case a.dryRun:
			return fmt.Errorf("%w: --dry-run: only what --continue would send can be shown", errUsage)
		}
		command, err := newCommand(args[1:], "", &limit{})
		if err != nil {
			return err
		}
		return a.local(cmd.Context(), timeout, func(ctx context.Context, l agent.Local) error {
			return a.roll(ctx, l, r, timeout, command)
		})
	}
	return cmd
}

// continueStep lets members go on.
func (a *app) continueStep(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	store, _, err := a.open(ctx)
	if err != nil {
		return err
	}
	d, err := a.write(ctx, store, profile.ContinueStep{Name: name}.Plan)
	if err != nil {
		return err
	}
	round, err := d.Round()
	if err != nil {
		return err
	}
	step, _, err := d.RollingStep(name, round.N)
	if err != nil {
		return err
	}
	return a.print(step, func(w io.Writer) { fmt.Fprintf(w, "step %s of round %d goes on\n", clean(name), round.N) })
}

// roll waits for the member's turn and runs the command in it.
func (a *app) roll(ctx context.Context, l agent.Local, r agent.Rolling, timeout time.Duration, command command) error {
	waiting := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w after %s", coordinator.ErrTimeout, timeout))
		defer cancel()
	}
	turn, err := l.Roll(waiting, r, a.waits)
	if err != nil {
		return err
	}
	exit, started := turn.Note.Exit, error(nil)
	if turn.Again {
		fmt.Fprintf(a.stderr, "step %s has run in round %d already (exit %d)\n", r.Name, turn.Round.N, exit)
	} else {
		exit, started = command.execute(ctx)
	}
	err = a.tellEnd(ctx, l, func(ctx context.Context, l agent.Local) error {
		return l.EndRoll(ctx, r.Name, turn.Round, exit)
	})
	switch {
	case err != nil:
		return fmt.Errorf("step %s ended with exit %d, but that could not be noted, and its seat is kept: %w", r.Name, exit, err)
	case started != nil:
		return errors.Join(started, result(exit))
	}
	return result(exit)
}

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/coordinator"
	"muster/internal/backoff"
	"muster/profile"
	"muster/profile/drp"
)

// step is a gated command of this host.
type step struct {
	name     string
	barriers []string            // to wait at, one after the other
	passage  coordinator.Passage // what has to be open then
	timeout  time.Duration       // of the waiting
	workflow string              // to start on this machine, in the place of the command
	machine  *drp.Machine        // where there is a workflow
	root     *rootStep           // that the helper runs, in the place of the command; else nil
	retry    bool                // run it though it may have run already
	command
}

func newRun(a *app) *cobra.Command {
	var after []string
	var s step
	var user, rootFile string
	late := &limit{stderr: a.stderr}
	cmd := &cobra.Command{
		Use:   "run --after GATE... [--role ROLE] -- COMMAND [ARG...]\n  muster run --after GATE... [--role ROLE] --workflow WORKFLOW\n  muster run --after GATE... [--role ROLE] --root-step FILE",
		Short: "Run a command on this host once gates open, at most once a round",
		Long: "Blocks until the gates are open, runs COMMAND and returns its exit code. Gates are\n" +
			"  complete[:BARRIER]   the round, or a barrier in it, is complete (or partial, as it allows)\n" +
			"  leader:ROLE[=COUNT]  all slots of a role are held, or so many\n" +
			"  param:KEY[=VALUE]    the profile has the param, with that value\n" +
			"Barriers are waited for first, in the order given; then the others must be open at the same time.\n\n" +
			"With --role COMMAND runs only where the member has it, once that is clear: a role with slots, one of\n" +
			"muster/expected, or worker, which is who holds no slot. Elsewhere there is nothing to do (exit 0). Under a role\n" +
			"with slots it runs as under `muster lead`: it is dead before anybody else has the slot (exit 9).\n\n" +
			"COMMAND gets no RS_TOKEN or RS_KEY.\n\n" +
			"A command never runs twice in a round: if it has run, its exit code is returned again; if it may have run,\n" +
			"that is an error, until --retry says that somebody has looked. The result is recorded in the profile.",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			switch {
			case rootFile != "" && (s.workflow != "" || len(args) > 0):
				return fmt.Errorf("%w: --root-step: the command is that of the file: leave the other out", errUsage)
			case rootFile == "" && (s.workflow == "") == (len(args) == 0):
				return fmt.Errorf("%w: expected -- and a command, or --workflow; see `muster run --help`", errUsage)
			case rootFile != "" && (user != "" || late.after != 0):
				return fmt.Errorf("%w: --root-step: the file itself says `user` and `limit`", errUsage)
			case s.workflow != "" && user != "":
				return fmt.Errorf("%w: --user: a workflow has none", errUsage)
			case s.workflow != "" && a.inJob():
				return fmt.Errorf("%w: a workflow is started once that of this machine is complete, and this is a job of it: run it from a service or a shell of the host", coordinator.ErrSelfWait)
			case len(after) == 0 && s.passage.Role == "":
				return fmt.Errorf("%w: --after: name the gate to wait for, such as complete, or a --role", errUsage)
			case s.timeout < 0:
				return negative(s.timeout)
			case late.after < 0:
				return fmt.Errorf("%w: --limit: expected a duration, found %s", errUsage, late.after)
			case s.passage.Round < 0:
				return fmt.Errorf("%w: --round: expected a number above 0, found %d", errUsage, s.passage.Round)
			}
			if err := s.gates(after); err != nil {
				return err
			}
			s.command.limit = late
			switch {
			case s.workflow != "":
				args = []string{"workflow", s.workflow}
				s.machine, err = a.ownMachine()
			case rootFile != "":
				args = []string{rootFile}
				s.command.args, s.root = args, &rootStep{socket: a.cfg.RootSocket, file: rootFile}
			default:
				s.command, err = newCommand(args, user, late)
			}
			if err != nil {
				return err
			}
			if s.name == "" {
				s.name = stepName(args)
			}
			take := a.local
			if s.passage.Role != "" {
				take = a.leading
			}
			return take(cmd.Context(), s.timeout, func(ctx context.Context, l agent.Local) error { return a.gated(ctx, l, s) })
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&after, "after", nil, "gate to wait for: complete[:BARRIER], leader:ROLE[=COUNT] or param:KEY[=VALUE] (repeatable)")
	flags.StringVar(&s.passage.Role, "role", "", "run only where the member has this role; under its slot, if it has slots")
	flags.StringVar(&s.name, "name", "", "name of the step (default: from the command)")
	flags.StringVar(&s.workflow, "workflow", "", "start this DRP workflow on this machine, once it is done with the one it has, by the machine's token")
	flags.StringVar(&rootFile, "root-step", "", "have the helper of this host run the step of this file in steps_dir, as the user that it names")
	flags.BoolVar(&s.retry, "retry", false, "run it though it may have run already: somebody has looked")
	flags.DurationVar(&s.timeout, "timeout", 0, "give up waiting after this time (exit 3)")
	flags.DurationVar(&late.after, "limit", 0, "end the command after this time: TERM for all of its process group, and KILL 10s later")
	flags.StringVar(&user, "user", "", "run the command as this user, if root runs muster")
	flags.IntVar(&s.passage.Round, "round", 0, "run it in this round alone (exit 10 once that is over)")
	return cmd
}

// gates sorts what the step is to wait for.
func (s *step) gates(after []string) error {
	for _, text := range after {
		g, err := coordinator.ParseGate(text)
		if err != nil {
			return err
		}
		if g.Kind == coordinator.GateComplete {
			s.barriers = append(s.barriers, g.Name)
		} else {
			s.passage.Gates = append(s.passage.Gates, g)
		}
	}
	return nil
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

// await waits for all that the step is gated by, and returns the round in which
// that is open, and whether this member takes the step.
func (a *app) await(ctx context.Context, l agent.Local, s step) (coordinator.Passed, error) {
	round := profile.Round{N: s.passage.Round}
	for _, name := range s.barriers {
		outcome, err := l.Wait(ctx, agent.Waiting{InJob: a.inJob(), Barrier: name, Round: round.N}, a.progress)
		if err != nil {
			return coordinator.Passed{}, err
		}
		round = profile.Round{N: outcome.Round, ID: outcome.RoundID}
	}
	if len(s.passage.Gates) == 0 && s.passage.Role == "" && s.passage.Round == 0 {
		return coordinator.Passed{Round: round, Has: true}, nil
	}
	passed, err := l.Pass(ctx, agent.Passing{Passage: s.passage}, a.waits)
	if err == nil && len(s.barriers) > 0 && passed.Round.ID != round.ID {
		err = fmt.Errorf("%w: round %d was complete, but it is round %d by now", coordinator.ErrSuperseded, round.N, passed.Round.N)
	}
	passed.Has = passed.Has || s.passage.Role == ""
	return passed, err
}

// gated waits for the gates and runs the command as a step of the round.
func (a *app) gated(ctx context.Context, l agent.Local, s step) error {
	waiting := ctx
	if s.timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("%w after %s", coordinator.ErrTimeout, s.timeout))
		defer cancel()
	}
	passed, err := a.ready(waiting, l, s)
	if err != nil {
		return err
	}
	if !passed.Has {
		fmt.Fprintln(a.stderr, clean(fmt.Sprintf("step %s is for role %s, which this member does not have: nothing to do", s.name, s.passage.Role)))
		return nil
	}
	round := profile.Round{N: passed.Round.N, ID: passed.Round.ID}
	if passed.BySlot && s.workflow == "" {
		return a.under(ctx, l, s, round)
	}
	if err := s.root.open(ctx); err != nil {
		return err
	}
	defer s.root.close()
	note, again, err := l.BeginStep(ctx, s.name, round, s.retry)
	if err != nil {
		return err
	}
	if again {
		return a.ran(ctx, l, s, round, note)
	}
	exit, started := s.do(ctx)
	switch {
	case errors.Is(started, profile.ErrUnknownOutcome):
		return started // and so is the step
	case started != nil && s.workflow != "":
		return errors.Join(started, a.takeBack(ctx, l, s, note))
	}
	if err := a.noteEnd(ctx, l, s, round, exit); err != nil {
		return err
	}
	if started != nil {
		return errors.Join(started, result(exit))
	}
	return result(exit) // bare: the command has spoken for itself
}

// errRan means that the step has run in this round already.
var errRan = errors.New("the step has run already")

// under runs the step under the slot that this member holds.
func (a *app) under(ctx context.Context, l agent.Local, s step, round profile.Round) error {
	signals, stop := catchSignals()
	defer stop()
	var note agent.StepNote
	defer s.root.close()
	held := &lead{
		stderr: a.stderr, ask: agent.LeadAsk{Role: s.passage.Role}, command: s.command, root: s.root, signals: signals, connect: l.Lead,
		begin: func() (err error) {
			// The wait for the slot may have outlasted the round.
			if _, err = l.Pass(ctx, agent.Passing{Passage: coordinator.Passage{Round: round.N}}, nil); err != nil {
				return err
			}
			if err = s.root.open(ctx); err != nil {
				return err
			}
			var again bool
			if note, again, err = l.BeginStep(ctx, s.name, round, s.retry); err == nil && again {
				err = errRan
			}
			return err
		},
	}
	_, held.mayReturn = l.(*agent.Client)
	waiting, cancel := context.WithTimeoutCause(ctx, slotWait, fmt.Errorf("%w: it was held when the gates opened", errSlotLost))
	defer cancel()
	running := context.WithoutCancel(ctx)
	err := held.run(waiting, running)
	switch {
	case errors.Is(err, errRan):
		return a.ran(ctx, l, s, round, note)
	case !held.begun:
		return err
	}
	if noted := a.noteEnd(running, l, s, round, exitCode(err)); noted != nil {
		return errors.Join(noted, err)
	}
	return err
}

// slotWait is how long a step waits for the slot that its member held a moment ago.
// For 10 s after a start of the agent it is left to a command of before.
const slotWait = 20 * time.Second

// ran answers for a step that has run in this round already.
func (a *app) ran(ctx context.Context, l agent.Local, s step, round profile.Round, note agent.StepNote) error {
	fmt.Fprintf(a.stderr, "step %s has run in round %d already (exit %d)\n", s.name, round.N, note.Exit)
	if err := l.EndStep(ctx, s.name, round, note.Exit); err != nil { // the profile may not know yet
		return fmt.Errorf("step %s ended with exit %d, but that could not be noted: %w", s.name, note.Exit, err)
	}
	return result(note.Exit)
}

func (a *app) noteEnd(ctx context.Context, l agent.Local, s step, round profile.Round, exit int) error {
	err := a.tellEnd(ctx, l, func(ctx context.Context, l agent.Local) error { return l.EndStep(ctx, s.name, round, exit) })
	if err != nil {
		return fmt.Errorf("step %s ended with exit %d, but that could not be noted: %w", s.name, exit, err)
	}
	return nil
}

// takeBack has the step begin again, another time, that was not started after all.
func (a *app) takeBack(ctx context.Context, l agent.Local, s step, note agent.StepNote) error {
	err := a.tellEnd(ctx, l, func(ctx context.Context, l agent.Local) error { return l.TakeBackStep(ctx, s.name, note) })
	if err != nil {
		return fmt.Errorf("step %s was not started, but that could not be noted: %w", s.name, err)
	}
	return nil
}

// tellEnd tells how a step ended, even while the end was asked for: it has run.
// Token, profile and writes were good when it began, so their refusal is outlived
// as an endpoint that is away, for a while.
func (a *app) tellEnd(ctx context.Context, l agent.Local, tell func(context.Context, agent.Local) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	retry := backoff.New(200*time.Millisecond, 5*time.Second, rand.Float64)
	for {
		err := tell(ctx, l)
		if errors.Is(err, agent.ErrStopping) { // the agent ended, or is another by now
			err = a.local(ctx, commandTimeout, tell)
		}
		passes := errors.Is(err, profile.ErrRefused) || errors.Is(err, profile.ErrNotFound) || errors.Is(err, profile.ErrConflict)
		if !passes || backoff.Sleep(ctx, retry.Next()) != nil {
			return err
		}
	}
}

func result(exit int) error {
	if exit == 0 {
		return nil
	}
	return childExit(exit)
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/coordinator"
	"muster/internal/backoff"
	"muster/profile"
	"muster/steps"
)

// RunStep waits for the gates of a step and runs it, by BeginStep and EndStep, or
// does nothing if the step is not for this member. ErrStepOver: it will not run in
// this round; coordinator.ErrSuperseded: the round is not the present one any more.
// After another error it is run again. It returns when nothing of it runs any more
// that could still call EndStep, soon after ctx has ended too.
type RunStep func(ctx context.Context, s steps.Step, round profile.Round) error

// ErrStepOver means that a step will not run in a round, whatever is mended: it was
// waited for too long, or a peer failed in it.
var ErrStepOver = errors.New("agent: the step will not run in this round")

// checkSteps refuses steps of roles that the cluster does not have: more likely a
// slip of the pen than a role to come.
func (a *Agent) checkSteps(d *profile.Document) error {
	var faults []error
	for _, s := range a.cfg.Steps {
		if err := d.CheckRole(s.Role); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.RoleAt, err))
		}
	}
	return errors.Join(faults...)
}

// runSteps runs the steps of this host in every round, one after the other: each
// once the one before is done, or is not for this member. It returns ctx's cause.
func (a *Agent) runSteps(ctx context.Context) error {
	if a.cfg.RunStep == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	var seen uint64
	var last profile.Round
	for {
		d, n, err := a.view.Wait(ctx, seen)
		if err != nil {
			return err
		}
		seen = n
		round, err := d.Round()
		if err != nil || round.ID == last.ID { // a malformed one is said by whoever watches
			continue
		}
		last = round
		if err := a.runRound(ctx, round); err != nil {
			return err
		}
	}
}

// runRound runs the steps of one round: what the profile names, and those of this
// host. Its error is ctx's cause.
func (a *Agent) runRound(ctx context.Context, round profile.Round) error {
	named, over, err := a.named(ctx, round)
	if err != nil || over {
		return err
	}
	for i, s := range slices.Concat(named, a.cfg.Steps) {
		log := a.log.Named("steps").With("step", s.Name, "round", round.N)
		run := a.runStep
		if i < len(named) && a.refusal(s.Workflow) != "" {
			run = a.refuse
		}
		done, err := run(ctx, log, s, round)
		if err != nil || !done {
			return err
		}
	}
	return nil
}

// runStep sees to one step, and reports whether the next may begin. Its error is
// ctx's cause.
func (a *Agent) runStep(ctx context.Context, log hclog.Logger, s steps.Step, round profile.Round) (done bool, err error) {
	retry := backoff.New(stepPause, stepPauseMost, random)
	for a.isNow(round) {
		if err := a.armed(ctx); err != nil {
			return false, err
		}
		note, noted, err := a.noted(s.Name, round)
		switch {
		case err != nil:
			log.Error("what is noted of the step cannot be read: neither it nor those after it run in this round", "err", err)
			return false, nil
		case noted && note.State == stepStarted:
			err = a.lookedAt(ctx, log, s, round)
		case noted:
			return note.State == stepDone, a.settle(ctx, log, s.Name, round, note)
		default:
			err = a.startStep(ctx, s, round)
			if _, ran, look := a.noted(s.Name, round); ran || look != nil {
				continue
			}
			switch {
			case ctx.Err() != nil:
				return false, context.Cause(ctx)
			case err == nil:
				return true, nil // it is not for this member
			case errors.Is(err, coordinator.ErrSuperseded):
				log.Info("it did not come to run before the next round", "err", err)
				return false, nil
			case errors.Is(err, ErrStepOver):
				log.Error("neither it nor those after it run in this round", "err", err)
				return false, nil
			}
			log.Warn("it is run again", "err", err)
			err = backoff.Sleep(ctx, retry.Next())
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// startStep runs the step. A workflow counts for the round though it is over before
// this member sees that it has begun.
func (a *Agent) startStep(ctx context.Context, s steps.Step, round profile.Round) error {
	if s.Workflow != "" {
		if err := a.peer.Look(ctx); err != nil {
			return err
		}
	}
	return a.cfg.RunStep(ctx, s, round)
}

// stepPause and stepPauseMost are how long a step that could not wait for its
// gates is left alone.
const (
	stepPause     = 2 * time.Second
	stepPauseMost = time.Minute
)

// armed waits until waits are not broken (cluster/escape). Its error is ctx's cause.
func (a *Agent) armed(ctx context.Context) error {
	var seen uint64
	for {
		d, n, err := a.view.Wait(ctx, seen)
		if err != nil || !d.Escaped() {
			return err
		}
		seen = n
	}
}

// isNow reports whether the round is the present one.
func (a *Agent) isNow(round profile.Round) bool {
	d, _ := a.view.Latest()
	now, err := d.Round()
	return err != nil || now.ID == round.ID
}

// settle sees to it that the profile says how the step ended.
func (a *Agent) settle(ctx context.Context, log hclog.Logger, name string, round profile.Round, note StepNote) error {
	if note.State == stepDone {
		log.Info("done")
	} else {
		log.Error("failed: those after it do not run in this round", "exit", note.Exit)
	}
	return a.insist(ctx, log, func() error { return a.EndStep(ctx, name, round, note.Exit) })
}

// lookedAt says that the step may have run, and waits until somebody has looked
// and run it again, or the round is over.
func (a *Agent) lookedAt(ctx context.Context, log hclog.Logger, s steps.Step, round profile.Round) error {
	log.Error("it may have run already, so neither it nor those after it run: look what it did, then run it again", "with", s.Retry())
	unknown := profile.Step{Round: round.N, Result: stepUnknown}
	started := func() bool {
		note, noted, err := a.noted(s.Name, round)
		return err == nil && noted && note.State == stepStarted
	}
	err := a.insist(ctx, log, func() error {
		return a.record(ctx, s.Name, unknown, func(_ *profile.Document, c *profile.Change) error {
			if !started() { // it has ended meanwhile
				*c = profile.Change{}
			}
			return nil
		})
	})
	for err == nil {
		_, n := a.view.Latest()
		a.steps.Lock()
		renoted := a.renoted
		a.steps.Unlock()
		if !started() || !a.isNow(round) {
			return nil
		}
		select {
		case <-renoted:
		case <-a.view.After(n):
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return err
}

// insist tries to write until that works, or this is not the member any more. Its
// error is ctx's cause.
func (a *Agent) insist(ctx context.Context, log hclog.Logger, write func() error) error {
	retry := backoff.New(stepPause, stepPauseMost, random)
	for {
		err := write()
		if err == nil || errors.Is(err, profile.ErrTwin) || errors.Is(err, profile.ErrForgotten) {
			return nil // those end the agent
		}
		if ctx.Err() == nil {
			log.Warn("the profile does not know yet how the step ended", "err", err)
		}
		if err := backoff.Sleep(ctx, retry.Next()); err != nil {
			return err
		}
	}
}

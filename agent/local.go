package agent

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"muster/coordinator"
	"muster/internal/backoff"
	"muster/profile"
)

// Local is how a command on this host takes part: through the running agent's
// socket (Client), or as the member itself (Agent, inside Do).
type Local interface {
	// Report records what a task says about the machine's workflow, and
	// returns the round that it counts for.
	Report(ctx context.Context, said string) (round int, err error)
	// Wait blocks until the present round has a verdict.
	Wait(ctx context.Context, w Waiting, progress func(coordinator.Outcome)) (coordinator.Outcome, error)
	// BeginStep and EndStep frame a gated local step.
	BeginStep(ctx context.Context, name string, round int) (note StepNote, again bool, err error)
	EndStep(ctx context.Context, name string, round, exit int) error
}

var _ Local = (*Agent)(nil)

// Waiting says how to wait.
type Waiting struct {
	// Timeout ends this wait, not the round; 0 is none.
	Timeout time.Duration `json:"timeout"`
	// InJob says that the waiter runs inside a job of this machine's workflow,
	// which cannot complete before the wait ends.
	InJob bool `json:"in_job"`
}

// Report implements Local.
func (a *Agent) Report(ctx context.Context, said string) (int, error) {
	if !slices.Contains([]string{profile.Running, profile.Complete, profile.Failed}, said) {
		return 0, fmt.Errorf("%w: report: expected running, complete or failed, found %q", ErrUsage, said)
	}
	if a.cfg.Machine != nil {
		return 0, fmt.Errorf("%w: this member watches its machine by itself, with the machine token; reports are for members without one", ErrUsage)
	}
	return coordinator.Report(ctx, a.member, a.view, said)
}

// progressEvery is how often the records are read for the sake of progress.
const progressEvery = 10 * time.Second

// Wait implements Local. The round is the one that the profile says when the
// wait begins, read then: an older one that is remembered could be complete.
func (a *Agent) Wait(ctx context.Context, w Waiting, progress func(coordinator.Outcome)) (coordinator.Outcome, error) {
	if w.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.Timeout, fmt.Errorf("%w after %s", coordinator.ErrTimeout, w.Timeout))
		defer cancel()
	}
	round, err := a.freshRound(ctx)
	if err != nil {
		return coordinator.Outcome{}, err
	}
	d, _ := a.view.Latest()
	expected, err := d.Expected()
	if err != nil {
		return coordinator.Outcome{}, err
	}
	if w.InJob && slices.Contains(expected.Members, a.member.UUID()) {
		return coordinator.Outcome{}, fmt.Errorf("%w: this runs inside a job of a machine that the round waits for: its workflow cannot complete before the wait ends; wait from an agent step behind a gate (`muster run --after complete`, started outside the workflow)", coordinator.ErrSelfWait)
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	if progress != nil {
		done := make(chan struct{})
		defer func() { stop(); <-done }()
		go func() {
			defer close(done)
			for backoff.Sleep(reading, progressEvery) == nil {
				if err := coordinator.Refresh(reading, a.cfg.Store, a.view); err != nil && reading.Err() == nil {
					a.log.Debug("progress cannot be read", "err", err)
				}
			}
		}()
	}
	return coordinator.Wait(ctx, a.view, round, progress)
}

// freshRound reads the hot params and returns the round of now.
func (a *Agent) freshRound(ctx context.Context) (int, error) {
	retry := backoff.New(200*time.Millisecond, 5*time.Second, random)
	for {
		_, before := a.view.Latest()
		params, err := a.cfg.Store.ReadParams(ctx, profile.HotParams()...)
		if err == nil {
			if a.view.PutParams(params, profile.HotParams(), before) {
				d, _ := a.view.Latest()
				round, err := d.Round()
				return round.N, err
			}
			continue
		}
		if cause := context.Cause(ctx); cause != nil {
			return 0, fmt.Errorf("%w (%w)", cause, err)
		}
		if !errors.Is(err, profile.ErrUnavailable) {
			return 0, err
		}
		if cause := backoff.Sleep(ctx, retry.Next()); cause != nil {
			return 0, fmt.Errorf("%w (%w)", cause, err)
		}
	}
}

func random() float64 { return mathrand.Float64() }

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"muster/coordinator"
	"muster/internal/backoff"
	"muster/profile"
)

// Observe waits as Local.Wait does, without being a member: as the cluster
// manager or an operator. uuid is the machine on whose behalf, or "".
func Observe(ctx context.Context, store profile.Store, uuid string, w Waiting, progress func(coordinator.Outcome), log hclog.Logger) (coordinator.Outcome, error) {
	d, err := store.Read(ctx)
	if err == nil {
		err = d.Check()
	}
	if err != nil {
		return coordinator.Outcome{}, err
	}
	view := profile.NewView(d)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var g errgroup.Group
	watching, stop := context.WithCancel(ctx)
	g.Go(func() error {
		return profile.Watch{Store: store, View: view, Trouble: func(err error) {
			if err != nil {
				log.Warn("the profile cannot be watched; the gate stays shut", "err", err)
			}
		}}.Run(watching)
	})
	out, err := waiter{store: store, view: view, uuid: uuid, log: log}.wait(ctx, w, progress)
	stop()
	g.Wait() // ends with the context's cause, which says nothing new
	return out, err
}

// waiter waits for the verdict of the present round.
type waiter struct {
	store profile.Store
	view  *profile.View
	uuid  string
	log   hclog.Logger
}

// progressEvery is how often the records are read for the sake of progress.
const progressEvery = 10 * time.Second

// wait takes the round that the profile says when the wait begins, read then:
// an older one that is remembered could be complete already.
func (wt waiter) wait(ctx context.Context, w Waiting, progress func(coordinator.Outcome)) (coordinator.Outcome, error) {
	if w.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.Timeout, fmt.Errorf("%w after %s", coordinator.ErrTimeout, w.Timeout))
		defer cancel()
	}
	round, err := wt.freshRound(ctx)
	if err != nil {
		return coordinator.Outcome{}, err
	}
	d, _ := wt.view.Latest()
	expected, err := d.Expected()
	if err != nil {
		return coordinator.Outcome{}, err
	}
	if w.InJob && slices.Contains(expected.Members, wt.uuid) {
		return coordinator.Outcome{}, fmt.Errorf("%w: this runs inside a job of a machine that the round waits for: its workflow cannot complete before the wait ends; start the step outside of the workflow, behind the gate: `muster run --after complete -- CMD` from a service or a shell of the host", coordinator.ErrSelfWait)
	}
	reading, stop := context.WithCancel(ctx)
	var g errgroup.Group
	if progress != nil {
		g.Go(func() error {
			for backoff.Sleep(reading, progressEvery) == nil {
				if err := wt.view.Refresh(reading, wt.store, coordinator.Records()...); err != nil && reading.Err() == nil {
					wt.log.Debug("progress cannot be read", "err", err)
				}
			}
			return nil
		})
	}
	out, err := coordinator.Wait(ctx, wt.view, round, progress)
	stop()
	return out, errors.Join(err, g.Wait())
}

// freshRound reads the hot params and returns the round of now.
func (wt waiter) freshRound(ctx context.Context) (profile.Round, error) {
	retry := backoff.New(200*time.Millisecond, 5*time.Second, random)
	for {
		err := wt.view.Refresh(ctx, wt.store, profile.HotParams()...)
		if err == nil {
			d, _ := wt.view.Latest()
			round, err := d.Round()
			return round, err
		}
		if cause := context.Cause(ctx); cause != nil {
			return profile.Round{}, fmt.Errorf("%w (%w)", cause, err)
		}
		if !errors.Is(err, profile.ErrUnavailable) {
			return profile.Round{}, err
		}
		if cause := backoff.Sleep(ctx, retry.Next()); cause != nil {
			return profile.Round{}, fmt.Errorf("%w (%w)", cause, err)
		}
	}
}

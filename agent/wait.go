package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"muster/coordinator"
	"muster/internal/backoff"
	"muster/profile"
)

// Observer waits without being a member: as the cluster manager or an operator.
type Observer struct {
	Store  profile.Store
	UUID   string // the machine on whose behalf, or ""
	Logger hclog.Logger
	// Machine is that machine, or nil. If it is the cluster manager, the wait
	// ends once the machine is not runnable any more.
	Machine profile.MachineStore
}

// Wait waits as Local.Wait does.
func (o Observer) Wait(ctx context.Context, w Waiting, progress func(coordinator.Outcome)) (out coordinator.Outcome, err error) {
	err = o.watch(ctx, func(ctx context.Context, wt waiter) (err error) {
		out, err = wt.wait(ctx, w, progress)
		return err
	})
	if errors.Is(err, errUnmanaged) {
		err = o.breakOut(ctx, err, out.Round, w.Barrier)
	}
	return out, err
}

// Pass waits as Local.Pass does.
func (o Observer) Pass(ctx context.Context, p Passing, progress func(string)) (passed coordinator.Passed, err error) {
	err = o.watch(ctx, func(ctx context.Context, wt waiter) (err error) {
		passed, err = wt.pass(ctx, p, progress)
		return err
	})
	return passed, err
}

// watch keeps a view up to date while do runs.
func (o Observer) watch(ctx context.Context, do func(context.Context, waiter) error) error {
	d, err := o.Store.Read(ctx)
	if err == nil {
		err = d.Check()
	}
	if err != nil {
		return err
	}
	view := profile.NewView(d)
	outlook := coordinator.NewOutlook(view, "")
	manager := o.manager(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var g errgroup.Group
	watching, stop := context.WithCancel(ctx)
	g.Go(func() error {
		return profile.Watch{Store: o.Store, View: view, Outlook: outlook, Trouble: func(err error) {
			if err != nil {
				o.Logger.Warn("the profile cannot be watched; the gate stays shut", "err", err)
			}
		}}.Run(watching)
	})
	if manager != nil {
		g.Go(func() error { return o.manage(watching, *manager, cancel) })
	}
	write := func(ctx context.Context, plan profile.Plan) error {
		_, err := profile.NewOperator(o.Store).Write(ctx, plan)
		return err
	}
	err = do(ctx, waiter{store: o.Store, view: view, outlook: outlook, uuid: o.UUID, log: o.Logger, write: write})
	stop()
	g.Wait() // ends with the context's cause, which says nothing new
	return err
}

// errUnmanaged is why the wait of a manager ends that is not runnable any more.
var errUnmanaged = fmt.Errorf("%w: the manager's machine is not runnable any more", coordinator.ErrBrokenOut)

// manager reads the machine, and returns nil if it is not known to be the cluster
// manager. It is read before the wait says anything: who saw it begin may count on
// its end when the machine stops.
func (o Observer) manager(ctx context.Context) *profile.Machine {
	if o.Machine == nil {
		return nil
	}
	m, err := o.Machine.Read(ctx)
	if err != nil && ctx.Err() == nil {
		o.Logger.Warn("this machine cannot be read: if it is the cluster manager, this wait does not end when it stops", "err", err)
	}
	if err != nil || !m.Manager {
		return nil
	}
	return &m
}

// manage watches the cluster manager, and ends the wait once it was runnable and
// is not any more (DESIGN, "Break-out").
func (o Observer) manage(ctx context.Context, first profile.Machine, end context.CancelCauseFunc) error {
	was := first.Runnable
	look := func(ctx context.Context, _ string) error {
		m, err := o.Machine.Read(ctx)
		if err == nil && was && !m.Runnable {
			end(errUnmanaged)
		}
		was = was || err == nil && m.Runnable
		return err
	}
	return profile.Follow{Source: o.Machine, Since: first.Version, Look: look}.Run(ctx)
}

// breakOut plants cluster/escape for the others, who cannot see the manager's
// machine, if the barrier still has no verdict.
func (o Observer) breakOut(ctx context.Context, why error, round int, barrier string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), breakOutFor)
	defer cancel()
	if barrier == "" {
		barrier = profile.BarrierComplete
	}
	_, err := profile.NewOperator(o.Store).Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		b, planted, err := d.Barrier(barrier, round)
		if err != nil || !planted || b.Verdict != "" || d.Escaped() {
			return nil, err
		}
		c, err := profile.Escape{Code: 1}.Plan(d)
		if c != nil {
			c.TestAsRead(d, profile.At(profile.ParamBarriers, barrier, strconv.Itoa(round), "verdict"))
		}
		return c, err
	})
	if err != nil {
		return fmt.Errorf("%w; the members could not be told: %w", why, err)
	}
	return why
}

// breakOutFor bounds how long the manager tries to tell the members.
const breakOutFor = 30 * time.Second

// waiter waits for the verdict of a barrier.
type waiter struct {
	store profile.Store
	view  *profile.View
	// outlook spares looks that cannot bring the verdict.
	outlook *coordinator.Outlook
	uuid    string
	log     hclog.Logger
	write   func(context.Context, profile.Plan) error // as the member, or as an operator
	// joined is set where the token was good before: one that is refused has
	// expired, and is outlived as an endpoint that is away.
	joined bool
	// fresh is set where the view was read since the wait was asked for.
	fresh bool
}

// wait takes the round that the profile says when the wait begins, read then:
// an older one that is remembered could be complete already.
func (wt waiter) wait(ctx context.Context, w Waiting, progress func(coordinator.Outcome)) (coordinator.Outcome, error) {
	ctx, cancel := bounded(ctx, w.Timeout)
	defer cancel()
	// The records say how far the others are: for the sake of progress, and of
	// when it is worth while to look again.
	defer wt.view.Want(coordinator.Records()...)()
	if w.Barrier == "" {
		w.Barrier = profile.BarrierComplete
	}
	if !wt.fresh {
		if err := wt.refresh(ctx, append(profile.HotParams(), coordinator.Records()...)); err != nil {
			return coordinator.Outcome{}, err
		}
	}
	round, err := coordinator.Pick(ctx, wt.view, w.Barrier, w.Round, w.Workflow, progress)
	if err != nil {
		return coordinator.Outcome{}, err
	}
	if err := wt.barrier(ctx, w, round); err != nil {
		return coordinator.Outcome{}, err
	}
	defer wt.outlook.Await(w.Barrier, round)()
	return coordinator.Wait(ctx, wt.view, w.Barrier, round, progress)
}

// bounded ends ctx after the time-out, unless that is 0.
func bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w after %s", coordinator.ErrTimeout, timeout))
}

// pass waits until a passage is open.
func (wt waiter) pass(ctx context.Context, p Passing, progress func(string)) (coordinator.Passed, error) {
	ctx, cancel := bounded(ctx, p.Timeout)
	defer cancel()
	names := p.Params()
	if p.Role != "" { // who else is expected says whether the role is settled
		names = append(names, profile.ParamExpected)
	}
	defer wt.view.Want(names...)()
	if err := wt.refresh(ctx, append(profile.HotParams(), names...)); err != nil {
		return coordinator.Passed{}, err
	}
	return coordinator.Pass(ctx, wt.view, wt.uuid, p.Passage, progress)
}

// barrier sees to it that the barrier is there with the criteria that are asked
// for, and does not wait for whoever asks.
func (wt waiter) barrier(ctx context.Context, w Waiting, round profile.Round) error {
	d, _ := wt.view.Latest()
	b, planted, err := d.Barrier(w.Barrier, round.N)
	if err != nil {
		return err
	}
	if !planted && w.Barrier != profile.BarrierComplete {
		spec := profile.BarrierSpec{Name: w.Barrier, Of: profile.OfComplete, Asked: w.Asked}
		err := wt.write(ctx, func(d *profile.Document) (*profile.Change, error) {
			if now, err := d.Round(); err != nil || now != round {
				return nil, err // the wait says what has become of the round
			}
			return spec.Plan(d)
		})
		if err == nil {
			err = wt.refresh(ctx, profile.HotParams())
		}
		if err != nil {
			return fmt.Errorf("open barrier %s: %w", w.Barrier, err)
		}
		d, _ = wt.view.Latest()
		if b, planted, err = d.Barrier(w.Barrier, round.N); err != nil {
			return err
		}
	}
	if !planted || b.ID != round.ID {
		return nil // as above
	}
	if err := w.Asked.Check(w.Barrier, b.Criteria); err != nil {
		return err
	}
	if !w.InJob || b.Criteria.Of != profile.OfComplete || b.Verdict != "" {
		return nil
	}
	own, err := coordinator.WaitsFor(d, b, wt.uuid)
	if err == nil && own {
		err = fmt.Errorf("%w: this runs inside a job of a machine that the barrier waits for: its workflow cannot complete before the wait ends; meet the others inside the workflow with `muster arrive NAME --wait`, or start the step outside of it, behind the gate: `muster run --after complete -- CMD` from a service or a shell of the host", coordinator.ErrSelfWait)
	}
	return err
}

// refresh reads the named params, outliving an endpoint that is away.
func (wt waiter) refresh(ctx context.Context, names []string) error {
	retry := backoff.New(200*time.Millisecond, 5*time.Second, random)
	for {
		err := wt.view.Refresh(ctx, wt.store, names...)
		if err == nil {
			return nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%w (%w)", cause, err)
		}
		if !errors.Is(err, profile.ErrUnavailable) && !(wt.joined && errors.Is(err, profile.ErrRefused)) {
			return err
		}
		if cause := backoff.Sleep(ctx, retry.Next()); cause != nil {
			return fmt.Errorf("%w (%w)", cause, err)
		}
	}
}

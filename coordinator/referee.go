package coordinator

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/internal/pulse"
	"muster/profile"
)

// Referee records verdicts that are due though nobody's result or arrival made
// them so: because whoever should have recorded them died in between, or because
// the barrier's deadline passed.
type Referee struct {
	Member *profile.Member
	Store  profile.Store
	View   *profile.View
	Logger hclog.Logger
	// Random draws from [0, 1); nil takes math/rand/v2.
	Random func() float64

	since map[string]time.Time // open barriers with a deadline, by name and round id, and when they were first seen
	looks time.Time            // when a look was taken last
}

// refereeEvery is how often the best-ranked member looks whether a verdict is
// due; the next one looks half as often, the third a third as often. After a
// deadline each gives those before it lateTurn.
const (
	refereeEvery = 10 * time.Second
	lateTurn     = 2 * time.Second
)

// Run looks from time to time until ctx ends, and returns its cause; or until
// the member's identity is lost. It reads the records only while a barrier is
// open at which the member's own result is in, or the deadline has passed.
func (r *Referee) Run(ctx context.Context) error {
	if r.Random == nil {
		r.Random = mathrand.Float64
	}
	r.looks = time.Now()
	next := r.pause()
	for {
		d, n := r.View.Latest()
		due := soonest(next, r.deadline(d))
		timer := time.NewTimer(time.Until(due))
		select {
		case <-pulse.From(ctx).Idle("waiting for its turn"):
			timer.Stop()
			continue
		case <-r.View.After(n):
			timer.Stop()
			continue // perhaps to another barrier
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		pulse.From(ctx).Working()
		err := r.look(ctx)
		switch {
		case errors.Is(err, profile.ErrTwin), errors.Is(err, profile.ErrForgotten):
			return err
		case err != nil && ctx.Err() == nil:
			r.Logger.Warn("a barrier cannot be judged", "err", err)
		}
		r.looks = time.Now()
		next = r.pause()
	}
}

func soonest(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// pause returns when to look next, though no deadline passes.
func (r *Referee) pause() time.Time {
	d, _ := r.View.Latest()
	return time.Now().Add(time.Duration((0.8 + 0.4*r.Random()) * float64(refereeEvery) * float64(1+r.rank(d))))
}

// deadline takes note of the barriers that are open, and returns when it is
// this member's turn to look at the first whose deadline passes; zero for none.
func (r *Referee) deadline(d *profile.Document) time.Time {
	var first time.Time
	open := map[string]time.Time{}
	for _, b := range openBarriers(d) {
		length := b.Criteria.DeadlineIn()
		if length == 0 {
			continue
		}
		key := b.name + " " + b.ID
		if open[key] = r.since[key]; open[key].IsZero() {
			open[key] = time.Now()
		}
		turn := open[key].Add(length + time.Duration(r.rank(d))*lateTurn)
		if turn.After(r.looks) && (first.IsZero() || turn.Before(first)) { // else it was looked at, and is again in time
			first = turn
		}
	}
	r.since = open
	return first
}

// late implements Late.
func (r *Referee) late(name string, b profile.Barrier) bool {
	since, seen := r.since[name+" "+b.ID]
	return seen && time.Since(since) >= b.Criteria.DeadlineIn()
}

func (r *Referee) look(ctx context.Context) error {
	d, _ := r.View.Latest()
	own, _, err := d.Record(r.Member.UUID())
	if err != nil {
		return err
	}
	worth := slices.ContainsFunc(openBarriers(d), func(b open) bool {
		return own.Results[strconv.Itoa(b.round)] != "" || own.Arrived[b.name] == b.ID || r.late(b.name, b.Barrier)
	})
	if !worth {
		return nil
	}
	if err := r.View.Refresh(ctx, r.Store, Records()...); err != nil {
		return err
	}
	return Judge(ctx, r.Member, r.View, r.late)
}

// open is a barrier of the round of now without a verdict.
type open struct {
	profile.Barrier
	name  string
	round int
}

// openBarriers returns them by name. What was edited by hand is left out.
func openBarriers(d *profile.Document) []open {
	round, err := d.Round()
	if err != nil {
		return nil
	}
	names, err := d.BarrierNames(round.N)
	if err != nil {
		return nil
	}
	var list []open
	for _, name := range names {
		if b, planted, err := d.Barrier(name, round.N); err == nil && planted && b.Verdict == "" && b.ID == round.ID {
			list = append(list, open{Barrier: b, name: name, round: round.N})
		}
	}
	return list
}

func (r *Referee) rank(d *profile.Document) int {
	expected, err := d.Expected()
	if err != nil {
		return 0
	}
	rank := slices.Index(slices.Sorted(slices.Values(expected.Members)), r.Member.UUID())
	if rank < 0 { // not expected: after all who are
		return len(expected.Members)
	}
	return rank
}

// Records are the params that say how far a round has come. They are large:
// read them for a verdict that may be due, or for progress, and not often.
func Records() []string { return []string{profile.ParamMembers, profile.ParamExpected} }

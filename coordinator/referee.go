package coordinator

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/internal/backoff"
	"muster/profile"
)

// Referee records verdicts that are due though whoever should have recorded
// them did not: it died between its completion and the verdict.
type Referee struct {
	Member *profile.Member
	Store  profile.Store
	View   *profile.View
	Logger hclog.Logger
	// Random draws from [0, 1); nil takes math/rand/v2.
	Random func() float64
}

// refereeEvery is how often the best-ranked member looks whether a verdict is
// due; the next one looks half as often, the third a third as often.
const refereeEvery = 10 * time.Second

// Run looks from time to time until ctx ends, and returns its cause; or until
// the member's identity is lost. It reads the records only while the round is
// open and the member's own result is in.
func (r *Referee) Run(ctx context.Context) error {
	if r.Random == nil {
		r.Random = mathrand.Float64
	}
	for {
		d, _ := r.View.Latest()
		pause := time.Duration((0.8 + 0.4*r.Random()) * float64(refereeEvery) * float64(1+r.rank(d)))
		if err := backoff.Sleep(ctx, pause); err != nil {
			return err
		}
		err := r.look(ctx)
		switch {
		case errors.Is(err, profile.ErrTwin), errors.Is(err, profile.ErrForgotten):
			return err
		case err != nil && ctx.Err() == nil:
			r.Logger.Warn("the round cannot be judged", "err", err)
		}
	}
}

func (r *Referee) look(ctx context.Context) error {
	d, _ := r.View.Latest()
	round, err := d.Round()
	if err != nil {
		return err
	}
	barrier, planted, err := d.Barrier(profile.BarrierComplete, round.N)
	if err != nil || !planted || barrier.Verdict != "" {
		return err
	}
	own, _, err := d.Record(r.Member.UUID())
	if err != nil || own.Results[strconv.Itoa(round.N)] == "" {
		return err
	}
	if err := r.View.Refresh(ctx, r.Store, Records()...); err != nil {
		return err
	}
	return Judge(ctx, r.Member, r.View, round.N)
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

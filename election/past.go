package election

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"muster/profile"
)

// resume leads a tenure of before, as after a restart: a lease only once it is
// renewed, and a role on demand only if somebody on this host asks for it.
func (e *Elector) resume(ctx, leading context.Context, t profile.Tenure) (time.Duration, error) {
	d, _ := e.cfg.View.Latest()
	options, err := d.RoleOptions(t.Role)
	if err != nil || options.OnDemand && !e.isAsked(t.Role) {
		return 0, err
	}
	ttl, err := profile.ParseTTL(t.TTL)
	if err != nil {
		return 0, err
	}
	var lease *profile.Lease
	var since time.Duration
	if ttl > 0 {
		if lease, since, err = e.proof(ctx, t, ttl); err != nil {
			return min(retryEvery, profile.RenewEvery(ttl)/4), fmt.Errorf("slot %s: %w", t.Slot, err)
		}
	}
	e.awaitPast(leading, e.lead(leading, t, ttl, lease, since))
	return 0, nil
}

// proof renews the lease of a tenure of before, and returns from when on it
// counts. A renewal that the slot had not when it was read, a moment ago, proves
// no twin here: an attempt of the process before may land at any time.
func (e *Elector) proof(ctx context.Context, t profile.Tenure, ttl time.Duration) (*profile.Lease, time.Duration, error) {
	if err := e.cfg.View.Refresh(ctx, e.cfg.Store, profile.HotParams()...); err != nil {
		return nil, 0, err
	}
	d, _ := e.cfg.View.Latest()
	slots, err := d.Slots()
	if err != nil {
		return nil, 0, err
	}
	lease := e.cfg.Member.Lease(t, slots[t.Role][t.Slot].Renewal)
	since, err := attempt(ctx, lease, ttl, e.cfg.Clock)
	switch {
	case errors.Is(err, profile.ErrLost):
		e.drop(t.Role, t)
	case errors.Is(err, profile.ErrTwin):
		err = fmt.Errorf("%w: its renewal changed while it was read", profile.ErrConflict)
	}
	return lease, since, err
}

// pastFor is how long after a restart the slot of a sticky role is not given
// back: a command that ran under it comes back to this process in that time.
const pastFor = 10 * time.Second

// past returns for how long something of before the start of this process may
// still run under the tenure t without having come back, 0 if not: for a lease,
// until the last deadline that it can know.
func (e *Elector) past(t profile.Tenure) time.Duration {
	if e.before[t.Role] != t {
		return 0
	}
	last := pastFor
	if ttl, err := profile.ParseTTL(t.TTL); err == nil && ttl > 0 {
		last = profile.ActFor(ttl)
	}
	return max(0, e.began+last-e.cfg.Clock.Now())
}

// awaitPast keeps the slot of a resumed tenure from being given back while
// something from before the restart may still run under it.
func (e *Elector) awaitPast(leading context.Context, l *Leadership) {
	left := e.past(l.tenure)
	if left == 0 {
		return
	}
	past, err := l.Use()
	if err != nil {
		return // it has ended already
	}
	past.Ack(math.MaxInt64)
	until := e.cfg.Clock.Now() + left
	e.ways.Go(func() {
		if e.cfg.Clock.Until(leading, until) == nil {
			past.Done()
		}
	})
}

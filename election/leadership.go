package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"muster/internal/boottime"
	"muster/profile"
)

// Causes with which leadership ends, beside profile.ErrLost (the slot is not
// held under the tenure any more), profile.ErrTwin (somebody else renewed it)
// and the cause of the elector's context.
var (
	// ErrNotRenewed means that the lease could not be renewed in time, so that
	// the slot can no longer be proven.
	ErrNotRenewed = errors.New("election: the lease was not renewed in time")
	// ErrGivenUp means that the slot is given up: resigned, transferred,
	// evicted or drained. The text says which.
	ErrGivenUp = errors.New("election: the slot is given up")
)

// Deadlines are moments on the elector's clock. Both are 0 for a sticky slot.
type Deadlines struct {
	Term time.Duration // whatever runs under the tenure is told to end
	Kill time.Duration // and is dead by now; leadership ends
}

// Leadership is a tenure that is led. It lasts as long as the slot can be
// proven, and is safe for concurrent use.
type Leadership struct {
	tenure profile.Tenure
	ttl    time.Duration // 0: sticky
	clock  boottime.Clock
	ctx    context.Context
	cancel context.CancelCauseFunc
	kick   func() // wakes the elector

	mu        sync.Mutex
	deadlines Deadlines
	uses      map[*Use]time.Duration // → the Kill moment that was acknowledged last
	changed   chan struct{}          // closed by the next change of the above
}

func newLeadership(ctx context.Context, t profile.Tenure, ttl time.Duration, clock boottime.Clock, kick func()) *Leadership {
	l := &Leadership{tenure: t, ttl: ttl, clock: clock, kick: kick, uses: map[*Use]time.Duration{}, changed: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	return l
}

// Tenure returns the tenure under which the slot is held.
func (l *Leadership) Tenure() profile.Tenure { return l.tenure }

// Context is done when leadership has ended; its cause says why. A process
// that was stopped learns it late: what must not happen late is fenced.
func (l *Leadership) Context() context.Context { return l.ctx }

// Deadlines returns the moments by which whatever runs under the tenure must
// end unless it is renewed, and a channel that is closed when they change.
func (l *Leadership) Deadlines() (Deadlines, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadlines, l.changed
}

// Use is something that runs under a tenure. The slot is not given back before
// it is done, and not renewed unless it keeps up with the deadlines.
type Use struct{ l *Leadership }

// Use begins a use, which knows the deadlines as they are. After leadership has
// ended it is the cause of that.
func (l *Leadership) Use() (*Use, error) {
	if err := l.lasts(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return nil, context.Cause(l.ctx)
	}
	u := &Use{l: l}
	l.uses[u] = l.deadlines.Kill
	return u, nil
}

// Ack says that the use ends by the moment kill. It wakes who waits for a change
// of Deadlines: acknowledge each moment once.
func (u *Use) Ack(kill time.Duration) {
	u.l.mu.Lock()
	defer u.l.mu.Unlock()
	if _, running := u.l.uses[u]; running {
		u.l.uses[u] = kill
		u.l.changedLocked()
	}
}

// Done says that nothing of the use runs any more.
func (u *Use) Done() {
	u.l.mu.Lock()
	delete(u.l.uses, u)
	u.l.changedLocked()
	u.l.mu.Unlock()
	u.l.kick()
}

// changedLocked wakes whoever waits for a change.
func (l *Leadership) changedLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// used reports whether something runs under the tenure.
func (l *Leadership) used() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.uses) > 0
}

// end ends leadership with this cause, if it lasts.
func (l *Leadership) end(cause error) {
	if l.ctx.Err() == nil {
		l.cancel(cause)
		l.kick()
	}
}

// extend counts the lease from the moment since.
func (l *Leadership) extend(since time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kill := since + profile.ActFor(l.ttl)
	l.deadlines = Deadlines{Term: kill - profile.WarnBefore(l.ttl), Kill: kill}
	l.changedLocked()
}

// behind returns a channel to wait on if a use has not acknowledged the last
// deadline, else nil.
func (l *Leadership) behind() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, acked := range l.uses {
		if acked < l.deadlines.Kill {
			return l.changed
		}
	}
	return nil
}

// lasts returns why leadership has ended, or nil. It ends it if the deadline has
// passed, as while the host was suspended: timers notice that late.
func (l *Leadership) lasts() error {
	if d, _ := l.Deadlines(); l.ttl > 0 && l.clock.Now() >= d.Kill {
		l.end(fmt.Errorf("%w: slot %s/%s, epoch %d", ErrNotRenewed, l.tenure.Role, l.tenure.Slot, l.tenure.Epoch))
	}
	return context.Cause(l.ctx)
}

// expire ends leadership when its deadline passes unrenewed.
func (l *Leadership) expire() {
	for l.lasts() == nil {
		d, _ := l.Deadlines()
		l.clock.Until(l.ctx, d.Kill)
	}
}

// renew keeps the lease from the moment since on, until leadership ends.
func (l *Leadership) renew(lease *profile.Lease, since time.Duration, random func() float64) {
	next := since + profile.RenewEvery(l.ttl)
	for {
		if l.clock.Until(l.ctx, next) != nil {
			return
		}
		if changed := l.behind(); changed != nil {
			select {
			case <-changed:
				continue
			case <-l.ctx.Done():
				return
			}
		}
		landed, err := attempt(l.ctx, lease, l.ttl, l.clock)
		switch {
		case l.lasts() != nil: // it may have landed, but what runs under it has been ended
			return
		case err == nil:
			l.extend(landed)
			next = landed + profile.RenewEvery(l.ttl)
		case errors.Is(err, profile.ErrLost), errors.Is(err, profile.ErrTwin):
			l.end(err)
			return
		default: // again, several times before the deadline
			next = l.clock.Now() + time.Duration((0.5+0.5*random())*float64(l.ttl/24))
		}
	}
}

// attempt tries to renew once. It leaves time for others until the deadline.
func attempt(ctx context.Context, lease *profile.Lease, ttl time.Duration, clock boottime.Clock) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, ttl/9)
	defer cancel()
	return lease.Renew(ctx, clock.Now)
}

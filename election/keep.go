package election

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"muster/profile"
)

// ErrNoSlot means that the member holds no slot of the role.
var ErrNoSlot = errors.New("election: no slot of the role is held")

// Await blocks until the member leads in role, or ctx ends.
func (e *Elector) Await(ctx context.Context, role string) (*Leadership, error) {
	for {
		e.mu.Lock()
		l, changed := e.led[role], e.begun
		e.mu.Unlock()
		if l != nil && l.lasts() == nil {
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Ask says that this host wants a slot of a role that is on demand. withdraw
// ends that; with the last of them the slot is given back, once nothing runs
// under it any more.
func (e *Elector) Ask(role string) (withdraw func()) {
	e.mu.Lock()
	e.asks[role]++
	e.mu.Unlock()
	e.kick()
	return func() {
		e.mu.Lock()
		e.asks[role]--
		e.mu.Unlock()
		e.kick()
	}
}

// Resign gives up the slot of role, and returns the tenure that has ended. The
// member does not claim the role again before another did, or for 10 s.
// ErrNoSlot: there is nothing to give up. If ctx ends first the slot is given
// up nevertheless, as soon as it can be.
func (e *Elector) Resign(ctx context.Context, role string) (profile.Tenure, error) {
	d, _ := e.cfg.View.Latest()
	t, held := e.cfg.Member.Tenure(d, role)
	if !held {
		return t, fmt.Errorf("%w: %s", ErrNoSlot, role)
	}
	e.mu.Lock()
	e.resigns[role] = profile.EventResigned
	e.mu.Unlock()
	e.kick()
	for {
		_, n := e.cfg.View.Latest()
		if now, _ := e.cfg.View.Latest(); !e.confirms(now, t) {
			return t, nil
		}
		select {
		case <-e.cfg.View.After(n):
		case <-ctx.Done():
			return t, fmt.Errorf("slot %s/%s is not given up yet: %w", t.Role, t.Slot, context.Cause(ctx))
		}
	}
}

// confirms reports whether the slot is held under the tenure t in d.
func (e *Elector) confirms(d *profile.Document, t profile.Tenure) bool {
	now, held := e.cfg.Member.Tenure(d, t.Role)
	return held && now == t
}

// keep leads the slot of role that the member holds, or gives it up. It reports
// whether the member holds one, or did and is not done with it, and when to look
// again though nothing changes.
func (e *Elector) keep(ctx, leading context.Context, role string) (held bool, wait time.Duration, err error) {
	d, _ := e.cfg.View.Latest()
	t, mine := e.cfg.Member.Tenure(d, role)
	l := e.leads(role)
	if l != nil && (!mine || l.tenure != t) {
		l.end(lost(l.tenure))
		if l.used() { // or two of this host would act for the role; its end wakes the loop
			e.note(role, "what ran under the slot that was lost has not ended", 0)
			return true, 0, nil
		}
		e.drop(role, l.tenure)
		l = nil
	}
	if !mine {
		e.forgetResign(role)
		return false, 0, nil
	}
	e.note(role, "", 0)
	event, err := e.mustGiveUp(d, t, l != nil)
	left := e.rest.until - e.cfg.Clock.Now()
	over := l != nil && l.ctx.Err() != nil
	switch {
	case leading.Err() != nil: // looked at after l: the end of the elector gives up nothing but leases, in leave
	case err != nil:
	case event == profile.EventTransferred && left > 0 && l != nil && !over:
		return true, left, nil // led until the member that it is wanted for must have seen it
	case event != "" && t.TTL == "" && e.past(t) > 0 && !e.wasLed(t): // what comes back is told that it must end
		if wait = e.past(t); l == nil {
			_, err = e.resume(ctx, leading, t)
		}
	case event != "":
		wait, err = e.giveUp(ctx, t, l, event)
	case over, l == nil && e.wasLed(t):
		wait, err = e.giveUp(ctx, t, l, profile.EventReleased)
	case l == nil:
		wait, err = e.resume(ctx, leading, t)
	}
	return true, wait, err
}

// mustGiveUp returns the event for which the slot of t is to be given up, or "".
// A slot on demand that was not led since the start of this process is left to
// whoever asks again.
func (e *Elector) mustGiveUp(d *profile.Document, t profile.Tenure, led bool) (string, error) {
	e.mu.Lock()
	event := e.resigns[t.Role]
	e.mu.Unlock()
	if event != "" {
		return event, nil
	}
	slots, err := d.Slots()
	if err != nil {
		return "", err
	}
	switch wanted := slots[t.Role][t.Slot].Wanted; wanted {
	case "", e.cfg.Member.UUID():
	case profile.Anybody:
		return profile.EventEvicted, nil
	default:
		return profile.EventTransferred, nil
	}
	count, _, err := d.SlotCount(t.Role)
	if err != nil {
		return "", err
	}
	options, err := d.RoleOptions(t.Role)
	if err != nil {
		return "", err
	}
	if n, err := strconv.Atoi(t.Slot); err != nil || n > count || options.PriorityOf(e.cfg.Member.UUID()) == 0 {
		return profile.EventDrained, nil
	}
	if led && options.OnDemand && !e.isAsked(t.Role) {
		return profile.EventReleased, nil
	}
	return "", nil
}

// giveUp ends the leadership l of the tenure t, if there is one, and frees the
// slot once nothing runs under it any more, from before a restart neither.
func (e *Elector) giveUp(ctx context.Context, t profile.Tenure, l *Leadership, event string) (time.Duration, error) {
	if l != nil {
		l.end(fmt.Errorf("%w: %s", ErrGivenUp, event))
		if l.used() {
			return 0, nil // its end wakes the loop
		}
	} else if left := e.past(t); left > 0 && !e.wasLed(t) {
		return left, nil
	}
	if t.Role == profile.Leader {
		if err := e.mark(ctx, false); err != nil { // a mirror: the slot does not wait for it
			e.log.Debug("the machine is still marked as a leader", "err", err)
		}
	}
	return 0, e.release(ctx, t, event)
}

// release frees the slot of the tenure t.
func (e *Elector) release(ctx context.Context, t profile.Tenure, event string) error {
	uuid := e.cfg.Member.UUID()
	_, err := e.cfg.Member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		slots, err := d.Slots()
		if err != nil || !t.Names(slots[t.Role][t.Slot]) {
			return nil, err
		}
		return profile.Release(d, t, uuid, event)
	})
	if err != nil {
		return fmt.Errorf("give up slot %s: %w", t.Slot, err)
	}
	e.log.Info("slot given up", "role", t.Role, "slot", t.Slot, "epoch", t.Epoch, "because", event)
	e.drop(t.Role, t)
	e.forgetResign(t.Role)
	if event == profile.EventResigned {
		e.mu.Lock()
		e.cooling[t.Role] = cooling{since: e.cfg.Clock.Now(), slot: t.Slot, epoch: t.Epoch}
		e.mu.Unlock()
	}
	return nil
}

// lead begins leadership under the tenure t; a lease counts from since.
func (e *Elector) lead(leading context.Context, t profile.Tenure, ttl time.Duration, lease *profile.Lease, since time.Duration) *Leadership {
	l := newLeadership(leading, t, ttl, e.cfg.Clock, e.kick)
	if ttl > 0 {
		l.extend(since)
		e.ways.Go(l.expire)
		e.ways.Go(func() { l.renew(lease, since, e.cfg.Random) })
	}
	e.ways.Go(func() { e.watch(l) })
	e.log.Info("slot is held", "role", t.Role, "slot", t.Slot, "epoch", t.Epoch, "ttl", ttl)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.led[t.Role] = l
	delete(e.cooling, t.Role)
	close(e.begun)
	e.begun = make(chan struct{})
	return l
}

// watch ends leadership as soon as the slot is seen not to be held under the
// tenure any more: the loop may be busy with a write that is not answered.
func (e *Elector) watch(l *Leadership) {
	for n := uint64(0); ; {
		d, next, err := e.cfg.View.Wait(l.ctx, n)
		if err != nil {
			return
		}
		n = next
		if _, err := d.Slots(); err == nil && !e.confirms(d, l.tenure) { // else it was edited by hand, and proves nothing
			l.end(lost(l.tenure))
		}
	}
}

func lost(t profile.Tenure) error {
	return fmt.Errorf("%w: slot %s/%s is not held in epoch %d any more", profile.ErrLost, t.Role, t.Slot, t.Epoch)
}

// leave gives leases back when the elector ends, once nothing runs under them
// any more; what does not end in time keeps its slot until the lease lapses.
func (e *Elector) leave(ctx context.Context) {
	e.mu.Lock()
	led := make([]*Leadership, 0, len(e.led))
	for _, role := range slices.Sorted(maps.Keys(e.led)) {
		led = append(led, e.led[role])
	}
	e.mu.Unlock()
	for _, l := range led {
		if l.ttl == 0 || !l.unused(ctx) {
			continue
		}
		if err := e.handIn(ctx, l.tenure); err != nil {
			e.log.Warn("a lease could not be given back and lapses by itself", "role", l.tenure.Role, "slot", l.tenure.Slot, "err", err)
		}
	}
}

// handIn gives back the lease of the tenure t, and takes back what mirrors it.
func (e *Elector) handIn(ctx context.Context, t profile.Tenure) error {
	ctx, cancel := context.WithTimeout(ctx, leaveFor)
	defer cancel()
	if err := e.release(ctx, t, profile.EventReleased); err != nil || t.Role != profile.Leader {
		return err
	}
	d, _ := e.cfg.View.Latest()
	if err := e.mirror(ctx, d); err != nil {
		e.log.Warn("old scripts may take this machine for a leader until its agent is started again", "err", err)
	}
	return nil
}

// leaveFor bounds the giving back of a lease when the elector ends.
const leaveFor = 3 * time.Second

// unused blocks until nothing runs under the tenure, at most until its
// deadline, and reports which.
func (l *Leadership) unused(ctx context.Context) bool {
	d, _ := l.Deadlines()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := make(chan struct{})
	go func() {
		defer close(late)
		l.clock.Until(ctx, d.Kill)
	}()
	for {
		_, changed := l.Deadlines()
		if !l.used() {
			cancel()
			<-late
			return true
		}
		select {
		case <-changed:
		case <-late:
			return false
		}
	}
}

func (e *Elector) leads(role string) *Leadership {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.led[role]
}

// drop notes that the tenure t is never led again.
func (e *Elector) drop(role string, t profile.Tenure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.led, role)
	e.over[role] = t
}

func (e *Elector) wasLed(t profile.Tenure) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.over[t.Role] == t
}

func (e *Elector) forgetResign(role string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.resigns, role)
}

func (e *Elector) isAsked(role string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asks[role] > 0
}

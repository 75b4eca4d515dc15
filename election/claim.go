package election

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"muster/profile"
)

// Times of competing.
const (
	// wantedFor is how long a free slot is kept for the member that it is
	// wanted for, once nobody is seen to touch it; longer where members rested,
	// or may rest at a barrier: then claimIn longer than that.
	wantedFor = 10 * time.Second
	claimIn   = 2 * time.Second
	// coolFor is how long a member that resigned leaves the role to others.
	coolFor = 10 * time.Second
	// quietFor is how long the profile must rest before members rank by
	// priority though not all have joined.
	quietFor = 10 * time.Second
)

// cooling is the time after a resignation.
type cooling struct {
	since time.Duration // on the elector's clock
	slot  string
	epoch int64 // that was resigned
}

// compete claims a slot of role if there is one to be had and it is this
// member's turn.
func (e *Elector) compete(ctx, leading context.Context, role string) (time.Duration, error) {
	d, _ := e.cfg.View.Latest()
	if reason, again, err := e.barrier(ctx, d, role); err != nil || reason != "" {
		delete(e.waits, role)
		pace := time.Duration(0)
		if e.cool(d, role) > 0 {
			pace = closePace // it ranks again as soon as another holds the slot, which may resign at once
		}
		e.note(role, reason, pace)
		return again, err
	}
	rank, err := e.rank(d, role)
	if err != nil {
		return 0, err
	}
	pace := e.close(d, role, rank)
	later := e.later(pace)
	open, wait, err := e.open(d, role, later)
	if err != nil {
		return 0, err
	}
	e.note(role, e.whyOpen(d, role, open), pace)
	if len(open) == 0 {
		delete(e.waits, role)
		e.place(d, role)
		return wait, nil
	}
	mine := e.meant(d, role, open) // for nobody else: no need to rank
	if left := e.hesitate(role, rank-len(open)); mine == "" && left > 0 {
		return soonest(wait, left), nil
	}
	open, wait, err = e.reopen(ctx, role, later, mine == "" && rank >= len(open))
	if err != nil || len(open) == 0 {
		return wait, err
	}
	delete(e.waits, role)
	if mine == "" {
		mine = open[rank%len(open)]
	}
	return 0, e.claim(ctx, leading, role, mine)
}

// open returns the slots of role that this member may claim now, lowest first,
// and after which time there may be another. Leases lapse later by so much.
func (e *Elector) open(d *profile.Document, role string, later time.Duration) (open []string, wait time.Duration, err error) {
	slots, err := d.Slots()
	if err != nil {
		return nil, 0, err
	}
	count, _, err := d.SlotCount(role)
	if err != nil {
		return nil, 0, err
	}
	e.seen.look(slots, e.cfg.Clock.Now())
	kept := max(wantedFor, d.MostRest()*6/5+claimIn) // polling is jittered by a fifth
	for _, n := range profile.SlotNumbers(slots[role]) {
		if i, err := strconv.Atoi(n); err != nil || i < 1 || i > count || strconv.Itoa(i) != n {
			continue
		}
		from, ever, err := e.opens(role, n, later, kept)
		if err != nil {
			return nil, 0, fmt.Errorf("slot %s: %w", n, err)
		}
		if left := from - e.cfg.Clock.Now(); ever && left <= 0 {
			open = append(open, n)
		} else if ever {
			wait = soonest(wait, left)
		}
	}
	if e.holds(slots[role]) { // nothing but what it holds without an instance
		open = slices.DeleteFunc(open, func(n string) bool { return slots[role][n].Holder != e.cfg.Member.UUID() })
	}
	return open, wait, nil
}

// opens returns the moment from which this member may claim a slot if nothing
// changes until then, and whether there is one. Leases lapse later by so much, and
// what is wanted for another is kept so long.
func (e *Elector) opens(role, n string, later, kept time.Duration) (time.Duration, bool, error) {
	seen := e.seen[[2]string{role, n}]
	me, s := e.cfg.Member.UUID(), seen.slot
	var from time.Duration
	switch {
	case s.Holder == me && s.Instance == "": // adopted
		return 0, true, nil
	case s.Holder == me:
		return 0, false, nil
	case !s.Free():
		lapse, lease, err := e.seen.lapses(role, n)
		if err != nil || !lease {
			return 0, false, err
		}
		from = lapse + later
	}
	if s.Wanted != "" && s.Wanted != profile.Anybody && s.Wanted != me {
		from = max(from, seen.wanted+kept, e.rest.until)
	}
	return from, true, nil
}

// meant returns the open slot that is for this member and nobody else, or "".
func (e *Elector) meant(d *profile.Document, role string, open []string) string {
	me := e.cfg.Member.UUID()
	for _, n := range open {
		if s := e.seen[[2]string{role, n}].slot; s.Wanted == me || s.Holder == me {
			return n
		}
	}
	return ""
}

// hesitate returns how long this member still leaves open slots to the behind+1
// members that rank better.
func (e *Elector) hesitate(role string, behind int) time.Duration {
	if behind < 0 {
		return 0
	}
	now := e.cfg.Clock.Now()
	since, waiting := e.waits[role]
	if !waiting {
		since = now
		e.waits[role] = since
	}
	return e.patience(behind) - (now - since)
}

// patience is how long a member leaves a free slot to those who rank better:
// a second, and a little more for each of them, so that not all race at once.
func (e *Elector) patience(behind int) time.Duration {
	return time.Second + min(10*time.Second, time.Duration((float64(behind)+e.cfg.Random())*float64(50*time.Millisecond)))
}

// reopen is open of the profile as one whole answer. What several race for is most
// often gone, which costs no more than the hot params to see.
func (e *Elector) reopen(ctx context.Context, role string, later time.Duration, race bool) (open []string, wait time.Duration, err error) {
	if race {
		if err := e.cfg.View.Refresh(ctx, e.cfg.Store, profile.HotParams()...); err != nil {
			return nil, 0, err
		}
		d, _ := e.cfg.View.Latest()
		if open, wait, err = e.open(d, role, later); err != nil || len(open) == 0 {
			return nil, wait, err
		}
	}
	d, err := e.look(ctx)
	if err != nil {
		return nil, 0, err
	}
	return e.open(d, role, later)
}

// look returns the profile as one whole answer of the endpoint: a claim takes
// its epoch from the answer's Date, which the hot params do not have. It is read
// now if the newest state is none.
func (e *Elector) look(ctx context.Context) (*profile.Document, error) {
	if !e.cfg.View.Whole() {
		_, before := e.cfg.View.Latest()
		d, err := e.cfg.Store.Read(ctx)
		if err != nil {
			return nil, err
		}
		if !e.cfg.View.Put(d, before) {
			if err := e.cfg.View.Refresh(ctx, e.cfg.Store, profile.HotParams()...); err != nil {
				return nil, err
			}
		}
	}
	d, _ := e.cfg.View.Latest()
	return d, nil
}

// claim goes for one slot of role, and leads it if that succeeds.
func (e *Elector) claim(ctx, leading context.Context, role, slot string) error {
	var since time.Duration // before the first attempt: which of them landed may not be known
	after, err := e.cfg.Member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		if since == 0 {
			since = e.cfg.Clock.Now()
		}
		return e.claimChange(d, role, slot)
	})
	if errors.Is(err, profile.ErrLost) {
		e.log.Debug("slot went to somebody else", "role", role, "slot", slot)
		return nil
	}
	if err != nil {
		return err
	}
	t, held := e.cfg.Member.Tenure(after, role)
	if !held || e.wasLed(t) {
		return nil
	}
	e.log.Info("slot claimed", "role", role, "slot", t.Slot, "epoch", t.Epoch)
	// Of the attempt that landed, which may not be the last.
	ttl, err := profile.ParseTTL(t.TTL)
	if err != nil {
		return err
	}
	slots, err := after.Slots()
	if err != nil {
		return err
	}
	seen, _ := e.cfg.View.Latest()
	if !e.confirms(seen, t) || ttl > 0 && e.cfg.Clock.Now()-since >= profile.RenewEvery(ttl) {
		e.kick() // a lease that took too long to count from is renewed first
		return nil
	}
	e.lead(leading, t, ttl, e.cfg.Member.Lease(t, slots[role][t.Slot].Renewal), since)
	return nil
}

// claimChange is the claim of a slot on the state d, or profile.ErrLost.
func (e *Elector) claimChange(d *profile.Document, role, slot string) (*profile.Change, error) {
	options, err := d.RoleOptions(role)
	if err != nil {
		return nil, err
	}
	ttl, err := profile.ParseTTL(options.TTL)
	if err != nil {
		return nil, fmt.Errorf("%w: %s of role %s: %w", profile.ErrMalformed, profile.ParamRoles, role, err)
	}
	if err := e.mayClaim(d, role, slot); err != nil {
		return nil, err
	}
	mine := e.cfg.Member.State()
	me, renewal := profile.Tenure{Role: role, Slot: slot, Instance: mine.Instance, Epoch: mine.Epochs[role]}, ""
	if ttl > 0 {
		me.TTL, renewal = options.TTL, profile.RandomID()
	}
	return profile.Claim(d, me, e.cfg.Member.UUID(), renewal)
}

// mayClaim returns nil if the member may claim the slot as it is in d, and
// otherwise profile.ErrLost.
func (e *Elector) mayClaim(d *profile.Document, role, slot string) error {
	open, _, err := e.open(d, role, 0)
	if err != nil {
		return err
	}
	paused, err := d.Paused()
	if err != nil {
		return err
	}
	record, ok, err := d.Record(e.cfg.Member.UUID())
	if err != nil {
		return err
	}
	bar, planted := record.Barred[role]
	if paused || !ok || !planted || bar != "" || !slices.Contains(open, slot) {
		return profile.ErrLost
	}
	return nil
}

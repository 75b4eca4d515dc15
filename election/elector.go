// Package election races for the slots of roles. A sticky slot has no failover:
// it is kept, also by a dead holder, until it is given up or an operator frees
// it. It says where something is placed, not that it lives.
//
// Guaranteed, given the contract of package profile: a slot has at most one
// holder; a member holds at most one slot of a role; (instance, epoch) of a
// tenure is never reused and epochs of a slot only rise, except after a
// restored backup together with a clock set back; nobody claims while the
// profile is paused, or a role that it is barred from.
//
// Not guaranteed: that every slot is held at any moment (a slot of a member
// that is slow to start stays free until others stop waiting for it), nor that
// a holder is alive. Losing a race is a normal outcome and no error.
//
// Clocks: waiting for a better-ranked member is counted on this process's
// monotonic clock; nothing depends on the clocks of others agreeing.
package election

import (
	"context"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/profile"
)

// Config is what an Elector needs.
type Config struct {
	Member *profile.Member
	Store  profile.Store // for a fresh look before a race
	View   *profile.View
	// Machine is marked while the member holds a leader slot; nil without a
	// machine token.
	Machine profile.MachineStore
	// Marked is how the machine was found to be marked.
	Marked bool
	// Logger may be nil.
	Logger hclog.Logger
	// Random draws from [0, 1); nil takes math/rand/v2.
	Random func() float64
}

// Elector competes for the slots of every role that the profile has.
type Elector struct {
	cfg    Config
	log    hclog.Logger
	marked bool
	// waits is, by role, since when this member leaves free slots to others.
	waits map[string]time.Time
	// asked is when the own record was last read for the sake of a lifted bar.
	asked time.Time
}

// New returns an elector. Run starts it.
func New(cfg Config) *Elector {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.Random == nil {
		cfg.Random = mathrand.Float64
	}
	return &Elector{cfg: cfg, log: cfg.Logger, marked: cfg.Marked, waits: map[string]time.Time{}}
}

// retryEvery is how soon something that failed is tried again, and barredEvery
// how often a barred member looks whether its bar was lifted: records are large,
// and no part of the hot params.
const (
	retryEvery  = 5 * time.Second
	barredEvery = 10 * time.Second
)

// Run competes until ctx ends, and returns its cause; or until the member's
// identity is lost, with profile.ErrTwin or profile.ErrForgotten. Slots are
// kept when it returns.
func (e *Elector) Run(ctx context.Context) error {
	var seen uint64
	wake := time.Duration(0)
	said := "" // the trouble that was logged last
	for {
		waiting, cancel := ctx, context.CancelFunc(func() {})
		if wake > 0 {
			waiting, cancel = context.WithTimeout(ctx, wake)
		}
		doc, n, _ := e.cfg.View.Wait(waiting, seen)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		seen = n
		next, err := e.act(ctx, doc)
		switch {
		case errors.Is(err, profile.ErrTwin), errors.Is(err, profile.ErrForgotten):
			return err
		case err != nil && ctx.Err() == nil:
			if text := err.Error(); text != said {
				e.log.Warn("election is held up", "err", err)
				said = text
			}
			next = retryEvery
		case err == nil:
			said = ""
		}
		wake = next
	}
}

// act does what the state d of the profile asks for, and says when to look
// again though nothing changes (0: not needed).
func (e *Elector) act(ctx context.Context, d *profile.Document) (time.Duration, error) {
	slots, err := d.Slots()
	if err != nil {
		return 0, err
	}
	var wake time.Duration
	var faults []error // of one role, which hold up no other
	for _, role := range slices.Sorted(maps.Keys(slots)) {
		err := e.giveBack(ctx, d, role, slots[role])
		var wait time.Duration
		if err == nil {
			wait, err = e.compete(ctx, role, slots[role])
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("role %s: %w", role, err))
		}
		if wait > 0 && (wake == 0 || wait < wake) {
			wake = wait
		}
	}
	latest, _ := e.cfg.View.Latest()
	if err := e.mirror(ctx, latest); err != nil {
		faults = append(faults, err)
	}
	return wake, errors.Join(faults...)
}

// compete claims a slot of role, whose slots were seen as they are given, if it
// is this member's turn.
func (e *Elector) compete(ctx context.Context, role string, seen map[string]profile.Slot) (time.Duration, error) {
	if e.holds(seen) || !slices.ContainsFunc(slices.Collect(maps.Values(seen)), profile.Slot.Free) {
		delete(e.waits, role)
		return 0, nil
	}
	d, _ := e.cfg.View.Latest()
	free, err := d.Claimable(role)
	if err != nil || len(free) == 0 {
		delete(e.waits, role)
		return 0, err
	}
	if err := e.plantBar(ctx, d, role); err != nil {
		return 0, err
	}
	if wait, err := e.askBar(ctx, role); err != nil || wait > 0 {
		return wait, err
	}
	d, _ = e.cfg.View.Latest()
	if may, err := e.mayClaim(d, role); err != nil || !may {
		delete(e.waits, role)
		return 0, err
	}
	if free, err = d.Claimable(role); err != nil || len(free) == 0 {
		return 0, err
	}
	rank, err := e.rank(d, role)
	if err != nil {
		return 0, err
	}
	if rank >= len(free) {
		since, waiting := e.waits[role]
		if !waiting {
			since = time.Now()
			e.waits[role] = since
		}
		if left := e.patience(rank-len(free)) - time.Since(since); left > 0 {
			return left, nil
		}
	}
	if d, err = e.look(ctx, rank >= len(free)); err != nil {
		return 0, err
	}
	if free, err = d.Claimable(role); err != nil || len(free) == 0 {
		return 0, err
	}
	delete(e.waits, role)
	return 0, e.claim(ctx, role, free[rank%len(free)])
}

// look returns the profile as one whole answer of the endpoint: a claim takes
// its epoch from the answer's Date, which the hot params do not have. It is read
// now if the newest state is none, and before every race: for what is still free.
func (e *Elector) look(ctx context.Context, race bool) (*profile.Document, error) {
	if race || !e.cfg.View.Whole() {
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

// patience is how long a member leaves a free slot to those who rank better:
// a second, and a little more for each of them, so that not all race at once.
func (e *Elector) patience(behind int) time.Duration {
	return time.Second + min(10*time.Second, time.Duration((float64(behind)+e.cfg.Random())*float64(50*time.Millisecond)))
}

func (e *Elector) claim(ctx context.Context, role, slot string) error {
	uuid := e.cfg.Member.UUID()
	after, err := e.cfg.Member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		if slots, err := d.Slots(); err != nil || e.holds(slots[role]) {
			return nil, err
		}
		free, err := d.Claimable(role)
		if err != nil {
			return nil, err
		}
		may, err := e.mayClaim(d, role)
		if err != nil {
			return nil, err
		}
		if !may || !slices.Contains(free, slot) {
			return nil, profile.ErrLost
		}
		me := profile.Tenure{Role: role, Slot: slot, Instance: e.cfg.Member.State().Instance}
		return profile.Claim(d, me, uuid, "")
	})
	if errors.Is(err, profile.ErrLost) {
		e.log.Debug("slot went to somebody else", "role", role, "slot", slot)
		return nil
	}
	if err != nil {
		return err
	}
	if t, held := e.cfg.Member.Tenure(after, role); held {
		e.log.Info("slot claimed", "role", role, "slot", t.Slot, "epoch", t.Epoch)
	}
	return nil
}

// holds reports whether some of the slots of a role names this machine, under
// whatever instance: a member never claims a second one.
func (e *Elector) holds(slots map[string]profile.Slot) bool {
	for _, s := range slots {
		if s.Holder == e.cfg.Member.UUID() {
			return true
		}
	}
	return false
}

// mayClaim reports whether claims are open to this member.
func (e *Elector) mayClaim(d *profile.Document, role string) (bool, error) {
	paused, err := d.Paused()
	if err != nil || paused {
		return false, err
	}
	record, ok, err := d.Record(e.cfg.Member.UUID())
	bar, planted := record.Barred[role]
	return ok && planted && bar == "", err
}

// plantBar gives the own record a bar for a role that is newer than it, so that
// a claim has something to test.
func (e *Elector) plantBar(ctx context.Context, d *profile.Document, role string) error {
	uuid := e.cfg.Member.UUID()
	lacks := func(d *profile.Document) (bool, error) {
		record, ok, err := d.Record(uuid)
		_, planted := record.Barred[role]
		return ok && !planted, err
	}
	if lack, err := lacks(d); err != nil || !lack {
		return err
	}
	_, err := e.cfg.Member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		if lack, err := lacks(d); err != nil || !lack {
			return nil, err
		}
		c := &profile.Change{}
		c.TestAsRead(d, profile.At(profile.ParamMembers, uuid, "barred"))
		c.Set(profile.At(profile.ParamMembers, uuid, "barred", role), "")
		return c, nil
	})
	return err
}

// askBar reads the own record again if it is known to bar this member from
// role: the view does not follow records, and the bar may be lifted by now. It
// returns how long to wait before that may be asked.
func (e *Elector) askBar(ctx context.Context, role string) (time.Duration, error) {
	d, _ := e.cfg.View.Latest()
	record, _, err := d.Record(e.cfg.Member.UUID())
	if err != nil || record.Barred[role] == "" {
		return 0, err
	}
	delete(e.waits, role)
	if left := barredEvery - time.Since(e.asked); left > 0 {
		return left, nil
	}
	e.asked = time.Now()
	if err := e.cfg.View.Refresh(ctx, e.cfg.Store, profile.ParamMembers); err != nil {
		return 0, err
	}
	d, _ = e.cfg.View.Latest()
	if record, _, err = d.Record(e.cfg.Member.UUID()); err != nil || record.Barred[role] == "" {
		return 0, err
	}
	return barredEvery, nil
}

// giveBack frees slots that name this instance with a tenure that it did not
// claim, as after a restored document (DESIGN, rule 7).
func (e *Elector) giveBack(ctx context.Context, d *profile.Document, role string, slots map[string]profile.Slot) error {
	s := e.cfg.Member.State()
	for _, n := range profile.SlotNumbers(slots) {
		if slots[n].Holder != s.UUID || slots[n].Instance != s.Instance {
			continue // for nearly all; what follows decodes every slot anew
		}
		stray := func(d *profile.Document) (profile.Tenure, bool) {
			all, err := d.Slots()
			slot := all[role][n]
			t := profile.Tenure{Role: role, Slot: n, Instance: slot.Instance, Epoch: slot.Epoch}
			claimed, held := e.cfg.Member.Tenure(d, role)
			return t, err == nil && slot.Holder == s.UUID && slot.Instance == s.Instance && (!held || claimed != t)
		}
		if _, is := stray(d); !is {
			continue
		}
		_, err := e.cfg.Member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
			t, is := stray(d)
			if !is {
				return nil, nil // a claim whose answer was lost, and is now known
			}
			e.log.Warn("giving back a slot that this member did not claim", "role", role, "slot", n)
			return profile.Release(d, t, s.UUID, profile.EventReleased)
		})
		if err != nil {
			return fmt.Errorf("give back slot %s: %w", n, err)
		}
	}
	return nil
}

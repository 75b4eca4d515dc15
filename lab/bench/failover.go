package bench

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"muster/internal/backoff"
	"muster/profile"
)

// failover cuts a leader off, or kills its process, and measures until another
// member leads.
func (s *stage) failover(ctx context.Context, res *Result) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	if s.cfg.Processes {
		return s.failoverOfProcesses(ctx, res)
	}
	var lost *member
	var others []*member
	for _, m := range s.inside {
		switch _, _, err := m.peer.Elector.Leads(profile.Leader); {
		case err != nil:
			others = append(others, m)
		case lost == nil:
			lost = m
		}
	}
	if lost == nil {
		return errors.New("the slots are held, and nobody leads")
	}
	leadership, err := lost.peer.Elector.Await(ctx, profile.Leader)
	if err != nil {
		return err
	}
	before, err := s.read(ctx)
	if err != nil {
		return err
	}
	ended := make(chan time.Time, 1)
	defer context.AfterFunc(leadership.Context(), func() { ended <- time.Now() })()
	cut := time.Now()
	lost.way.cut(errCut)
	s.cfg.Say("%s is cut off", lost.name)
	if err := firstToLead(ctx, others); err != nil {
		return err
	}
	res.Gap = milliseconds(time.Since(cut))
	after, err := s.read(ctx)
	if err != nil {
		return err
	}
	res.between(before, after)
	select {
	case at := <-ended:
		res.Lost = milliseconds(at.Sub(cut))
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failoverOfProcesses looks at the slots as the administrator, which the endpoint
// counts: those looks are taken off.
func (s *stage) failoverOfProcesses(ctx context.Context, res *Result) error {
	d, err := s.store.Read(ctx)
	if err != nil {
		return err
	}
	slots, err := d.Slots()
	if err != nil {
		return err
	}
	number, slot := firstHeld(slots[profile.Leader])
	i := slices.Index(s.uuids, slot.Holder)
	if i < 0 {
		return errors.New("the slots are held, and by no member")
	}
	before, err := s.read(ctx)
	if err != nil {
		return err
	}
	cut := time.Now()
	s.cfg.Say("%s is killed", s.members[i].called())
	if err := s.members[i].(*process).kill(ctx); err != nil {
		return err
	}
	looks, err := s.awaitHeir(ctx, number, slot.Epoch)
	if err != nil {
		return err
	}
	res.Gap = milliseconds(time.Since(cut))
	after, err := s.read(ctx)
	after.counts.ProfileReads -= looks
	res.between(before, after)
	return err
}

// firstHeld is the slot with the lowest number that is held.
func firstHeld(slots map[string]profile.Slot) (number string, held profile.Slot) {
	for _, n := range slices.Sorted(maps.Keys(slots)) {
		if !slots[n].Free() {
			return n, slots[n]
		}
	}
	return "", held
}

// awaitHeir blocks until the slot has another tenure, and returns how often it looked.
func (s *stage) awaitHeir(ctx context.Context, number string, epoch int64) (looks int64, err error) {
	for {
		params, err := s.store.ReadParams(ctx, profile.ParamSlots)
		if err != nil {
			return looks, err
		}
		looks++
		slots, err := (&profile.Document{Params: params}).Slots()
		if err != nil {
			return looks, err
		}
		if now := slots[profile.Leader][number]; !now.Free() && now.Epoch != epoch {
			return looks, nil
		}
		if err := backoff.Sleep(ctx, 2*looksLeast); err != nil {
			return looks, err
		}
	}
}

// errLeads ends the waiting of the others.
var errLeads = errors.New("another member leads")

// firstToLead blocks until one of the members leads.
func firstToLead(ctx context.Context, members []*member) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, m := range members {
		g.Go(func() error {
			if _, err := m.peer.Elector.Await(ctx, profile.Leader); err != nil {
				return err
			}
			return errLeads
		})
	}
	if err := g.Wait(); !errors.Is(err, errLeads) {
		return err
	}
	return nil
}

package bench

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"muster/profile"
)

// failover cuts a leader off, and measures until another member leads.
func (s *stage) failover(ctx context.Context, res *Result) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	var lost *member
	var others []*member
	for _, m := range s.members {
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

//go:build linux

package soak

import (
	"context"
	"sync"
	"time"

	"muster/internal/backoff"
	"muster/profile"
)

// disturbance is something that befalls a member.
type disturbance struct {
	name  string
	share float64
	do    func(ctx context.Context, s *soak, m *member) error
}

var disturbances = []disturbance{
	{"kill", 0.2, func(ctx context.Context, s *soak, m *member) error { return s.again(ctx, m, errKilled) }},
	{"restart", 0.2, func(ctx context.Context, s *soak, m *member) error { return s.again(ctx, m, errStopped) }},
	{"drop", 0.3, func(_ context.Context, _ *soak, m *member) error { m.line.drop(false); return nil }},
	{"partition", 0.2, func(ctx context.Context, s *soak, m *member) error {
		m.line.drop(true)
		_ = backoff.Sleep(ctx, s.draw(100*time.Millisecond, 12*time.Second))
		m.line.mend()
		return nil
	}},
	{"expire", 0.1, func(ctx context.Context, s *soak, m *member) error {
		if err := s.served.Control.ExpireTokens(ctx, "machine:"+m.name); err != nil {
			return err
		}
		_ = backoff.Sleep(ctx, s.draw(0, 3*time.Second))
		return insist(context.WithoutCancel(ctx), func() error { return m.newTokens(context.WithoutCancel(ctx)) })
	}},
}

// again ends an agent, and starts it again after a while.
func (s *soak) again(ctx context.Context, m *member, why error) error {
	m.stop(why)
	_ = backoff.Sleep(ctx, s.draw(0, 4*time.Second))
	return m.start(s.t.Context())
}

// Now and then it befalls all of them.
const (
	restartEvery = 20 * time.Second // the endpoint, on average
	expireEvery  = 45 * time.Second // all tokens for the profile
)

// churn disturbs members until ctx ends, a tenth of them at once at most. When it
// returns all is mended.
func (s *soak) churn(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	most := make(chan struct{}, max(1, *flagMembers/10))
	rest := time.Minute / time.Duration(2**flagMembers) // each twice a minute
	for backoff.Sleep(ctx, s.draw(rest/2, 3*rest/2)) == nil {
		if s.chance() < float64(rest)/float64(restartEvery) {
			s.count("endpoint restarts")
			if err := s.served.Control.Restart(ctx, s.draw(0, 2*time.Second)); err != nil && ctx.Err() == nil {
				s.fail("restart the endpoint: %v", err)
			}
		}
		if s.chance() < float64(rest)/float64(expireEvery) {
			s.count("expiries of all")
			work.Go(s.expireAll)
		}
		most <- struct{}{}
		work.Go(func() {
			defer func() { <-most }()
			s.disturb(ctx)
		})
	}
}

// disturb does something to a member that nothing is done to.
func (s *soak) disturb(ctx context.Context) {
	m := s.some(1)[0]
	if !m.busy.TryLock() {
		return
	}
	defer m.busy.Unlock()
	pick := s.chance()
	for _, d := range disturbances {
		if pick -= d.share; pick < 0 {
			s.count(d.name)
			if err := d.do(ctx, s, m); err != nil && ctx.Err() == nil {
				s.fail("%s of %s: %v", d.name, m.name, err)
			}
			return
		}
	}
}

// expireAll has all tokens for the profile refused, and hands out others.
func (s *soak) expireAll() {
	s.joins.Lock() // whoever has never joined gives up when its token is refused
	defer s.joins.Unlock()
	ctx := s.t.Context()
	err := s.served.Control.ExpireTokens(ctx, "profile:"+profileName)
	if err == nil {
		err = each(s.all(), func(m *member) error { return insist(ctx, func() error { return m.newTokens(ctx) }) })
	}
	if err != nil {
		s.fail("expire all tokens: %v", err)
	}
}

// swap puts a new machine in the place of a member whose host is gone, or forgets it.
func (s *soak) swap(ctx context.Context, name string, forget bool) error {
	old := s.some(1)[0]
	old.busy.Lock()
	defer old.busy.Unlock()
	old.stop(errKilled)
	s.joins.RLock()
	defer s.joins.RUnlock()
	plan := profile.Forget{Member: old.uuid, Force: true}.Plan
	var next *member
	if forget {
		s.count("forgotten")
	} else {
		var err error
		if next, err = s.add(ctx, name); err != nil {
			return err
		}
		next.leads = old.leads
		s.count("replaced")
		plan = profile.Replace{Old: old.uuid, New: next.uuid, Force: true}.Plan
	}
	if _, err := profile.NewOperator(s.store).Write(ctx, plan); err != nil {
		return err
	}
	s.mu.Lock()
	for i, m := range s.members {
		if m == old {
			s.members = append(s.members[:i:i], s.members[i+1:]...)
			break
		}
	}
	if next != nil {
		s.members = append(s.members, next)
	}
	s.mu.Unlock()
	if err := insist(ctx, func() error { _, err := s.operator.RemoveMachine(ctx, old.uuid); return err }); err != nil {
		return err
	}
	if next == nil {
		return nil
	}
	if err := next.start(ctx); err != nil {
		return err
	}
	_, err := next.dial(ctx) // then it has joined, and sees its first run begin
	return err
}

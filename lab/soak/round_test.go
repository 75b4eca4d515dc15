//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"muster/agent"
	"muster/internal/backoff"
	"muster/profile"
)

// Bounds of a round: how long agents have to see that workflows began, when those of
// the missing are run again, and until when there has to be a verdict.
const (
	seenBy     = 20 * time.Second
	againAfter = 15 * time.Second
	verdictBy  = 5 * time.Minute
	toldBy     = 3 * time.Minute // after the verdict
)

// seats knows who runs the rolling step now. It is safe for concurrent use.
type seats struct {
	mu    sync.Mutex
	now   int
	turns int
}

func (x *seats) enter() (now int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now, x.turns = x.now+1, x.turns+1
	return x.now
}

func (x *seats) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now--
}

// round has all machines work through their workflows, some meet and some take turns,
// and looks what is recorded. After it a member is replaced or forgotten.
func (s *soak) round(ctx context.Context) error {
	d, err := s.store.Read(ctx)
	if err != nil {
		return insist(ctx, func() error { _, err := s.store.Read(ctx); return err })
	}
	now, err := d.Round()
	if err != nil {
		return err
	}
	barrier, _, err := d.Barrier(profile.BarrierComplete, now.N)
	if err != nil {
		return err
	}
	if s.count("rounds"); barrier.Verdict != "" { // else it is the first
		spec := profile.RoundSpec{After: now.N, Workflow: workflow}
		if _, err := profile.NewOperator(s.store).Write(ctx, spec.Plan); err != nil && !errors.Is(err, profile.ErrLost) {
			return fmt.Errorf("open round %d: %w", now.N+1, err)
		}
		now.N++
	}
	var work sync.WaitGroup
	going, end := context.WithCancel(ctx)
	defer end()
	for _, m := range s.some(10) {
		work.Go(func() { s.meet(going, m, now.N) })
	}
	for _, m := range s.some(20) {
		work.Go(func() { s.turn(going, m) })
	}
	seen, err := s.runAll(ctx, s.all(), now.N)
	if err == nil {
		err = s.verdict(ctx, now.N, seen)
	}
	late := time.AfterFunc(toldBy, func() {
		s.fail("round %d: %s after it somebody still waits for the verdict or a turn", now.N, toldBy)
		end()
	})
	work.Wait()
	late.Stop()
	if err != nil {
		return fmt.Errorf("round %d: %w", now.N, err)
	}
	return s.swap(ctx, fmt.Sprintf("late-%03d", now.N), now.N%5 == 0 && len(s.all()) > *flagMembers*4/5)
}

// runAll starts the workflows of members and completes them, once the agents have seen
// that they began or had time for it. It returns who has.
func (s *soak) runAll(ctx context.Context, members []*member, round int) (seen map[*member]bool, err error) {
	err = each(members, func(m *member) error {
		return insist(ctx, func() error { _, err := s.operator.StartWorkflow(ctx, workflow, m.uuid); return err })
	})
	seen = map[*member]bool{}
	for begun := time.Now(); err == nil && len(seen) < len(members) && time.Since(begun) < seenBy; {
		for _, m := range members {
			if run := m.run(); run.Round == round && run.Workflow == workflow && run.State == profile.Running {
				seen[m] = true
			}
		}
		err = backoff.Sleep(ctx, 50*time.Millisecond)
	}
	if err != nil {
		return seen, err
	}
	return seen, each(members, func(m *member) error {
		return insist(ctx, func() error { _, err := s.operator.CompleteWorkflow(ctx, m.uuid); return err })
	})
}

// verdict waits until the round is complete. Whose agent did not see its run begin, as
// it was away, has to run again (ADR 0003). What was seen must be recorded in the end,
// whatever befalls the agent.
func (s *soak) verdict(ctx context.Context, round int, seen map[*member]bool) error {
	last := time.Now()
	for begun := time.Now(); time.Since(begun) < verdictBy; {
		d, err := s.store.Read(ctx)
		if err != nil {
			_ = backoff.Sleep(ctx, 200*time.Millisecond)
			continue
		}
		b, _, err := d.Barrier(profile.BarrierComplete, round)
		if err != nil {
			return err
		}
		missing, err := s.missing(d, round)
		switch {
		case err != nil:
			return err
		case b.Verdict != "" && (b.Verdict != profile.VerdictComplete || len(missing) > 0):
			return fmt.Errorf("the verdict is %q, and %d of the expected have not completed", b.Verdict, len(missing))
		case b.Verdict != "":
			return nil
		}
		if missing = slices.DeleteFunc(missing, func(m *member) bool { return seen[m] }); time.Since(last) > againAfter && len(missing) > 0 {
			more, err := s.runAll(ctx, missing, round)
			if err != nil {
				return err
			}
			s.count("runs again")
			maps.Copy(seen, more)
			last = time.Now()
		}
		if err := backoff.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return s.lost(ctx, round, seen)
}

// lost says whose completion is missing though it was seen.
func (s *soak) lost(ctx context.Context, round int, seen map[*member]bool) error {
	d, err := s.store.Read(ctx)
	if err != nil {
		return err
	}
	missing, err := s.missing(d, round)
	for _, m := range missing {
		err = errors.Join(err, fmt.Errorf("the completion of %s is not recorded (its agent saw the run begin: %t)", m.name, seen[m]))
	}
	return errors.Join(fmt.Errorf("no verdict %s after all workflows", verdictBy), err)
}

// missing are the members whose completion of the round is not recorded.
func (s *soak) missing(d *profile.Document, round int) ([]*member, error) {
	records, err := d.Members()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(s.all(), func(m *member) bool {
		return records[m.uuid].Results[fmt.Sprint(round)] == profile.Complete
	}), nil
}

// meet waits at the barrier through an agent, which may end meanwhile. What it says
// is what is recorded.
func (s *soak) meet(ctx context.Context, m *member, round int) {
	for backoff.Sleep(ctx, 50*time.Millisecond) == nil {
		client := m.local()
		if client == nil {
			continue
		}
		out, err := client.Wait(ctx, agent.Waiting{Round: round}, nil)
		if err != nil {
			continue // the agent ended, or the endpoint is away
		}
		s.count("waits")
		if out.Verdict != profile.VerdictComplete {
			s.fail("round %d: %s was told %q", round, m.name, out.Verdict)
		}
		return
	}
}

// turn takes the member's turn in the rolling step of the round.
func (s *soak) turn(ctx context.Context, m *member) {
	most := 1 << 20
	spec := profile.RollingSpec{Name: rolling, AtOnce: fmt.Sprint(atOnce), MaxFailures: &most}
	for backoff.Sleep(ctx, 50*time.Millisecond) == nil {
		client := m.local()
		if client == nil {
			continue
		}
		turn, err := client.Roll(ctx, agent.Rolling{RollingSpec: spec, Retry: true}, nil)
		if err != nil {
			continue
		}
		if turn.Again {
			return
		}
		if now := s.seats.enter(); now > atOnce {
			s.fail("%d members run the rolling step, want %d at most", now, atOnce)
		}
		_ = backoff.Sleep(ctx, s.draw(0, 50*time.Millisecond))
		s.seats.leave()
		if client.EndRoll(ctx, rolling, turn.Round, 0) == nil {
			return
		}
	}
}

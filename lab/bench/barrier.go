package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"muster/internal/backoff"
	"muster/lab"
	"muster/profile"
)

// barrier counts from the start of the members until all are released, and
// measures how soon that is. The workflows complete at random moments once all
// members wait.
func (s *stage) barrier(ctx context.Context, res *Result) error {
	tasks := make([]*lab.Task, len(s.uuids))
	err := s.each(ctx, func(ctx context.Context, i int) (err error) {
		tasks[i], err = s.operator.BeginTask(ctx, s.uuids[i])
		return err
	})
	if err != nil {
		return err
	}
	before, err := s.read(ctx)
	if err != nil {
		return err
	}
	w := &waits{joined: make(chan struct{}, len(s.members))}
	var ended time.Time // of the last workflow
	var driver errgroup.Group
	driver.Go(func() (err error) {
		if err = w.allJoined(ctx, len(s.members)); err == nil {
			s.cfg.Say("all wait; completing their workflows within %s", s.cfg.Within)
			ended, err = s.finish(ctx, tasks)
		}
		if err != nil {
			s.end(err)
		}
		return err
	})
	_, err = s.start(w.wait)
	if err = errors.Join(err, driver.Wait()); err != nil {
		return err
	}
	after, err := s.read(ctx)
	res.between(before, after)
	reported := s.lastReport(ended)
	times := make([]time.Duration, len(w.released))
	for i, at := range w.released {
		times[i] = at.Sub(reported)
		res.Waited += w.waited[i].Seconds() / float64(len(times))
	}
	res.Release, res.Notice = quantiles(times), milliseconds(reported.Sub(ended))
	return err
}

// lastReport is when the last member sent that it is complete; of processes that is
// not seen, and taken for the end of the last workflow.
func (s *stage) lastReport(ended time.Time) (reported time.Time) {
	if s.cfg.Processes {
		return ended
	}
	for _, m := range s.inside {
		if at := m.way.reported.Load(); at != nil && at.After(reported) {
			reported = *at
		}
	}
	return reported
}

// finish ends the tasks at random moments, and returns when the last had ended.
func (s *stage) finish(ctx context.Context, tasks []*lab.Task) (time.Time, error) {
	r := rand.New(rand.NewPCG(1, 2)) // the same moments in every run
	g, ctx := errgroup.WithContext(ctx)
	for _, task := range tasks {
		at := time.Duration(r.Float64() * float64(s.cfg.Within))
		g.Go(func() error {
			if err := backoff.Sleep(ctx, at); err != nil {
				return err
			}
			return task.Finish(ctx)
		})
	}
	err := g.Wait()
	return time.Now(), err
}

// waits are those of all members.
type waits struct {
	joined chan struct{} // gets a token of each that waits

	mu       sync.Mutex
	released []time.Time
	waited   []time.Duration
}

func (w *waits) wait(ctx context.Context, m worker) error {
	begun := time.Now()
	w.joined <- struct{}{}
	out, err := m.wait(ctx)
	if err == nil && out.Verdict != profile.Complete {
		err = fmt.Errorf("expected the verdict complete, found %q", out.Verdict)
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.released, w.waited = append(w.released, time.Now()), append(w.waited, time.Since(begun))
	return nil
}

// allJoined blocks until so many members wait.
func (w *waits) allJoined(ctx context.Context, members int) error {
	for range members {
		select {
		case <-w.joined:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

package coordinator_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

// The second round is opened the moment the first has its verdict, and the slow
// peer, whose every request takes nine seconds, learns of both late.
func TestOfTwoRoundsBackToBackNobodyIsStuckAndNobodyEarlyThoughAPeerIsSlow(t *testing.T) {
	for _, polled := range []bool{false, true} {
		t.Run(fmt.Sprintf("polled %v", polled), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(4), Leaders: 1})
				if polled {
					w.WithoutVersions()
				}
				ended := make(chan [2]int, 8) // round, and how many machines had completed in it
				for i, uuid := range members(4) {
					h := w.host(uuid)
					if i == 3 {
						h.faults = func(memory.Call) memory.Fault { return memory.Fault{Delay: 9 * time.Second} }
					}
					h.also = func(ctx context.Context, h *host) {
						for n := 1; n <= 2; n++ {
							round, err := coordinator.Pick(ctx, h.view, profile.BarrierComplete, n, "", nil)
							if err == nil {
								_, err = coordinator.Wait(ctx, h.view, profile.BarrierComplete, round, nil)
							}
							if err != nil {
								t.Errorf("%s, round %d: %v", h.uuid, n, err)
							}
							ended <- [2]int{n, w.completed(n)}
						}
					}
					h.start()
				}
				pass(time.Minute)
				for _, h := range w.hosts {
					h.finish(1)
				}
				for w.verdict(1) == "" {
					pass(time.Millisecond)
				}
				w.open(1, false)
				for _, h := range w.hosts {
					h.restart()
				}
				pass(30 * time.Second)
				for _, h := range w.hosts[:3] {
					h.finish(2)
				}
				pass(10 * time.Minute)
				if got := w.verdict(2); got != "" {
					t.Errorf("verdict %q of round 2 while the slow peer runs", got)
				}
				w.hosts[3].finish(2)
				for range cap(ended) {
					select {
					case got := <-ended:
						if got[1] != 4 {
							t.Errorf("somebody passed round %d when %d of 4 had completed", got[0], got[1])
						}
					case <-time.After(10 * time.Minute):
						t.Fatal("somebody is stuck")
					}
				}
			})
		})
	}
}

// completed is how many machines have completed in a round.
func (w *world) completed(round int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, rounds := range w.finished {
		if rounds[round] {
			n++
		}
	}
	return n
}

// A completion that nobody could see, as the next workflow began before a look,
// is no completion: the peer counts as soon as that workflow has completed.
func TestAPeerThatStartsItsNextWorkflowRightAfterCompletingStillCounts(t *testing.T) {
	for name, row := range map[string]struct {
		polled, unseen bool
		after          time.Duration
	}{
		"half a second later":                  {after: 500 * time.Millisecond},
		"polled, with the next poll between":   {polled: true, after: 7 * time.Second},
		"at once, unseen":                      {unseen: true},
		"polled, at once and therefore unseen": {polled: true, unseen: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(3), Leaders: 1})
				if row.polled {
					w.WithoutVersions()
				}
				hosts := w.all(3)
				hosts[0].finish(1)
				time.Sleep(row.after)
				hosts[0].restart()
				pass(time.Minute)
				hosts[1].finish(1)
				hosts[2].finish(1)
				pass(time.Minute)
				if row.unseen {
					if got := w.verdict(1); got != "" {
						t.Errorf("verdict %q, though nobody saw the first complete", got)
					}
					hosts[0].finish(1)
					pass(time.Minute)
				}
				if got := w.verdict(1); got != profile.VerdictComplete {
					t.Errorf("verdict %q", got)
				}
			})
		})
	}
}

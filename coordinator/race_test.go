package coordinator_test

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

// TestEverybodyGetsTheOneVerdict lets six machines settle at nearly the same
// time, with requests and answers that take their time.
func TestEverybodyGetsTheOneVerdict(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := mathrand.New(mathrand.NewPCG(seed, 1))
				w := seeded(t, profile.Seed{Members: members(6), Leaders: 1, Criteria: profile.Criteria{FailFast: seed%3 == 0}})
				want := profile.VerdictComplete
				verdicts := make(chan string, 6)
				for i, uuid := range members(6) {
					h := w.host(uuid)
					own := mathrand.New(mathrand.NewPCG(seed, uint64(i+2)))
					h.faults = func(c memory.Call) memory.Fault {
						return memory.Fault{
							Delay:     time.Duration(own.IntN(300)) * time.Millisecond,
							LoseReply: c.Method == "Apply" && own.IntN(8) == 0,
						}
					}
					h.also = func(ctx context.Context, h *host) {
						out, _ := coordinator.Wait(ctx, h.view, profile.BarrierComplete, w.nth(1), nil)
						verdicts <- out.Verdict
					}
					h.start()
				}
				pass(5 * time.Second)
				for _, h := range w.hosts {
					time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
					if seed%2 == 0 && random.IntN(4) == 0 {
						h.fail("failed")
						want = profile.VerdictFailed
						continue
					}
					h.finish(1)
				}
				for range w.hosts {
					select {
					case got := <-verdicts:
						if got != want || w.verdict(1) != want {
							t.Errorf("verdict %q, recorded %q, want %q", got, w.verdict(1), want)
						}
					case <-time.After(10 * time.Minute):
						t.Fatal("somebody got no verdict")
					}
				}
			})
		})
	}
}

package coordinator_test

import (
	"testing"
	"testing/synctest"
	"time"

	"muster/coordinator"
	"muster/profile"
)

// Nobody has joined yet, which is neither a fault nor everybody.
func TestAnEmptySelfSeededClusterWaitsForItsCount(t *testing.T) {
	for _, role := range []string{"", profile.Leader, profile.Worker} {
		synctest.Test(t, func(t *testing.T) {
			w := seeded(t, profile.Seed{Expect: 3, Leaders: 1, Criteria: profile.Criteria{Role: role}})
			tally, err := coordinator.Count(w.Document(), profile.BarrierComplete, 1, w.barrier(1))
			if err != nil || len(tally.Done) != 0 || tally.Settled && tally.Total != 3 {
				t.Errorf("role %q: %+v, %v, want nobody of 3, or an unsettled role", role, tally, err)
			}
		})
	}
}

func TestASelfSeededRoundIsCompleteOnceSoManyHaveCompleted(t *testing.T) {
	for _, role := range []string{"", profile.Leader, profile.Worker} {
		t.Run("role "+role, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Expect: 3, Leaders: 1, Criteria: profile.Criteria{Role: role}})
				w.waitsFor = map[string][]string{profile.BarrierComplete: {"u00"}} // the others as looked at below
				hosts := w.all(2)
				w.occupy(profile.Leader, "u00")
				hosts[0].finish(1)
				hosts[1].finish(1)
				pass(time.Hour)
				if got := w.verdict(1); got != "" {
					t.Errorf("verdict %q though a third is to come", got)
				}
				last := w.host("u02").start()
				pass(time.Hour)
				if got := w.verdict(1); got != "" && role != profile.Leader {
					t.Errorf("verdict %q though the third has not completed", got)
				}
				last.finish(1)
				pass(time.Hour)
				if got := w.verdict(1); got != profile.VerdictComplete {
					t.Errorf("verdict %q", got)
				}
			})
		})
	}
}

package coordinator_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

// reporter is a joined host whose machine is not watched.
func reporter(t *testing.T, w *world, uuid string) *host {
	t.Helper()
	h := w.host(uuid)
	if err := h.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// report reports, or fails the test if the error or the round is another.
func (h *host) report(said string, round int, want error) {
	h.t.Helper()
	got, err := coordinator.Report(h.t.Context(), h.member, h.view, said)
	if got != round || !errors.Is(err, want) {
		h.t.Errorf("report %s: round %d, error %v, want %d, %v", said, got, err, round, want)
	}
}

func TestReportsCountForTheRoundOfTheirRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := reporter(t, w, "u00")
		h.report(profile.Running, 1, nil)
		w.open(1, true)
		h.finish(1)
		h.report(profile.Complete, 1, nil)
		if diff := cmp.Diff(map[string]string{"1": profile.Complete}, w.record("u00").Results); diff != "" || w.verdict(2) != "" {
			t.Errorf("verdict %q of round 2, results (-want +got):\n%s", w.verdict(2), diff)
		}
		h.report(profile.Running, 2, nil)
		h.finish(2)
		h.report(profile.Complete, 2, nil)
		if got := w.verdict(2); got != profile.VerdictComplete {
			t.Errorf("verdict %q of round 2", got)
		}
	})
}

func TestAReportOfTheEndNeedsOneOfTheBeginning(t *testing.T) {
	for _, said := range []string{profile.Complete, profile.Failed} {
		t.Run(said, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := reporter(t, w, "u00")
				h.report(said, 0, coordinator.ErrUsage)
				if got := w.record("u00"); len(got.Results) != 0 || got.Seq != 1 {
					t.Errorf("record %+v, want nothing written", got)
				}
			})
		})
	}
}

func TestRepeatedReportsWriteOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h := reporter(t, w, "u00")
		h.report(profile.Running, 1, nil)
		h.report(profile.Complete, 1, nil)
		applied := h.applied
		h.report(profile.Complete, 1, nil)
		h.report(profile.Failed, 1, nil)
		if h.applied != applied {
			t.Errorf("%d patches more, want none", h.applied-applied)
		}
		h.report(profile.Running, 1, nil) // a second run of the round takes nothing back
		if diff := cmp.Diff(map[string]string{"1": profile.Complete}, w.record("u00").Results); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	})
}

func TestAFailureThatIsReportedCanBeTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h, peer := reporter(t, w, "u00"), reporter(t, w, "u01")
		h.report(profile.Running, 1, nil)
		h.report(profile.Failed, 1, nil)
		if got := w.record("u00").Results["1"]; got != profile.Failed {
			t.Errorf("result %q", got)
		}
		h.report(profile.Running, 1, nil)
		peer.report(profile.Running, 1, nil)
		peer.finish(1)
		peer.report(profile.Complete, 1, nil)
		if got := w.record("u00").Results; len(got) != 0 || w.verdict(1) != "" {
			t.Errorf("results %v, verdict %q while it is tried again", got, w.verdict(1))
		}
		h.finish(1)
		h.report(profile.Complete, 1, nil)
		if got := w.verdict(1); got != profile.VerdictComplete {
			t.Errorf("verdict %q", got)
		}
	})
}

func TestAReportMeetsARoundThatIsOpenedInBetween(t *testing.T) {
	for name, row := range map[string]struct {
		fault memory.Fault
		want  int // the round of the running
	}{
		"before it lands":                       {memory.Fault{Delay: time.Second}, 2},
		"after it lands, and its reply is lost": {memory.Fault{LoseReply: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := reporter(t, w, "u00")
				faulted := false
				h.faults = func(c memory.Call) memory.Fault {
					if c.Method != "Apply" || faulted {
						return memory.Fault{}
					}
					faulted = true
					return row.fault
				}
				if err := h.join(t.Context()); err != nil {
					t.Fatal(err)
				}
				opened := make(chan struct{})
				go func() {
					defer close(opened)
					time.Sleep(500 * time.Millisecond)
					w.open(1, true)
				}()
				h.report(profile.Running, row.want, nil)
				<-opened
				if got := w.record("u00").Run.Round; got != row.want || w.round() != 2 {
					t.Errorf("the run is of round %d, want %d; round %d, want 2", got, row.want, w.round())
				}
			})
		})
	}
}

func TestReportsKeepTheResultsOfTheLastFourRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := reporter(t, w, "u00")
		want := map[string]string{}
		for round := 1; round <= 6; round++ {
			h.report(profile.Running, round, nil)
			h.finish(round)
			h.report(profile.Complete, round, nil)
			if round > 2 {
				want[fmt.Sprint(round)] = profile.Complete
			}
			w.open(round, false)
			see(h.view, w.Document())
		}
		if diff := cmp.Diff(want, w.record("u00").Results); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	})
}

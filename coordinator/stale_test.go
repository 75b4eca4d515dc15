package coordinator_test

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
)

// Nothing of an earlier round, profile or life may open a later barrier.

func TestAWorkflowThatIsClearedOrExchangedIsNoCompletion(t *testing.T) {
	for name, change := range map[string]func(*profile.Machine){
		"another workflow, the flag not down yet": func(m *profile.Machine) { m.Workflow = "next" },
		"the job is gone from the endpoint":       func(m *profile.Machine) { m.Job = "" },
		"cleared": func(m *profile.Machine) { // as profile/drp reads a machine without workflow
			m.Workflow, m.Complete, m.Task = "", false, -1
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := w.all(1)[0]
				h.finish(1)
				pass(time.Minute)
				w.open(1, false)
				pass(time.Minute)
				h.machine.Set(change)
				pass(time.Hour)
				if got := w.verdict(2); got != "" {
					t.Fatalf("verdict %q though nothing ran in round 2", got)
				}
				h.restart()
				pass(time.Minute)
				h.finish(2)
				pass(time.Minute)
				if got := w.verdict(2); got != profile.VerdictComplete {
					t.Errorf("verdict %q after it completed", got)
				}
			})
		})
	}
}

func TestARunThatEndedUnseenBeforeTheRoundWasOpenedDoesNotCount(t *testing.T) {
	for name, outage := range map[string]func(h *host, during func()){
		"agent down": func(h *host, during func()) {
			h.stop()
			during()
			h.start()
		},
		"machine token refused": func(h *host, during func()) {
			h.machine.Refuse(profile.ErrRefused)
			pass(time.Minute)
			during()
			h.machine.Refuse(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := w.all(1)[0]
				h.finish(1)
				pass(time.Minute)
				outage(h, func() { // it runs again, and then the round is opened
					h.restart()
					pass(time.Minute)
					h.finish(1)
					pass(time.Minute)
					w.open(1, false)
				})
				pass(time.Hour)
				if got := w.verdict(2); got != "" {
					t.Errorf("verdict %q though nothing ran in round 2", got)
				}
			})
		})
	}
}

func TestARunThatBeganAndEndedUnseenInAKnownRoundCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		hosts := w.all(2)
		for _, h := range hosts {
			h.finish(1)
		}
		pass(time.Minute)
		w.open(1, false)
		pass(5 * time.Minute) // a look at the machine, with the round known
		hosts[0].stop()
		for _, h := range hosts {
			h.restart()
			pass(time.Minute)
			h.finish(2)
		}
		hosts[0].start()
		pass(time.Hour)
		if got := w.verdict(2); got != profile.VerdictComplete {
			t.Errorf("verdict %q, want %q", got, profile.VerdictComplete)
		}
	})
}

func TestAnOldCompletionDoesNotCountUnderTheNumberOfAnotherRound(t *testing.T) {
	t.Run("seeded anew", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			seed := profile.Seed{Profile: cluster, Members: members(1), Leaders: 1}
			w := seeded(t, seed)
			h := w.all(1)[0]
			h.finish(1)
			pass(time.Minute)
			h.stop()
			params, err := seed.Params()
			if err != nil {
				t.Fatal(err)
			}
			w.OnCommit(func(_, _ *profile.Document) {}) // a verdict goes away, as never otherwise
			w.Replace(params)
			h.start()
			pass(time.Hour)
			if got := w.verdict(1); got != "" {
				t.Errorf("verdict %q of a round in which nothing ran", got)
			}
		})
	})
	t.Run("restored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
			h := w.all(1)[0]
			h.finish(1)
			pass(time.Minute)
			backup := maps.Clone(w.Document().Params)
			w.open(1, false)
			pass(time.Minute)
			h.restart()
			pass(time.Minute)
			h.finish(2)
			pass(time.Minute)
			delete(w.finished["u00"], 2)
			w.Replace(backup)
			w.open(1, false)
			pass(time.Hour)
			if got := w.verdict(2); got != "" {
				t.Errorf("verdict %q of a round in which nothing ran", got)
			}
		})
	})
}

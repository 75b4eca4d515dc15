package election_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
	"muster/profile/memory"
)

// revive lets a crashed host start again.
func (h *host) revive() *host {
	h.mu.Lock()
	h.dead = false
	h.mu.Unlock()
	return h
}

func TestASlotOfBeforeARestartIsNotGivenUpWhileSomethingMayStillRunUnderIt(t *testing.T) {
	for name, of := range map[string]struct {
		ttl  time.Duration
		last time.Duration // from the restart
	}{
		"sticky": {0, 10 * time.Second},
		"lease":  {time.Minute, profile.ActFor(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
				if of.ttl > 0 {
					w.leased(of.ttl)
				}
				w.follow(profile.Leader)
				for _, uuid := range members(2) {
					w.host(uuid).start()
				}
				pass(5 * time.Second)
				first := w.leading(profile.Leader)[0]
				other := slices.DeleteFunc(members(2), func(m string) bool { return m == first })[0]
				w.of(first).crash()
				w.operate(profile.Transfer{Role: profile.Leader, Slot: "1", To: other}.Plan)
				w.of(first).revive().start()
				pass(of.last - time.Second)
				if got := w.holders(profile.Leader); !slices.Equal(got, []string{first}) {
					t.Errorf("%v holds the slot while a command of %s may still run", got, first)
				}
				pass(3 * time.Second)
				if got := w.leading(profile.Leader); !slices.Equal(got, []string{other}) {
					t.Errorf("%v leads, want %s", got, other)
				}
			})
		})
	}
}

func TestASlotIsNotClaimedAnewWhileSomethingRunsUnderTheTenureThatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := formed(t, 1, profile.Seed{Leaders: 1})
		h := w.of("u00")
		use, err := h.leads(profile.Leader).Use()
		if err != nil {
			t.Fatal(err)
		}
		w.operate(profile.Evict{Member: "u00", Reason: "its disk is slow", Force: true}.Plan)
		pass(time.Second)
		w.operate(profile.Allow{Member: "u00", Role: profile.Leader}.Plan)
		pass(time.Minute)
		if got := w.holders(profile.Leader); len(got) != 0 {
			t.Errorf("%v holds the slot, and what ran under the tenure before has not ended", got)
		}
		use.Done()
		pass(time.Second)
		if got := w.leading(profile.Leader); len(got) != 1 {
			t.Errorf("%v leads once the use is done", got)
		}
	})
}

func TestARenewalOfBeforeARestartThatLandsLateIsNoTwin(t *testing.T) {
	for name, faults := range map[string]map[int32]memory.Fault{ // by the number of the patch
		"of the last process":             {1: {Delay: 3 * time.Second}, 2: {LoseRequest: true}},
		"of this process, its reply lost": {2: {LoseReply: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1}).leased(15 * time.Second)
				w.follow(profile.Leader)
				h := w.host("u00")
				var counting atomic.Bool
				var patches atomic.Int32
				h.faults = func(c memory.Call) memory.Fault {
					if c.Method == "Apply" && counting.Load() {
						return faults[patches.Add(1)]
					}
					return memory.Fault{}
				}
				h.start()
				pass(4500 * time.Millisecond)
				epoch := w.slots(profile.Leader)["1"].Epoch
				counting.Store(true)
				pass(time.Second) // the first renewal is on its way
				h.crash()
				h.deaf = true // the view is as old as can be
				h.revive().start()
				pass(20 * time.Second)
				if l := h.leads(profile.Leader); l == nil || l.Tenure().Epoch != epoch {
					t.Errorf("leadership %v, want that of epoch %d; log:\n%s", l, epoch, h.log.String())
				}
				if patches.Load() < 3 {
					t.Error("the faults did not strike")
				}
			})
		})
	}
}

func TestACommandThatComesBackAfterARestartKeepsItsStickySlotFromBeingGivenUpUnderIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := formed(t, 2, profile.Seed{Leaders: 1})
		first := w.leading(profile.Leader)[0]
		other := slices.DeleteFunc(members(2), func(m string) bool { return m == first })[0]
		h := w.of(first)
		h.crash()
		w.operate(profile.Transfer{Role: profile.Leader, Slot: "1", To: other}.Plan)
		h.revive().start()
		pass(5 * time.Second)
		l := h.leads(profile.Leader)
		if l == nil {
			t.Fatal("the slot is not led: a command that comes back would not learn that it must end")
		}
		use, err := l.Use()
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if l.Context().Err() == nil || !slices.Equal(w.holders(profile.Leader), []string{first}) {
			t.Errorf("leadership %v, slot held by %v: want it ended, and the slot kept while the command ends", l.Context().Err(), w.holders(profile.Leader))
		}
		use.Done()
		pass(2 * time.Second)
		if got := w.leading(profile.Leader); !slices.Equal(got, []string{other}) {
			t.Errorf("%v leads, want %s", got, other)
		}
	})
}

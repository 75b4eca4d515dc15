package election_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

// forbid are the ways to keep u00 from claiming, with how to allow it again.
func forbid() map[string]struct{ forbid, allow []any } {
	bar := profile.At(profile.ParamMembers, "u00", "barred", profile.Leader)
	paused, count := profile.At(profile.ParamPaused), profile.At(profile.ParamLeaderCount)
	return map[string]struct{ forbid, allow []any }{
		"paused":        {[]any{paused, true}, []any{paused, false}},
		"barred":        {[]any{bar, "disk is broken"}, []any{bar, ""}},
		"count lowered": {[]any{count, 0}, []any{count, 1}},
	}
}

func TestNobodyClaimsWhatIsForbiddenUntilItIsAllowedAgain(t *testing.T) {
	for name, by := range forbid() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := w.host("u00").joined()
				w.put(by.forbid...)
				h.run()
				pass(time.Hour)
				if got := w.holders(profile.Leader); len(got) != 0 {
					t.Errorf("%v claimed", got)
				}
				w.put(by.allow...)
				pass(15 * time.Second)
				if diff := cmp.Diff([]string{"u00"}, w.holders(profile.Leader)); diff != "" {
					t.Errorf("holders after it is allowed again (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAClaimThatWasDecidedBeforeItWasForbiddenDoesNotLand(t *testing.T) {
	for name, by := range forbid() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := w.host("u00")
				h.deaf = true // it has seen nothing since it joined
				h.joined()
				w.put(by.forbid...)
				h.run()
				pass(time.Minute)
				if got := w.holders(profile.Leader); len(got) != 0 || h.store.conflicts == 0 {
					t.Errorf("%v claimed, after %d conflicts; want a claim that is refused", got, h.store.conflicts)
				}
			})
		})
	}
}

func TestAfterAPauseEverybodyWaitsItsTurnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := profile.Seed{Members: members(10), Leaders: 2}
		best := everybody(t, seed).holders(profile.Leader)
		w := seeded(t, seed)
		for _, uuid := range seed.Members {
			h := w.host(uuid).joined()
			if h.uuid != best[0] && h.uuid != best[1] {
				h.run() // begins to lose patience
			}
		}
		pass(500 * time.Millisecond)
		w.put(profile.At(profile.ParamPaused), true)
		pass(time.Minute)
		w.put(profile.At(profile.ParamPaused), false)
		pass(500 * time.Millisecond)
		for _, h := range w.hosts {
			if h.cancel == nil {
				h.run()
			}
		}
		pass(time.Minute)
		if diff := cmp.Diff(best, w.holders(profile.Leader)); diff != "" {
			t.Errorf("holders (-best ranked +got):\n%s", diff)
		}
	})
}

func TestSlotsBeyondTheCountAreNotClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(4), Leaders: 3, Roles: map[string]int{"db": 3}})
		w.put(profile.At(profile.ParamLeaderCount), 2, profile.At(profile.ParamRoles, "db", "slots"), 1)
		for _, uuid := range members(4) {
			w.host(uuid).start()
		}
		pass(time.Hour)
		for role, beyond := range map[string][]string{profile.Leader: {"3"}, "db": {"2", "3"}} {
			for n, s := range w.slots(role) {
				if want := n == beyond[0] || n == beyond[len(beyond)-1]; s.Free() != want {
					t.Errorf("slot %s of %s is held by %q, want it free: %v", n, role, s.Holder, want)
				}
			}
		}
	})
}

func TestARoleThatIsNewerThanTheMembersIsCompetedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := everybody(t, profile.Seed{Members: members(3), Leaders: 1})
		w.put(
			profile.At(profile.ParamRoles, "db"), profile.RoleOptions{Slots: 2},
			profile.At(profile.ParamSlots, "db"), map[string]profile.Slot{"1": {History: []profile.Transition{}}, "2": {History: []profile.Transition{}}},
		)
		pass(time.Minute)
		if got := w.holders("db"); len(got) != 2 {
			t.Errorf("slots of db are held by %v, want two members", got)
		}
		records, err := w.Document().Members()
		if err != nil {
			t.Fatal(err)
		}
		for _, holder := range w.holders("db") {
			if bar, planted := records[holder].Barred["db"]; bar != "" || !planted {
				t.Errorf("%s claimed under the bar %q, planted %v; want an empty one to be tested", holder, bar, planted)
			}
		}
	})
}

func TestASlotThatNamesAnUnclaimedTenureIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1, Roles: map[string]int{"db": 1}})
		h := w.host("u00").start()
		pass(time.Second)
		mine := w.slots("db")["1"]
		at := func(leaf string) profile.Pointer { return profile.At(profile.ParamSlots, profile.Leader, "1", leaf) }
		w.put(profile.At(profile.ParamPaused), true)
		w.put(at("holder"), "", at("instance"), "")
		pass(time.Second)
		stray := w.slots(profile.Leader)["1"].Epoch + 1000
		w.put(at("holder"), "u00", at("instance"), h.member.State().Instance, at("epoch"), stray)
		pass(time.Minute)
		if got := w.slots(profile.Leader)["1"]; !got.Free() || got.Epoch != stray {
			t.Errorf("slot %+v, want it free, with epoch %d kept", got, stray)
		}
		if diff := cmp.Diff(mine, w.slots("db")["1"]); diff != "" {
			t.Errorf("the slot that it did claim (-before +after):\n%s", diff)
		}
		w.put(profile.At(profile.ParamPaused), false)
		pass(time.Minute)
		if _, held := h.member.Tenure(w.Document(), profile.Leader); !held || w.slots(profile.Leader)["1"].Epoch != stray+1 {
			t.Errorf("slot %+v, known %v, want it claimed again in epoch %d", w.slots(profile.Leader)["1"], held, stray+1)
		}
	})
}

func TestAnEpochIsOfTheEndpointsClockAlsoAfterADayOfIdling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		w.put(profile.At(profile.ParamPaused), true)
		for _, uuid := range members(2) {
			w.host(uuid).start()
		}
		pass(24 * time.Hour)
		resumed := time.Now().Unix()
		w.put(profile.At(profile.ParamPaused), false)
		pass(10 * time.Minute)
		if got := w.slots(profile.Leader)["1"]; got.Free() || got.Epoch < resumed {
			t.Errorf("slot %+v, want it claimed with an epoch of at least %d", got, resumed)
		}
	})
}

func TestWhatAFailedAttemptReadIsNoReasonToTryAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		var reads atomic.Int64
		h.faults = func(c memory.Call) memory.Fault {
			if c.Method == "Read" {
				reads.Add(1)
			}
			return memory.Fault{Delay: time.Millisecond}
		}
		h.start()
		pass(10 * time.Second)
		w.put(profile.At(profile.ParamSlots, profile.Leader, "1", "wanted"), profile.Anybody, profile.At(profile.ParamMembers), nil)
		reads.Store(0)
		pass(time.Minute)
		if got := reads.Load(); got == 0 || got > 30 {
			t.Errorf("%d reads in a minute in which the slot cannot be given up, want one every few seconds", got)
		}
	})
}

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

func TestWhoResignedLeavesThatSlotToOthersThoughOtherSlotsWereClaimedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := formed(t, 2, profile.Seed{Leaders: 2})
		w.follow(profile.Leader)
		last := w.slots(profile.Leader)["2"].Holder
		if _, err := w.of(last).elector.Resign(t.Context(), profile.Leader); err != nil {
			t.Fatal(err)
		}
		pass(15 * time.Second) // it has slot 2 again, in an epoch above that of slot 1
		if got := w.leading(profile.Leader); len(got) != 2 {
			t.Fatalf("%v lead", got)
		}
		first := w.slots(profile.Leader)["1"].Holder
		if _, err := w.of(first).elector.Resign(t.Context(), profile.Leader); err != nil {
			t.Fatal(err)
		}
		pass(9 * time.Second)
		if got := w.leading(profile.Leader); slices.Contains(got, first) {
			t.Errorf("%v lead: %s did not leave the slot to others", got, first)
		}
		pass(5 * time.Second)
		if got := w.leading(profile.Leader); len(got) != 2 {
			t.Errorf("%v lead", got)
		}
	})
}

func TestAPriorityBelowZeroNeverClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		w.put(profile.At(profile.ParamRoles, profile.Leader), profile.RoleOptions{Priority: map[string]int{"u00": -1}})
		w.host("u00").start()
		pass(time.Minute)
		if got := w.leading(profile.Leader); len(got) != 0 {
			t.Errorf("%v leads", got)
		}
	})
}

func TestASlotGoesToTheMemberItIsWantedForHoweverLongTheClusterRested(t *testing.T) {
	for _, polled := range []bool{false, true} {
		for _, to := range []int{0, 2, 4} { // some of them rest
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(6), Leaders: 1}).leased(ttl)
				if polled {
					w.WithoutVersions()
				}
				w.follow(profile.Leader)
				for _, uuid := range members(6) {
					w.host(uuid).start()
				}
				pass(150 * time.Second)
				first := w.leading(profile.Leader)[0]
				target := slices.DeleteFunc(members(6), func(m string) bool { return m == first })[to]
				w.operate(profile.Transfer{Role: profile.Leader, Slot: "1", To: target}.Plan)
				pass(time.Minute)
				if got := w.leading(profile.Leader); !slices.Equal(got, []string{target}) {
					t.Errorf("polled %v: %v leads, want %s", polled, got, target)
				}
			})
		}
	}
}

func TestALeaseOnDemandIsTakenOverSoonByWhoeverAsksHoweverItRanks(t *testing.T) {
	for _, polled := range []bool{false, true} {
		for _, at := range []int{3} {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(10), Roles: map[string]int{"backup": 1}})
				if polled {
					w.WithoutVersions()
				}
				w.put(profile.At(profile.ParamRoles, "backup"), profile.RoleOptions{Slots: 1, TTL: ttl.String(), OnDemand: true})
				w.follow("backup")
				for _, uuid := range members(10) {
					w.host(uuid).start()
				}
				pass(time.Second)
				w.hosts[at].elector.Ask("backup")
				pass(15 * time.Second)
				next := w.hosts[(at+1)%10]
				next.elector.Ask("backup")
				pass(3 * time.Minute)
				w.hosts[at].crash()
				crashed := time.Now()
				for next.leads("backup") == nil && time.Since(crashed) < 5*time.Minute {
					pass(100 * time.Millisecond)
				}
				if took := time.Since(crashed); took > profile.TakeOverAfter(ttl)+5*time.Second {
					t.Errorf("polled %v: %s took over after %s", polled, next.uuid, took)
				}
			})
		}
	}
}

func TestFollowersThatRestReadNoWholeProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(10), Leaders: 1}).leased(ttl)
		w.follow(profile.Leader)
		var whole atomic.Int32
		var counting atomic.Bool
		for _, uuid := range members(10) {
			h := w.host(uuid)
			h.faults = func(c memory.Call) memory.Fault {
				if counting.Load() && c.Method == "Read" {
					whole.Add(1)
				}
				return memory.Fault{}
			}
			h.start()
		}
		pass(3 * time.Minute)
		counting.Store(true)
		pass(5 * time.Minute)
		if whole := whole.Load(); whole > 0 {
			t.Errorf("%d reads of the whole profile in five minutes in which nothing happened", whole)
		}
	})
}

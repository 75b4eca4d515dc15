package election_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/election"
	"muster/profile"
)

// operate carries an operator's plan out.
func (w *world) operate(plan profile.Plan) {
	w.t.Helper()
	way := w.Store(nil)
	if _, err := profile.NewOperator(way).Write(context.Background(), plan); err != nil {
		w.t.Fatal(err)
	}
	way.Settle()
}

// formed starts n members, and lets them settle; each slot may change hands.
func formed(t *testing.T, n int, seed profile.Seed) *world {
	t.Helper()
	seed.Members = members(n)
	w := seeded(t, seed)
	w.follow(profile.Leader)
	for _, uuid := range members(n) {
		w.host(uuid).start()
	}
	pass(5 * time.Second)
	return w
}

// of returns the host of a member.
func (w *world) of(uuid string) *host {
	for _, h := range w.hosts {
		if h.uuid == uuid {
			return h
		}
	}
	w.t.Fatalf("no host %s", uuid)
	return nil
}

func TestAResignedSlotGoesToAnotherAtOnceAndNotBack(t *testing.T) {
	for _, kind := range []string{"sticky", "lease"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := formed(t, 3, profile.Seed{Leaders: 1})
				if kind == "lease" {
					w.leased(ttl)
				}
				first := w.leading(profile.Leader)[0]
				l := w.of(first).leads(profile.Leader)
				old, err := w.of(first).elector.Resign(t.Context(), profile.Leader)
				if err != nil || old != l.Tenure() {
					t.Fatalf("resigned %+v, %v, want %+v", old, err, l.Tenure())
				}
				if cause := context.Cause(l.Context()); !errors.Is(cause, election.ErrGivenUp) {
					t.Errorf("leadership ended with %v", cause)
				}
				pass(time.Second)
				second := w.leading(profile.Leader)
				if len(second) != 1 || second[0] == first {
					t.Errorf("%v leads a second after %s resigned", second, first)
				}
				if want := []string{profile.EventClaimed, profile.EventResigned, profile.EventClaimed}; !slices.Equal(w.events("1"), want) {
					t.Errorf("history %v, want %v", w.events("1"), want)
				}
			})
		})
	}
}

func TestWhoResignedAloneClaimsAgainAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := formed(t, 1, profile.Seed{Leaders: 1})
		h := w.of("u00")
		if _, err := h.elector.Resign(t.Context(), profile.Leader); err != nil {
			t.Fatal(err)
		}
		pass(9 * time.Second)
		if got := w.holders(profile.Leader); len(got) != 0 {
			t.Errorf("%v claimed before 10 s", got)
		}
		if why := h.elector.Standings()[0].Why; why == "" {
			t.Error("it does not say why it holds no slot")
		}
		pass(3 * time.Second)
		if got := w.leading(profile.Leader); len(got) != 1 {
			t.Errorf("%v leads, want it again: nobody else came", got)
		}
	})
}

func TestResigningWhatIsNotHeldIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := formed(t, 1, profile.Seed{Leaders: 0})
		if _, err := w.of("u00").elector.Resign(t.Context(), profile.Leader); !errors.Is(err, election.ErrNoSlot) {
			t.Errorf("got %v, want %v", err, election.ErrNoSlot)
		}
	})
}

func TestATransferredSlotGoesToTheMemberThatItIsWantedFor(t *testing.T) {
	for to := range 9 {
		synctest.Test(t, func(t *testing.T) {
			w := formed(t, 10, profile.Seed{Leaders: 1})
			first := w.leading(profile.Leader)[0]
			target := slices.DeleteFunc(members(10), func(m string) bool { return m == first })[to]
			w.operate(profile.Transfer{Role: profile.Leader, Slot: "1", To: target}.Plan)
			pass(2 * time.Second)
			if got := w.leading(profile.Leader); !slices.Equal(got, []string{target}) {
				t.Errorf("%v leads, want %s", got, target)
			}
			if s := w.slots(profile.Leader)["1"]; s.Wanted != "" || w.events("1")[1] != profile.EventTransferred {
				t.Errorf("slot %+v", s)
			}
		})
	}
}

func TestASlotWantedForADeadMemberGoesToOthersAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := formed(t, 4, profile.Seed{Leaders: 1})
		first := w.leading(profile.Leader)[0]
		others := slices.DeleteFunc(members(4), func(m string) bool { return m == first })
		w.of(others[0]).crash()
		w.operate(profile.Transfer{Role: profile.Leader, Slot: "1", To: others[0]}.Plan)
		pass(9 * time.Second)
		if got := w.holders(profile.Leader); len(got) != 0 {
			t.Errorf("%v claimed what is kept for %s", got, others[0])
		}
		pass(4 * time.Second)
		if got := w.leading(profile.Leader); len(got) != 1 || got[0] == others[0] {
			t.Errorf("%v leads, want one of those that live", got)
		}
	})
}

// A member of a large cluster that waits at a barrier looks rarely.
func TestASlotIsKeptForAMemberUntilItMustHaveLooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 30
		w := formed(t, n, profile.Seed{Leaders: 1})
		first := w.leading(profile.Leader)[0]
		others := slices.DeleteFunc(members(n), func(m string) bool { return m == first })
		w.of(others[0]).crash()
		w.operate(profile.Transfer{Role: profile.Leader, Slot: "1", To: others[0]}.Plan)
		pass(w.Document().MostRest() * 6 / 5)
		if got := w.holders(profile.Leader); len(got) != 0 {
			t.Errorf("%v claimed what is kept for %s", got, others[0])
		}
		pass(10 * time.Second)
		if got := w.leading(profile.Leader); len(got) != 1 || got[0] == others[0] {
			t.Errorf("%v leads, want one of those that live", got)
		}
	})
}

func TestASlotIsNotGivenUpBeforeWhatRunsUnderItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := formed(t, 2, profile.Seed{Leaders: 1})
		first := w.leading(profile.Leader)[0]
		l := w.of(first).leads(profile.Leader)
		use, err := l.Use()
		if err != nil {
			t.Fatal(err)
		}
		w.operate(profile.Evict{Member: first, Reason: "repair"}.Plan)
		pass(time.Minute)
		if cause := context.Cause(l.Context()); !errors.Is(cause, election.ErrGivenUp) || !slices.Equal(w.holders(profile.Leader), []string{first}) {
			t.Errorf("leadership ended with %v, slot held by %v, want it held while the use lasts", cause, w.holders(profile.Leader))
		}
		if _, err := l.Use(); !errors.Is(err, election.ErrGivenUp) {
			t.Errorf("a use began after the end: %v", err)
		}
		use.Done()
		pass(2 * time.Second)
		if got := w.leading(profile.Leader); len(got) != 1 || got[0] == first {
			t.Errorf("%v leads after the use was done", got)
		}
	})
}

func TestAnEvictedMemberClaimsOnlyOnceItIsAllowedTo(t *testing.T) {
	for _, force := range []bool{false, true} {
		t.Run(fmt.Sprintf("force %v", force), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := formed(t, 1, profile.Seed{Leaders: 1})
				h := w.of("u00")
				l := h.leads(profile.Leader)
				w.operate(profile.Evict{Member: "u00", Reason: "its disk is slow", Force: force}.Plan)
				pass(5 * time.Minute)
				if got := w.holders(profile.Leader); len(got) != 0 || l.Context().Err() == nil {
					t.Errorf("%v holds the slot, leadership %v", got, l.Context().Err())
				}
				if why := h.elector.Standings()[0].Why; why != "barred: its disk is slow" {
					t.Errorf("why: %q", why)
				}
				w.operate(profile.Allow{Member: "u00", Role: profile.Leader}.Plan)
				pass(15 * time.Second)
				if got := w.leading(profile.Leader); len(got) != 1 {
					t.Errorf("%v leads after it was allowed", got)
				}
			})
		})
	}
}

func TestSlotsAboveTheCountDrainAndComeBack(t *testing.T) {
	for _, bare := range []bool{false, true} { // by `muster scale`, or by an edit of the param alone
		t.Run(fmt.Sprintf("bare %v", bare), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := formed(t, 8, profile.Seed{Leaders: 3})
				for _, count := range []int{1, 5, 0, 2} {
					if bare {
						w.put(profile.At(profile.ParamLeaderCount), count)
					} else {
						w.operate(profile.Scale{Role: profile.Leader, Slots: count}.Plan)
					}
					pass(20 * time.Second)
					var held []string
					for _, n := range profile.SlotNumbers(w.slots(profile.Leader)) {
						if !w.slots(profile.Leader)[n].Free() {
							held = append(held, n)
						}
					}
					var want []string
					for n := 1; n <= count; n++ {
						want = append(want, strconv.Itoa(n))
					}
					if diff := cmp.Diff(want, held); diff != "" {
						t.Errorf("count %d: slots held (-want +got):\n%s", count, diff)
					}
				}
			})
		})
	}
}

func TestTheHighestPriorityLeadsAndZeroNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(6), Leaders: 2})
		w.put(profile.At(profile.ParamRoles, profile.Leader), profile.RoleOptions{Priority: map[string]int{"u00": 0, "u03": 200, "u04": 150, "u05": 10}})
		for i, uuid := range members(6) { // the best come last
			w.host(uuid).start()
			pass(time.Duration(i) * time.Second)
		}
		pass(5 * time.Second)
		if diff := cmp.Diff([]string{"u03", "u04"}, w.leading(profile.Leader)); diff != "" {
			t.Errorf("leaders (-want +got):\n%s", diff)
		}
		w.put(profile.At(profile.ParamRoles, profile.Leader, "priority", "u03"), 0)
		pass(20 * time.Second)
		if got := w.leading(profile.Leader); !slices.Contains(got, "u04") || slices.Contains(got, "u03") || slices.Contains(got, "u00") || slices.Contains(got, "u05") {
			t.Errorf("%v lead after the priority of u03 became 0", got)
		}
	})
}

func TestPrioritiesWaitForNobodyOnceTheProfileRests(t *testing.T) {
	for name, seed := range map[string]profile.Seed{
		"of those named":  {Members: members(3), Leaders: 1},
		"of so many more": {Expect: 3, Leaders: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, seed)
				w.put(profile.At(profile.ParamRoles, profile.Leader), profile.RoleOptions{Priority: map[string]int{"u02": 200}})
				w.host("u00").start()
				w.host("u01").start()
				pass(9 * time.Second)
				if got := w.holders(profile.Leader); len(got) != 0 {
					t.Errorf("%v did not wait for u02", got)
				}
				pass(6 * time.Second)
				if got := w.leading(profile.Leader); len(got) != 1 {
					t.Errorf("%v leads though u02 does not come", got)
				}
			})
		})
	}
}

func TestARoleOnDemandIsHeldOnlyWhereSomebodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Roles: map[string]int{"backup": 1}})
		w.put(profile.At(profile.ParamRoles, "backup"), profile.RoleOptions{Slots: 1, TTL: ttl.String(), OnDemand: true})
		w.follow("backup")
		for _, uuid := range members(3) {
			w.host(uuid).start()
		}
		pass(time.Minute)
		if got := w.holders("backup"); len(got) != 0 {
			t.Errorf("%v holds what nobody asks for", got)
		}
		h := w.of("u01")
		withdraw := h.elector.Ask("backup")
		l, err := h.elector.Await(t.Context(), "backup")
		if err != nil || !slices.Equal(w.holders("backup"), []string{"u01"}) {
			t.Fatalf("%v, %v holds the slot", err, w.holders("backup"))
		}
		use, err := l.Use()
		if err != nil {
			t.Fatal(err)
		}
		withdraw()
		pass(time.Second)
		if got := w.holders("backup"); len(got) != 1 {
			t.Errorf("%v holds the slot while it is used", got)
		}
		use.Done()
		pass(time.Second)
		if got := w.holders("backup"); len(got) != 0 {
			t.Errorf("%v holds what nobody asks for any more", got)
		}
	})
}

func TestAnAdoptedSlotIsTakenOverByItsMemberAndNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 2})
		w.follow(profile.Leader)
		w.put(profile.At(profile.ParamSlots, profile.Leader, "1", "holder"), "u02", profile.At(profile.ParamSlots, profile.Leader, "2", "holder"), "u01")
		w.host("u00").start()
		w.host("u02").start()
		pass(time.Minute)
		if got := w.leading(profile.Leader); !slices.Equal(got, []string{"u02"}) {
			t.Errorf("%v leads, want u02 alone: the other slot is that of u01", got)
		}
		w.host("u01").start()
		pass(time.Minute)
		if slots := w.slots(profile.Leader); slots["1"].Holder != "u02" || slots["2"].Holder != "u01" || slots["2"].Instance == "" {
			t.Errorf("slots %+v", slots)
		}
	})
}

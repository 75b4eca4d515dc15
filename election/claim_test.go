package election_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

// everybody starts n members at once, and lets a second pass: nobody loses
// patience in it.
func everybody(t *testing.T, seed profile.Seed) *world {
	w := seeded(t, seed)
	for _, uuid := range seed.Members {
		w.host(uuid).start()
	}
	pass(900 * time.Millisecond)
	return w
}

func TestEverySlotIsHeldAndNobodyConflictsWhenAllAreUp(t *testing.T) {
	for _, seed := range []profile.Seed{
		{Members: members(1), Leaders: 1},
		{Members: members(2), Leaders: 1, Roles: map[string]int{"db": 1}},
		{Members: members(5), Leaders: 3},
		{Members: members(7), Leaders: 7},
		{Members: members(20), Leaders: 5, Roles: map[string]int{"db": 2, "web": 7}},
		{Members: members(50), Leaders: 10, Roles: map[string]int{"db": 30, "none": 0}},
	} {
		t.Run(fmt.Sprintf("%d members, %d leaders", len(seed.Members), seed.Leaders), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now().Unix()
				w := everybody(t, seed)
				seed.Roles = mapWith(seed.Roles, profile.Leader, seed.Leaders)
				for role, count := range seed.Roles {
					holders := w.holders(role)
					if len(holders) != count || len(slices.Compact(holders)) != count {
						t.Errorf("slots of %s are held by %v, want %d members", role, holders, count)
					}
					for n, s := range w.slots(role) {
						if s.Epoch < began {
							t.Errorf("slot %s of %s: epoch %d, want at least the endpoint's clock, %d", n, role, s.Epoch, began)
						}
					}
				}
				for _, h := range w.hosts {
					if h.store.conflicts > 0 {
						t.Errorf("%s conflicted %d times, want none", h.uuid, h.store.conflicts)
					}
				}
			})
		})
	}
}

func mapWith(m map[string]int, key string, v int) map[string]int {
	c := map[string]int{key: v}
	for k, v := range m {
		c[k] = v
	}
	return c
}

func TestMoreSlotsThanMembersLeaveSlotsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := everybody(t, profile.Seed{Members: members(3), Leaders: 5})
		pass(time.Minute)
		if diff := cmp.Diff(members(3), w.holders(profile.Leader)); diff != "" {
			t.Errorf("holders (-want +got):\n%s", diff)
		}
	})
}

func TestOthersTakeOverFromAbsenteesAfterTheirPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := profile.Seed{Members: members(10), Leaders: 3}
		best := everybody(t, seed).holders(profile.Leader)
		w := seeded(t, seed)
		for _, uuid := range members(10) {
			if !slices.Contains(best, uuid) {
				w.host(uuid).start()
			}
		}
		pass(900 * time.Millisecond)
		if got := w.holders(profile.Leader); len(got) != 0 {
			t.Errorf("%v did not wait for those who rank better", got)
		}
		pass(2 * time.Second)
		if got := w.holders(profile.Leader); len(got) != 3 {
			t.Errorf("slots are held by %v, want three members: those who rank better do not come", got)
		}
	})
}

func TestARaceBeginsWithAFreshLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := profile.Seed{Members: members(2), Leaders: 1}
		best := everybody(t, seed).holders(profile.Leader)[0]
		w := seeded(t, seed)
		other := w.host(members(2)[1-slices.Index(members(2), best)])
		other.deaf = true
		other.joined().run()
		w.host(best).start()
		pass(time.Minute)
		if other.store.applied != 1 {
			t.Errorf("%d patches, want the joining alone: a look shows that the slot is taken", other.store.applied)
		}
	})
}

func TestAClaimWhoseAnswerIsLostGivesOneSlotAndAKnownTenure(t *testing.T) {
	for name, fault := range map[string]memory.Fault{
		"reply lost":                  {LoseReply: true},
		"request lost":                {LoseRequest: true},
		"landing after the next":      {Delay: memory.Timeout + time.Minute},
		"landing after the giving up": {Delay: memory.Timeout + time.Millisecond},
		"slow":                        {Delay: memory.Timeout - time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 2, Roles: map[string]int{"db": 3}})
				h := w.host("u00")
				claims := 0
				h.faults = func(c memory.Call) memory.Fault {
					if c.Method == "Apply" {
						claims++
						if claims == 2 { // the first is the joining
							return fault
						}
					}
					return memory.Fault{}
				}
				h.start()
				pass(10 * time.Minute)
				for _, role := range []string{profile.Leader, "db"} {
					tenure, held := h.member.Tenure(w.Document(), role)
					if diff := cmp.Diff([]string{"u00"}, w.holders(role)); diff != "" || !held {
						t.Errorf("tenure %+v, %v; holders of %s (-want +got):\n%s", tenure, held, role, diff)
					}
				}
				if claims < 3 {
					t.Errorf("%d patches: the fault did not strike a claim", claims)
				}
			})
		})
	}
}

func TestARestartKeepsSlotInstanceAndEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := everybody(t, profile.Seed{Members: members(3), Leaders: 1})
		before := w.slots(profile.Leader)
		version := w.Document().Version
		for _, h := range w.hosts {
			if err := h.stop(); !errors.Is(err, errStopped) {
				t.Errorf("Run ended with %v, want the cause of its context", err)
			}
		}
		pass(time.Hour)
		for _, h := range w.hosts {
			h.start()
		}
		pass(time.Minute)
		if diff := cmp.Diff(before, w.slots(profile.Leader)); diff != "" || w.Document().Version != version {
			t.Errorf("version %s to %s, slots (-before +after):\n%s", version, w.Document().Version, diff)
		}
		for _, h := range w.hosts {
			if _, held := h.member.Tenure(w.Document(), profile.Leader); held != (h.uuid == before["1"].Holder) {
				t.Errorf("%s knows a tenure: %v", h.uuid, held)
			}
		}
	})
}

func TestANewLifeFreesItsOldSlotAndMayClaimAgain(t *testing.T) {
	for _, paused := range []bool{false, true} {
		t.Run(fmt.Sprintf("paused %v", paused), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := everybody(t, profile.Seed{Members: members(1), Leaders: 1})
				before := w.slots(profile.Leader)["1"]
				w.hosts[0].stop()
				w.put(profile.At(profile.ParamPaused), paused)
				w.host("u00").start() // the same hardware, with a fresh state directory
				pass(time.Minute)
				now := w.slots(profile.Leader)["1"]
				if now.Free() != paused || now.Instance == before.Instance || !paused && now.Epoch <= before.Epoch {
					t.Errorf("slot %+v after %+v, want it freed, and claimed in a higher epoch unless paused", now, before)
				}
			})
		})
	}
}

// The epoch of a claim that a restore undid is not used again, though the clock
// has the same second.
func TestATenureThatARestoreUndidIsNotClaimedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		var claimed []int64
		w.OnCommit(func(before, after *profile.Document) {
			was, _ := before.Slots()
			is, _ := after.Slots()
			if now := is[profile.Leader]["1"]; now.Holder != "" && was[profile.Leader]["1"].Holder == "" {
				claimed = append(claimed, now.Epoch)
			}
		})
		h := w.host("u00").joined()
		backup := w.Document().Params
		h.run()
		pass(300 * time.Millisecond)
		w.Replace(backup)
		pass(300 * time.Millisecond)
		if len(claimed) != 2 || claimed[1] <= claimed[0] {
			t.Errorf("epochs claimed: %v, want two that rise", claimed)
		}
	})
}

func TestEpochsRiseAboveTheLastOneThoughTheClockIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		ahead := time.Now().Add(24 * time.Hour).Unix()
		w.put(profile.At(profile.ParamSlots, profile.Leader, "1", "epoch"), ahead)
		w.host("u00").start()
		pass(time.Second)
		if got := w.slots(profile.Leader)["1"]; got.Epoch != ahead+1 || got.Holder != "u00" {
			t.Errorf("slot %+v, want epoch %d", got, ahead+1)
		}
	})
}

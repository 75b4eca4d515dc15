package election_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

func TestAnEndpointThatIsAwayForAnHourIsOutlived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 2})
		var away time.Time
		for _, uuid := range members(3) {
			h := w.host(uuid).joined()
			h.ways[0].Settle()
			away = time.Now().Add(time.Hour)
			h.faults = func(memory.Call) memory.Fault {
				if time.Now().Before(away) {
					return memory.Fault{Refuse: profile.ErrUnavailable}
				}
				return memory.Fault{}
			}
		}
		for _, h := range w.hosts {
			h.joined().run()
		}
		pass(59 * time.Minute)
		if got := w.holders(profile.Leader); len(got) != 0 {
			t.Fatalf("%v claimed from an endpoint that is away", got)
		}
		pass(2 * time.Minute)
		if got := w.holders(profile.Leader); len(got) != 2 {
			t.Errorf("slots are held by %v, want two members", got)
		}
	})
}

func TestALostIdentityEndsTheElection(t *testing.T) {
	for want, lose := range map[error]func(w *world){
		profile.ErrTwin: func(w *world) {
			w.put(profile.At(profile.ParamMembers, "u00", "instance"), "another", profile.At(profile.ParamMembers, "u00", "seq"), 1000)
		},
		profile.ErrForgotten: func(w *world) {
			empty := profile.EmptyRecord([]string{profile.Leader})
			empty.Seq = 1000
			w.put(profile.At(profile.ParamMembers, "u00"), empty)
		},
	} {
		t.Run(want.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := w.host("u00").joined()
				lose(w)
				h.run()
				if err := <-h.done; !errors.Is(err, want) {
					t.Errorf("Run ended with %v, want %v", err, want)
				}
				h.cancel = nil
				if got := w.holders(profile.Leader); len(got) != 0 {
					t.Errorf("%v holds a slot", got)
				}
			})
		})
	}
}

func TestTheEndOfTheContextLeavesSlotsHeldAndReturnsItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := everybody(t, profile.Seed{Members: members(1), Leaders: 1})
		before := w.slots(profile.Leader)
		if err := w.hosts[0].stop(); !errors.Is(err, errStopped) {
			t.Errorf("Run ended with %v, want %v", err, errStopped)
		}
		pass(time.Hour)
		if diff := cmp.Diff(before, w.slots(profile.Leader)); diff != "" {
			t.Errorf("slots (-before +after):\n%s", diff)
		}
	})
}

// A leadership ends with the elector: seen in the middle of a look, that must
// not read as a slot that is not led any more.
func TestAnEndInTheMiddleOfALookGivesUpNoStickySlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		var ending atomic.Bool
		h.onNow = func() {
			if ending.CompareAndSwap(true, false) {
				h.cancel(errStopped)
			}
		}
		h.joined().run()
		pass(time.Minute)
		sent := h.patches()
		ending.Store(true)
		w.edit(map[string]any{"more": 1})
		if err := <-h.done; !errors.Is(err, errStopped) {
			t.Errorf("Run ended with %v, want %v", err, errStopped)
		}
		h.cancel = nil
		if got := h.patches() - sent; got != 0 {
			t.Errorf("%d writes at the end, want none", got)
		}
	})
}

func TestMalformedSlotsAreWarnedOfAndOutlived(t *testing.T) {
	for name, broken := range map[string]string{"text": `"x"`, "null": "null", "a slot": `{"leader":{"1":"x"}}`, "an epoch": `{"leader":{"1":{"epoch":"x"}}}`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				good := w.Document().Params[profile.ParamSlots]
				h := w.host("u00").joined()
				w.edit(map[string]any{profile.ParamSlots: json.RawMessage(broken)})
				h.run()
				pass(time.Minute)
				if text := h.log.String(); !strings.Contains(text, "[WARN]") || !strings.Contains(text, profile.ParamSlots) {
					t.Errorf("log does not warn of %s:\n%s", profile.ParamSlots, text)
				}
				w.edit(map[string]any{profile.ParamSlots: good})
				pass(time.Minute)
				if diff := cmp.Diff([]string{"u00"}, w.holders(profile.Leader)); diff != "" {
					t.Errorf("holders after it was mended (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAMalformedRoleHoldsUpNoOther(t *testing.T) {
	for name, broken := range map[string]map[string]any{
		"options": {profile.ParamRoles: "x"}, // of all roles: who knows which are leases
		"ttl":     {profile.ParamRoles: map[string]any{profile.Leader: map[string]any{"ttl": "1s"}, "db": map[string]any{"slots": 1}, "web": map[string]any{"slots": 1}}},
		"count":   {profile.ParamLeaderCount: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1, Roles: map[string]int{"db": 1, "web": 1}})
				h := w.host("u00")
				w.edit(broken)
				h.start()
				pass(time.Second)
				roles := map[string][]string{profile.Leader: {}, "db": {"u00"}, "web": {"u00"}}
				if name == "options" {
					roles = map[string][]string{profile.Leader: {}, "db": {}, "web": {}}
				}
				got := map[string][]string{}
				for role := range roles {
					got[role] = w.holders(role)
				}
				if diff := cmp.Diff(roles, got); diff != "" || w.leaders() != "[]" {
					t.Errorf("list %s, want it empty; holders (-want +got):\n%s", w.leaders(), diff)
				}
			})
		})
	}
}

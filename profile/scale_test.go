package profile_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

func TestScalingPlantsWhatLacksAndTakesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		held, wanted, db := w.slot(profile.Leader, "1"), w.slot(profile.Leader, "2"), w.slot("db", "1")
		for _, n := range []int{4, 0, 1} {
			w.does(profile.Scale{Role: profile.Leader, Slots: n}.Plan)
			w.does(profile.Scale{Role: "db", Slots: n}.Plan)
			for _, role := range []string{profile.Leader, "db"} {
				if got, _, err := w.Document().SlotCount(role); got != n || err != nil {
					t.Errorf("%s: count %d, %v, want %d", role, got, err, n)
				}
			}
		}
		slots, err := w.Document().Slots()
		empty := profile.Slot{History: []profile.Transition{}}
		want := map[string]map[string]profile.Slot{
			profile.Leader: {"1": held, "2": wanted, "3": empty, "4": empty},
			"db":           {"1": db, "2": empty, "3": empty, "4": empty},
		}
		if diff := cmp.Diff(want, slots); diff != "" || err != nil {
			t.Errorf("slots, %v (-want +got):\n%s", err, diff)
		}
	})
}

// A slot that somebody else plants and takes meanwhile is not planted over.
func TestScalingDoesNotPlantOverASlotThatIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hosts := lived(t)
		o := w.between(func() {
			w.put(profile.At(profile.ParamLeaderCount), 3)
			w.put(profile.At(profile.ParamSlots, profile.Leader, "3"), profile.Slot{History: []profile.Transition{}})
			w.claimed(hosts["u3"], profile.Leader, "3")
			w.put(profile.At(profile.ParamLeaderCount), 2) // as it was when the operator looked
		})
		if _, err := o.Write(t.Context(), profile.Scale{Role: profile.Leader, Slots: 4}.Plan); err != nil {
			t.Fatal(err)
		}
		if got := w.slot(profile.Leader, "3").Holder; got != "u3" {
			t.Errorf("leader/3 is held by %q, want it left to u3", got)
		}
		if _, ok := w.Document().Lookup(profile.At(profile.ParamSlots, profile.Leader, "4", "history")); !ok {
			t.Error("leader/4 was not planted")
		}
	})
}

func TestASlotThatIsMissingWithinTheCountIsPlanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		w.put(profile.At(profile.ParamLeaderCount), 3) // by hand
		w.does(profile.Scale{Role: profile.Leader, Slots: 3}.Plan)
		if _, ok := w.Document().Lookup(profile.At(profile.ParamSlots, profile.Leader, "3", "holder")); !ok || w.ops().N != 1 {
			t.Errorf("leader/3 planted: %v, in %d writes", ok, w.ops().N)
		}
		w.does(profile.Scale{Role: profile.Leader, Slots: 3}.Plan)
		if w.ops().N != 1 {
			t.Errorf("%d writes, want one: scaling again is none", w.ops().N)
		}
	})
}

func TestScalingToWhatCannotBeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		w.refuses(profile.ErrInvalid, "expected 0 to 1000 slots, found -1", profile.Scale{Role: profile.Leader, Slots: -1}.Plan)
		w.refuses(profile.ErrInvalid, "found 1001", profile.Scale{Role: profile.Leader, Slots: 1001}.Plan)
		w.refuses(profile.ErrNoSuch, `role "web": expected one of leader`, profile.Scale{Role: "web", Slots: 1}.Plan)
	})
}

func TestPausingSuspendsClaimsUntilTheyAreResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		for i, pause := range []bool{true, true, false, false} {
			w.does(profile.Pause(pause))
			if got, err := w.Document().Paused(); got != pause || err != nil || w.ops().N != int64(i/2+1) {
				t.Errorf("paused %v, %v, after %d writes, want %v", got, err, w.ops().N, pause)
			}
		}
	})
}

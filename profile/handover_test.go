package profile_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

func TestATransferAsksTheHolderAndTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		for slot, name := range map[string]string{"1": "held", "2": "free"} {
			want := w.slot(profile.Leader, slot)
			want.Wanted = "u2"
			w.does(profile.Transfer{Role: profile.Leader, Slot: slot, To: "u2"}.Plan)
			if diff := cmp.Diff(want, w.slot(profile.Leader, slot)); diff != "" {
				t.Errorf("%s slot (-want +got):\n%s", name, diff)
			}
		}
	})
}

func TestATransferThatCannotEndWellIsRefused(t *testing.T) {
	for text, row := range map[string]struct {
		to   string
		edit func(w *world, hosts map[string]*host)
	}{
		"has not joined": {to: "u4"},
		"barred from role": {to: "u2", edit: func(w *world, _ map[string]*host) {
			w.put(profile.At(profile.ParamMembers, "u2", "barred", profile.Leader), "noisy")
		}},
		"its priority in role": {to: "u2", edit: func(w *world, _ map[string]*host) {
			w.put(profile.At(profile.ParamRoles, profile.Leader), profile.RoleOptions{Priority: map[string]int{"u2": 0}})
		}},
		"it holds leader/2":           {to: "u2", edit: func(w *world, h map[string]*host) { w.claimed(h["u2"], profile.Leader, "2") }},
		"above the slot count, 0":     {to: "u2", edit: func(w *world, _ map[string]*host) { w.put(profile.At(profile.ParamLeaderCount), 0) }},
		"`muster resume` comes first": {to: "u2", edit: func(w *world, _ map[string]*host) { w.put(profile.At(profile.ParamPaused), true) }},
	} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, hosts := lived(t)
				if row.edit != nil {
					row.edit(w, hosts)
				}
				w.refuses(profile.ErrNotNow, text, profile.Transfer{Role: profile.Leader, Slot: "1", To: row.to}.Plan)
			})
		})
	}
}

func TestATransferToTheHolderIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.put(profile.At(profile.ParamPaused), true)
		w.does(profile.Transfer{Role: profile.Leader, Slot: "1", To: "u1"}.Plan)
		if n := w.ops().N; n != 0 {
			t.Errorf("%d writes, want none", n)
		}
	})
}

// between has edit happen right before the operator's first change arrives.
func (w *world) between(edit func()) *profile.Operator {
	n := 0
	return profile.NewOperator(w.Store(func(c memory.Call) memory.Fault {
		if c.Method == "Apply" {
			if n++; n == 1 {
				edit()
			}
		}
		return memory.Fault{}
	}))
}

func TestATransferToAMemberThatTakesAnotherSlotMeanwhileIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hosts := lived(t)
		o := w.between(func() { w.claimed(hosts["u2"], profile.Leader, "2") })
		_, err := o.Write(t.Context(), profile.Transfer{Role: profile.Leader, Slot: "1", To: "u2"}.Plan)
		if got := w.slot(profile.Leader, "1").Wanted; !errors.Is(err, profile.ErrNotNow) || got != "" {
			t.Errorf("error %v, wanted for %q, want %v and nobody", err, got, profile.ErrNotNow)
		}
	})
}

func TestOfTwoTransfersAtOnceTheLaterOneStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		first, errs := "", make(chan error, 2)
		for _, to := range []string{"u2", "u3"} {
			o, _ := w.operator(memory.Fault{Delay: 30 * time.Millisecond})
			go func() {
				d, err := o.Write(t.Context(), profile.Transfer{Role: profile.Leader, Slot: "1", To: to}.Plan)
				if ops, operr := d.Ops(); operr == nil && ops.N == 1 {
					first = to
				}
				errs <- err
			}()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Fatal(err)
		}
		if got := w.slot(profile.Leader, "1").Wanted; first == "" || got == first || w.ops().N != 2 {
			t.Errorf("wanted for %q after %d writes, the first for %q, want the other", got, w.ops().N, first)
		}
	})
}

func TestAnEvictedMemberIsBarredAndAskedForAllItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		before := w.slot(profile.Leader, "1")
		w.does(profile.Evict{Member: "u1", Reason: "disk fails"}.Plan)
		if diff := cmp.Diff(map[string]string{profile.Leader: "disk fails", "db": "disk fails"}, w.record("u1").Barred); diff != "" {
			t.Errorf("barred (-want +got):\n%s", diff)
		}
		before.Wanted = profile.Anybody
		if diff := cmp.Diff(before, w.slot(profile.Leader, "1")); diff != "" {
			t.Errorf("slot (-want +got):\n%s", diff)
		}
		if got := w.slot("db", "1").Wanted; got != profile.Anybody {
			t.Errorf("db/1 is wanted for %q", got)
		}
	})
}

func TestAnEvictionFromOneSlotLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.does(profile.Evict{Member: "u1", Role: "db", Slot: "1", Reason: "r"}.Plan)
		if bars, s := w.record("u1").Barred, w.slot(profile.Leader, "1"); bars["db"] != "r" || bars[profile.Leader] != "" || s.Wanted != "" {
			t.Errorf("barred %v, leader/1 wanted for %q, want db alone", bars, s.Wanted)
		}
	})
}

func TestAnEvictedHolderLeavesTheReasonInTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hosts := lived(t)
		w.does(profile.Evict{Member: "u1", Reason: "disk fails"}.Plan)
		tenure, _ := hosts["u1"].Tenure(w.Document(), profile.Leader)
		c, err := profile.Release(w.Document(), tenure, "u1", profile.EventEvicted)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hosts["u1"].store.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		s := w.slot(profile.Leader, "1")
		if last := s.History[len(s.History)-1]; last.Event != profile.EventEvicted || last.Reason != "disk fails" || s.Wanted != "" {
			t.Errorf("last entry %+v, wanted for %q, want the eviction with its reason, and nobody", last, s.Wanted)
		}
	})
}

func TestAForcedEvictionFromAnotherRoleLeavesTheListOfLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.put(profile.At(profile.ParamLeaders), []string{"u1"})
		w.does(profile.Evict{Member: "u1", Role: "db", Slot: "1", Reason: "r", Force: true}.Plan)
		if got := string(w.Document().Params[profile.ParamLeaders]); got != `["u1"]` || !w.slot("db", "1").Free() {
			t.Errorf("%s is %s, db/1 %+v, want the list left alone and the slot free", profile.ParamLeaders, got, w.slot("db", "1"))
		}
	})
}

func TestAnEvictionLeavesATransferThatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.does(profile.Transfer{Role: profile.Leader, Slot: "1", To: "u2"}.Plan)
		w.does(profile.Evict{Member: "u1", Reason: "r"}.Plan)
		if s := w.slot(profile.Leader, "1"); s.Wanted != "u2" || s.Holder != "u1" {
			t.Errorf("slot %+v, want it held by u1 and wanted for u2", s)
		}
		w.does(profile.Evict{Member: "u1", Reason: "r", Force: true}.Plan)
		if s := w.slot(profile.Leader, "1"); s.Wanted != "u2" || !s.Free() {
			t.Errorf("slot %+v, want it free and wanted for u2", s)
		}
	})
}

func TestAForcedEvictionFreesTheSlotAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hosts := lived(t)
		w.put(profile.At(profile.ParamLeaders), []any{"u9", profile.Mirror{UUID: "u1"}, "u1", profile.Mirror{UUID: "u2"}})
		before := w.slot(profile.Leader, "1")
		w.does(profile.Evict{Member: "u1", Role: profile.Leader, Slot: "1", Reason: "disk fails", Force: true}.Plan)
		want := profile.Slot{Epoch: before.Epoch, History: append(before.History, profile.Transition{
			Event: profile.EventEvicted, Holder: "u1", Epoch: before.Epoch, At: time.Now().Unix(), Reason: "disk fails",
		})}
		if diff := cmp.Diff(want, w.slot(profile.Leader, "1")); diff != "" {
			t.Errorf("slot (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(`["u9",{"Address":"","Name":"","Uuid":"u2"}]`, string(w.Document().Params[profile.ParamLeaders])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", profile.ParamLeaders, diff)
		}
		stale := profile.Tenure{Role: profile.Leader, Slot: "1", Instance: before.Instance, Epoch: before.Epoch}
		c := stale.Guard()
		c.Set(profile.At("other"), "of a stale tenure")
		if _, err := hosts["u1"].store.Apply(t.Context(), c); !errors.Is(err, profile.ErrConflict) {
			t.Errorf("write under the old tenure: error %v, want %v", err, profile.ErrConflict)
		}
	})
}

func TestAnEvictionFromNothingIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.refuses(profile.ErrNotNow, "host u2 (u2) holds no slot: there is nothing to evict it from", profile.Evict{Member: "u2", Reason: "r"}.Plan)
		w.refuses(profile.ErrNotNow, "holds slot leader/2 no longer", profile.Evict{Member: "u1", Role: profile.Leader, Slot: "2", Reason: "r"}.Plan)
		w.refuses(profile.ErrInvalid, "a reason is needed", profile.Evict{Member: "u1", Reason: " "}.Plan)
	})
}

// An eviction is meant for the member that the operator saw: not for whoever
// took the slot meanwhile.
func TestAnEvictionDoesNotHitTheNextHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hosts := lived(t)
		o := w.between(func() {
			tenure, _ := hosts["u1"].Tenure(w.Document(), profile.Leader)
			plan := func(d *profile.Document) (*profile.Change, error) {
				if s := w.slot(profile.Leader, "1"); s.Free() {
					return nil, nil
				}
				return profile.Release(d, tenure, "u1", profile.EventResigned)
			}
			if _, err := hosts["u1"].Write(t.Context(), plan); err != nil {
				t.Error(err)
			}
			w.claimed(hosts["u2"], profile.Leader, "1")
		})
		_, err := o.Write(t.Context(), profile.Evict{Member: "u1", Role: profile.Leader, Slot: "1", Reason: "r"}.Plan)
		s, bars := w.slot(profile.Leader, "1"), w.record("u2").Barred
		if !errors.Is(err, profile.ErrNotNow) || s.Holder != "u2" || s.Wanted != "" || bars[profile.Leader] != "" {
			t.Errorf("error %v, slot %+v, bars of u2 %v, want %v and u2 left alone", err, s, bars, profile.ErrNotNow)
		}
	})
}

func TestAnEvictedMemberCannotClaimUntilItIsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hosts := lived(t)
		// A claim that is on its way when its member is evicted does not land.
		hosts["u1"].faulty(memory.Fault{Delay: memory.Timeout + time.Minute})
		claims := make(chan error, 1)
		stop := errors.New("enough")
		go func() {
			tried := 0
			_, err := hosts["u1"].Write(t.Context(), func(d *profile.Document) (*profile.Change, error) {
				if tried++; tried > 1 {
					return nil, stop
				}
				return profile.Claim(d, profile.Tenure{Role: profile.Leader, Slot: "2", Instance: hosts["u1"].State().Instance}, "u1", "")
			})
			claims <- err
		}()
		synctest.Wait()
		w.does(profile.Evict{Member: "u1", Reason: "r", Force: true}.Plan)
		if err := <-claims; !errors.Is(err, stop) {
			t.Fatalf("claim: %v", err)
		}
		hosts["u1"].settle()
		if s := w.slot(profile.Leader, "2"); !s.Free() {
			t.Errorf("slot %+v, want the claim refused by the bar", s)
		}
		w.does(profile.Allow{Member: "u1", Role: profile.Leader}.Plan)
		if diff := cmp.Diff(map[string]string{profile.Leader: "", "db": "r"}, w.record("u1").Barred); diff != "" {
			t.Errorf("barred (-want +got):\n%s", diff)
		}
		w.does(profile.Allow{Member: "u1", Role: profile.Leader}.Plan)
		w.does(profile.Allow{Member: "u1", Role: "unknown"}.Plan)
		if n := w.ops().N; n != 2 {
			t.Errorf("%d writes, want two: allowing again is none", n)
		}
		w.refuses(profile.ErrNoSuch, "no record of member u9", profile.Allow{Member: "u9", Role: "db"}.Plan)
	})
}

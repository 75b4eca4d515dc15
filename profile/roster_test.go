package profile_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"muster/profile"
	"muster/profile/memory"
)

func TestAForgottenMemberLeavesNothingButAnEmptyRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.put(profile.At(profile.ParamLeaders), []string{"u1"})
		w.put(profile.At(profile.ParamSlots, profile.Leader, "2", "wanted"), "u1")
		w.put(profile.At(profile.ParamExpected, "roles"), map[string][]string{"web": {"u1", "u2"}, "app": {"u3"}})
		before, held := w.record("u1"), w.slot(profile.Leader, "1")
		w.does(profile.Forget{Member: "u1", Force: true}.Plan)

		want := profile.EmptyRecord([]string{"db", profile.Leader})
		want.Seq, want.Write = before.Seq+1, w.record("u1").Write
		if diff := cmp.Diff(want, w.record("u1")); diff != "" || want.Write == before.Write || want.Write == "" {
			t.Errorf("record written as %q (-want +got):\n%s", want.Write, diff)
		}
		expected, err := w.Document().Expected()
		wanted := profile.Expected{Version: 2, Round: 1, Count: 2, Members: []string{"u2", "u3"}, Roles: map[string][]string{"web": {"u2"}, "app": {"u3"}}}
		if diff := cmp.Diff(wanted, expected); diff != "" || err != nil {
			t.Errorf("expected, %v (-want +got):\n%s", err, diff)
		}
		free := profile.Slot{Epoch: held.Epoch, History: append(held.History, profile.Transition{Event: profile.EventForgotten, Holder: "u1", Epoch: held.Epoch, At: time.Now().Unix()})}
		if diff := cmp.Diff(free, w.slot(profile.Leader, "1")); diff != "" {
			t.Errorf("slot (-want +got):\n%s", diff)
		}
		if s := w.slot(profile.Leader, "2"); s.Wanted != "" {
			t.Errorf("leader/2 is wanted for %q still", s.Wanted)
		}
		facts, err := w.Document().Facts()
		if _, kept := facts["u1"]; kept || len(facts) != 2 || err != nil {
			t.Errorf("facts %v, %v, want those of the others", facts, err)
		}
		if got := string(w.Document().Params[profile.ParamLeaders]); got != "[]" {
			t.Errorf("%s is %s, want nobody", profile.ParamLeaders, got)
		}
	})
}

func TestNothingOfAForgottenProcessLandsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hosts := lived(t)
		h := hosts["u2"]
		h.faulty(memory.Fault{Delay: memory.Timeout + time.Minute})
		written := make(chan error, 1)
		go func() { _, err := h.Write(t.Context(), h.name("late")); written <- err }()
		synctest.Wait()
		w.does(profile.Forget{Member: "u2"}.Plan)
		if err := <-written; !errors.Is(err, profile.ErrForgotten) {
			t.Errorf("error %v, want %v", err, profile.ErrForgotten)
		}
		h.settle()
		if r := w.record("u2"); r.Joined() || r.Name != "" {
			t.Errorf("record %+v, want it empty", r)
		}
		// Nor does its host join again by itself, but only as a new life.
		h.boot(h.state(t))
		if _, err := h.Join(t.Context(), h.joining()); !errors.Is(err, profile.ErrForgotten) {
			t.Errorf("joining again: error %v, want %v", err, profile.ErrForgotten)
		}
		again := h.joining()
		again.NewLife = true
		if _, err := h.Join(t.Context(), again); err != nil || !w.record("u2").Joined() {
			t.Errorf("joining as a new life: error %v, record %+v", err, w.record("u2"))
		}
	})
}

func TestAMemberThatWritesWhileItIsForgottenIsForgottenAfterThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hosts := lived(t)
		o := w.between(func() {
			w.claimed(hosts["u2"], profile.Leader, "2")
		})
		_, err := o.Write(t.Context(), profile.Forget{Member: "u2"}.Plan)
		if !errors.Is(err, profile.ErrNotNow) || !w.record("u2").Joined() {
			t.Errorf("error %v, record %+v, want %v: it holds a slot by now", err, w.record("u2"), profile.ErrNotNow)
		}
		o = w.between(func() {
			if _, err := hosts["u2"].Write(t.Context(), hosts["u2"].name("renamed")); err != nil {
				t.Error(err)
			}
		})
		seq := w.record("u2").Seq
		if _, err = o.Write(t.Context(), profile.Forget{Member: "u2", Force: true}.Plan); err != nil {
			t.Fatal(err)
		}
		if r := w.record("u2"); r.Joined() || r.Seq != seq+2 {
			t.Errorf("record %+v, want it empty with seq %d", r, seq+2)
		}
	})
}

func TestForgettingIsRefusedWhereItWouldSurprise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.refuses(profile.ErrNotNow, "host u1 (u1) holds db/1, leader/1; evict it first, or use --force", profile.Forget{Member: "u1"}.Plan)
		w.refuses(profile.ErrNoSuch, "member u9: it is not expected and has no record", profile.Forget{Member: "u9"}.Plan)
		w.does(profile.Forget{Member: "u2"}.Plan)
		w.does(profile.Forget{Member: "u3"}.Plan)
		w.refuses(profile.ErrNotNow, "the only member that is expected", profile.Forget{Member: "u1", Force: true}.Plan)
		w.does(profile.Forget{Member: "u3"}.Plan)
		if n := w.ops().N; n != 2 {
			t.Errorf("%d writes, want two: forgetting again is none", n)
		}
	})
}

func TestAMemberThatIsNotExpectedIsForgottenWithoutATraceInTheRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.host("u4").join()
		before := string(w.Document().Params[profile.ParamExpected])
		w.does(profile.Forget{Member: "u4"}.Plan)
		if got := string(w.Document().Params[profile.ParamExpected]); got != before || w.record("u4").Joined() {
			t.Errorf("expected %s, record %+v, want %s and an empty one", got, w.record("u4"), before)
		}
	})
}

func TestAReplacementTakesThePlaceOfTheOldMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.put(profile.At(profile.ParamExpected, "roles"), map[string][]string{"web": {"u1", "u2"}})
		w.does(profile.Replace{Old: "u1", New: "u4", Force: true}.Plan)
		expected, err := w.Document().Expected()
		wanted := profile.Expected{Version: 2, Round: 1, Count: 3, Members: []string{"u4", "u2", "u3"}, Roles: map[string][]string{"web": {"u4", "u2"}}}
		if diff := cmp.Diff(wanted, expected); diff != "" || err != nil {
			t.Errorf("expected, %v (-want +got):\n%s", err, diff)
		}
		if diff := cmp.Diff(profile.EmptyRecord([]string{"db", profile.Leader}), w.record("u4"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("planted record (-want +got):\n%s", diff)
		}
		if got := string(w.Document().Params[profile.ParamJoins]); got != "1" {
			t.Errorf("%s is %s, want it bumped", profile.ParamJoins, got)
		}
		options, err := w.Document().RoleOptions("db")
		if diff := cmp.Diff(map[string]int{"u4": 7, "u3": 0}, options.Priority); diff != "" || err != nil {
			t.Errorf("priorities, %v (-want +got):\n%s", err, diff)
		}
		for _, role := range []string{profile.Leader, "db"} {
			if s := w.slot(role, "1"); !s.Free() || s.Wanted != "u4" {
				t.Errorf("slot 1 of %s is %+v, want it free and wanted for u4", role, s)
			}
		}
		w.host("u4").join()
		if r := w.record("u1"); r.Joined() || r.Seq == 0 {
			t.Errorf("record of u1 %+v, want it forgotten", r)
		}
	})
}

func TestAReplacementMayHaveJoinedAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		h := w.host("u4")
		h.join()
		w.claimed(h, profile.Leader, "2")
		before := w.record("u4")
		w.does(profile.Replace{Old: "u1", New: "u4", Force: true}.Plan)
		if diff := cmp.Diff(before, w.record("u4")); diff != "" {
			t.Errorf("its record (-before +after):\n%s", diff)
		}
		if s, db := w.slot(profile.Leader, "1"), w.slot("db", "1"); s.Wanted != "" || db.Wanted != "u4" {
			t.Errorf("leader/1 is wanted for %q and db/1 for %q, want only db/1: a member holds one slot of a role", s.Wanted, db.Wanted)
		}
	})
}

func TestAReplacementByAnExpectedMachineLeavesOneOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: []string{"u1", "u2", "u3"}, Leaders: 1})
		w.host("u1").join()
		w.does(profile.Replace{Old: "u1", New: "u3"}.Plan)
		expected, err := w.Document().Expected()
		if diff := cmp.Diff([]string{"u3", "u2"}, expected.Members); diff != "" || expected.Count != 2 || err != nil {
			t.Errorf("count %d, %v, members (-want +got):\n%s", expected.Count, err, diff)
		}
	})
}

func TestReplacingIsRefusedWhereItWouldSurprise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := lived(t)
		w.host("u5").join()
		w.refuses(profile.ErrNotNow, "holds db/1, leader/1; evict it first", profile.Replace{Old: "u1", New: "u4"}.Plan)
		w.refuses(profile.ErrNotNow, "host u3 (u3) is a member of its own", profile.Replace{Old: "u2", New: "u3"}.Plan)
		w.refuses(profile.ErrNotNow, "host u5 (u5) is not expected", profile.Replace{Old: "u5", New: "u4"}.Plan)
		w.refuses(profile.ErrInvalid, "cannot take the place", profile.Replace{Old: "u2", New: "u2"}.Plan)
	})
}

func TestAMemberIsFoundByUUIDOrAUniqueName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: []string{"u1", "u2", "u3", "u4"}, Leaders: 1})
		for _, uuid := range []string{"u1", "u2", "u3"} {
			w.host(uuid).join()
		}
		w.put(profile.At(profile.ParamMembers, "u3", "name"), "host u2")
		for word, want := range map[string]string{"u1": "u1", "u4": "u4", "host u1": "u1"} {
			if got, err := w.Document().FindMember(word); got != want || err != nil {
				t.Errorf("%q: got %q, %v, want %q", word, got, err, want)
			}
		}
		for word, text := range map[string]string{
			"host u2": `"host u2" is the name of u2 and of u3; say which by its UUID`,
			"":        "expected a UUID or one of the names host u1, host u2, host u2",
			"host":    "one of the names host u1",
		} {
			if got, err := w.Document().FindMember(word); !errors.Is(err, profile.ErrNoSuch) || !strings.Contains(err.Error(), text) {
				t.Errorf("%q: got %q, %v, want %v with %q", word, got, err, profile.ErrNoSuch, text)
			}
		}
	})
}

func TestASlotIsFoundByRoleAndNumberOrByARoleThatHasOne(t *testing.T) {
	w := seeded(t, profile.Seed{Members: []string{"u1"}, Leaders: 2, Roles: map[string]int{"db": 1, "a/b": 1, "none": 0}})
	for word, want := range map[string][2]string{"leader/2": {"leader", "2"}, "db": {"db", "1"}, "a/b": {"a/b", "1"}, "a/b/1": {"a/b", "1"}} {
		if role, n, err := w.Document().FindSlot(word); role != want[0] || n != want[1] || err != nil {
			t.Errorf("%q: got %s/%s, %v, want %v", word, role, n, err, want)
		}
	}
	for word, text := range map[string]string{
		"leader":   "role leader has 2 slots: say which, as leader/NUMBER",
		"none":     "role none has 0 slots",
		"leader/3": `role leader has no slot "3"; it has 1, 2`,
		"web":      `role "web": expected one of a/b, db, leader, none`,
		"a/1":      `role "a": expected`,
		"":         `role ""`,
	} {
		if role, n, err := w.Document().FindSlot(word); !errors.Is(err, profile.ErrNoSuch) || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %s/%s, %v, want %v with %q", word, role, n, err, profile.ErrNoSuch, text)
		}
	}
}

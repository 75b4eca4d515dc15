package profile_test

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

func TestJoinFillsThePlantedRecordAndFactsInOnePatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		w.put(profile.At(profile.ParamMembers, "u1", "later"), "a field of a newer version")
		h := w.host("u1")
		j := h.joining()
		j.Facts = func(budget int) (json.RawMessage, error) {
			if budget != 2048 {
				t.Errorf("budget %d, want 2048", budget)
			}
			return json.RawMessage(`{"schema":1}`), nil
		}
		if _, err := h.Join(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"Apply": 1}, h.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		s := h.State()
		want := profile.Record{
			Name: "host u1", Address: "10.0.0.1", Instance: s.Instance, Seq: 1, Write: s.Write, Life: s.Life, Hardware: "hardware of u1",
			Results: map[string]string{}, Steps: map[string]profile.Step{}, Arrived: map[string]string{}, Barred: map[string]string{profile.Leader: ""}, State: "joined", Version: "v1",
		}
		if diff := cmp.Diff(want, h.record("u1")); diff != "" || s.Instance == "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
		for p, want := range map[profile.Pointer]string{
			profile.At(profile.ParamFacts, "u1"):            `{"schema":1}`,
			profile.At(profile.ParamMembers, "u1", "later"): `"a field of a newer version"`,
			profile.At(profile.ParamJoins):                  `0`,
		} {
			if raw, _ := h.Document().Lookup(p); string(raw) != want {
				t.Errorf("%s is %s, want %s", p, raw, want)
			}
		}
	})
}

func TestJoinOfAMemberThatIsNotListedBumpsJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u3")
		h.join()
		if got := string(h.Document().Params[profile.ParamJoins]); got != "1" || !h.record("u3").Joined() {
			t.Errorf("%s is %s, joined %v, want 1, true", profile.ParamJoins, got, h.record("u3").Joined())
		}
		if _, err := h.Write(t.Context(), h.claim(profile.Leader, "1")); err != nil {
			t.Errorf("claim of an unlisted member: %v", err)
		}
	})
}

func TestARestartJoinsWithoutAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		if _, err := h.Write(t.Context(), h.claim(profile.Leader, "1")); err != nil {
			t.Fatal(err)
		}
		before := h.Document().Version
		h.boot(h.state(t))
		d := h.join()
		if got := h.Document().Version; got != before {
			t.Errorf("version %s, want %s: a restart has nothing to say", got, before)
		}
		if _, ok := h.Tenure(d, profile.Leader); !ok {
			t.Error("the slot is not held any more after a restart")
		}
		j := h.joining()
		j.Address = "10.0.0.9"
		if _, err := h.Join(t.Context(), j); err != nil || h.record("u1").Address != "10.0.0.9" || h.record("u1").Seq != 3 {
			t.Errorf("error %v, record %+v, want the new address by the next write", err, h.record("u1"))
		}
	})
}

func TestAReprovisionedMachineStartsANewLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		if _, err := h.Write(t.Context(), h.claim(profile.Leader, "2")); err != nil {
			t.Fatal(err)
		}
		h.put(profile.At(profile.ParamMembers, "u1", "results", "1"), profile.Complete)
		old := h.record("u1")
		h.boot(profile.State{UUID: "u1", Profile: cluster})
		h.join()
		now := h.record("u1")
		if now.Instance == old.Instance || now.Life == old.Life || now.Seq <= old.Seq || len(now.Results) != 0 {
			t.Errorf("record %+v after %+v, want a new instance and life, a higher seq, no results", now, old)
		}
		if got := h.held(profile.Leader, "u1"); len(got) != 0 {
			t.Errorf("slots %v are still held by the old instance", got)
		}
	})
}

func TestACloneIsRefusedAndWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		w.host("u1").join()
		before := w.Document().Version
		clone := w.host("u1")
		j := clone.joining()
		j.Hardware = "other hardware"
		if _, err := clone.Join(t.Context(), j); !errors.Is(err, profile.ErrTwin) {
			t.Errorf("error %v, want %v", err, profile.ErrTwin)
		}
		if got := w.Document().Version; got != before {
			t.Errorf("the clone has written: version %s, was %s", got, before)
		}
		j.NewLife = true
		if _, err := clone.Join(t.Context(), j); err != nil || w.record("u1").Hardware != "other hardware" {
			t.Errorf("taking over with a new life: %v", err)
		}
	})
}

func TestATwinWithTheSameStateIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		a := w.host("u1")
		a.join()
		b := w.host("u1")
		b.boot(a.State())
		if _, err := a.Write(t.Context(), a.name("by a")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := b.Write(t.Context(), b.name("by b")); !errors.Is(err, profile.ErrTwin) {
				t.Errorf("error %v, want %v", err, profile.ErrTwin)
			}
		}
		if _, err := a.Write(t.Context(), a.name("again by a")); err != nil || w.record("u1").Name != "again by a" {
			t.Errorf("the first one: error %v, name %q", err, w.record("u1").Name)
		}

		b.boot(b.State())
		if _, err := b.Join(t.Context(), b.joining()); !errors.Is(err, profile.ErrTwin) {
			t.Errorf("restart of the twin: error %v, want %v", err, profile.ErrTwin)
		}
		j := b.joining()
		j.NewLife = true
		if _, err := b.Join(t.Context(), j); err != nil || w.record("u1").Instance == a.State().Instance {
			t.Errorf("taking over with a new life: error %v, want another instance", err)
		}
		if _, err := a.Write(t.Context(), a.name("late")); !errors.Is(err, profile.ErrTwin) {
			t.Errorf("whose record was taken over: error %v, want %v", err, profile.ErrTwin)
		}
	})
}

func TestAForeignInstanceIsNotOverwrittenUnlessByANewLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		a := w.host("u1")
		a.join()
		b := w.host("u1") // the same hardware, booted afresh: takes over
		b.join()
		a.boot(a.State())
		if _, err := a.Join(t.Context(), a.joining()); !errors.Is(err, profile.ErrTwin) {
			t.Errorf("error %v, want %v", err, profile.ErrTwin)
		}
		a.faulty(memory.Fault{LoseReply: true})
		j := a.joining()
		j.NewLife = true
		if _, err := a.Join(t.Context(), j); err != nil || a.calls["Apply"] != 1 {
			t.Errorf("new life: error %v after %d patches, want the lost reply settled by reading", err, a.calls["Apply"])
		}
		if got, want := w.record("u1").Instance, a.State().Instance; got != want {
			t.Errorf("instance %q, want %q", got, want)
		}
	})
}

func TestAForgottenMemberStops(t *testing.T) {
	for name, forget := range map[string]func(w *world){
		"record emptied": func(w *world) {
			empty := profile.EmptyRecord([]string{profile.Leader})
			empty.Seq = w.record("u1").Seq + 1
			w.put(profile.At(profile.ParamMembers, "u1"), empty)
		},
		"record removed": func(w *world) { w.edit(map[string]any{profile.ParamMembers: map[string]any{}}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := seeded(t, two()).host("u1")
				h.join()
				forget(h.world)
				for range 2 {
					if _, err := h.Write(t.Context(), h.name("new")); !errors.Is(err, profile.ErrForgotten) {
						t.Errorf("Write: error %v, want %v", err, profile.ErrForgotten)
					}
				}
				h.boot(h.State())
				if _, err := h.Join(t.Context(), h.joining()); !errors.Is(err, profile.ErrForgotten) {
					t.Errorf("Join: error %v, want %v", err, profile.ErrForgotten)
				}
				j := h.joining()
				j.NewLife = true
				if _, err := h.Join(t.Context(), j); err != nil || !h.record("u1").Joined() {
					t.Errorf("Join with a new life: %v", err)
				}
			})
		})
	}
}

func TestARestoredDocumentIsGoneOnWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		backup := h.Document().Params
		d, err := h.Write(t.Context(), h.claim(profile.Leader, "1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := h.Tenure(d, profile.Leader); !ok {
			t.Fatal("no tenure")
		}
		h.Replace(backup)
		seq := h.State().Seq
		if d, err = h.Write(t.Context(), h.name("after")); err != nil {
			t.Fatal(err)
		}
		if got := h.record("u1").Seq; got <= seq {
			t.Errorf("seq %d, want it above %d, which was used before the backup was restored", got, seq)
		}
		if tenure, ok := h.Tenure(d, profile.Leader); ok {
			t.Errorf("tenure %+v is kept, though the restored document does not confirm it", tenure)
		}
	})
}

func TestADocumentRestoredFromBeforeTheJoinIsJoinedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		backup := w.Document().Params
		h := w.host("u1")
		h.join()
		w.Replace(backup)
		if _, err := h.Write(t.Context(), h.name("new")); !errors.Is(err, profile.ErrForgotten) {
			t.Errorf("Write: error %v, want %v", err, profile.ErrForgotten)
		}
		instance := h.State().Instance
		h.boot(h.State())
		h.join()
		if got := w.record("u1"); got.Instance != instance || got.Seq < 2 {
			t.Errorf("record %+v, want instance %s with a seq above the one used before", got, instance)
		}
	})
}

func TestARoleThatIsAddedLaterGetsItsBarAtTheNextJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.put(profile.At(profile.ParamRoles, "db"), profile.RoleOptions{Slots: 1})
		h.put(profile.At(profile.ParamSlots, "db"), map[string]profile.Slot{"1": {History: []profile.Transition{}}})
		h.boot(h.State())
		h.join()
		if _, err := h.Write(t.Context(), h.claim("db", "1")); err != nil {
			t.Errorf("claim: %v", err)
		}
	})
}

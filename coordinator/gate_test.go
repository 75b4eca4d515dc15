package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"muster/coordinator"
	"muster/profile"
)

// passing waits at gates on a view that follows the profile.
func (w *world) passing(gates ...string) (ended <-chan error, said *[]string, stop context.CancelCauseFunc) {
	w.t.Helper()
	var list []coordinator.Gate
	for _, text := range gates {
		g, err := coordinator.ParseGate(text)
		if err != nil {
			w.t.Fatal(err)
		}
		list = append(list, g)
	}
	ctx, cancel := context.WithCancelCause(w.t.Context())
	view := profile.NewView(w.Document())
	way := coordinator.Passage{Gates: list}
	release := view.Want(way.Params()...)
	store := w.Store(nil)
	go profile.Watch{Store: store, View: view}.Run(ctx)
	c, said := make(chan error, 1), &[]string{}
	go func() {
		_, err := coordinator.Pass(ctx, view, "u00", way, func(text string) { *said = append(*said, text) })
		release()
		cancel(nil)
		c <- err
	}()
	synctest.Wait()
	return c, said, cancel
}

func still(t *testing.T, ended <-chan error) {
	t.Helper()
	pass(10 * time.Minute)
	select {
	case err := <-ended:
		t.Fatalf("the wait ends with %v", err)
	default:
	}
}

func opened(t *testing.T, ended <-chan error) {
	t.Helper()
	pass(10 * time.Second)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the wait ends with %v", err)
		}
	default:
		t.Error("the gate is shut")
	}
}

func TestAGateOfLeadersOpensWhenAllSlotsOrSoManyAreHeld(t *testing.T) {
	for gate, holders := range map[string]int{"leader:leader": 3, "leader:leader=2": 2} {
		t.Run(gate, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(3), Leaders: 3})
				w.all(3)
				ended, said, _ := w.passing(gate)
				for i := range holders {
					still(t, ended)
					at := profile.At(profile.ParamSlots, profile.Leader, string(rune('1'+i)))
					w.put(at+"/holder", members(3)[i], at+"/instance", w.record(members(3)[i]).Instance)
				}
				opened(t, ended)
				if want := "role leader has 0 of " + string(rune('0'+holders)) + " leaders"; len(*said) != holders || (*said)[0] != want {
					t.Errorf("said %q, want %q first, and one line a change", *said, want)
				}
			})
		})
	}
}

// Its holder may be dead: that the slot is held says nothing.
func TestALeaseOpensAGateOnlyOnceItIsSeenToBeRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		at := profile.At(profile.ParamSlots, profile.Leader, "1")
		w.put(at+"/holder", "u00", at+"/instance", "of a dead process", at+"/ttl", "30s", at+"/renewal", "last")
		ended, _, _ := w.passing("leader:leader")
		still(t, ended)
		w.put(at+"/renewal", "next")
		opened(t, ended)
	})
}

func TestAParamOpensAGateByItsOwnValueAlone(t *testing.T) {
	for gate, row := range map[string]struct{ shut, open []string }{
		"param:k":         {[]string{"null"}, []string{"0", `""`, "false", "[]"}},
		"param:k=yes":     {[]string{`"no"`, "true"}, []string{`"yes"`}},
		"param:k=3":       {[]string{`"3"`, "4", "null"}, []string{"3"}},
		`param:k={"a":1}`: {[]string{`{"a":2}`, `{"a":1,"b":1}`}, []string{`{ "a" : 1 }`}},
		// One that floats would take for the other.
		"param:k=9007199254740993": {[]string{"9007199254740992"}, []string{"9007199254740993"}},
	} {
		for _, value := range row.open {
			t.Run(gate+" "+value, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
					ended, _, _ := w.passing(gate)
					still(t, ended)
					for _, other := range row.shut {
						w.put(profile.At("k"), json.RawMessage(other))
						still(t, ended)
					}
					w.put(profile.At("k"), json.RawMessage(value))
					opened(t, ended)
				})
			})
		}
	}
}

func TestACountedParamOpensAGateWithItsEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		view := profile.NewView(w.Document())
		way := coordinator.Passage{Gates: []coordinator.Gate{{Kind: coordinator.GateParam, Name: "k", Count: 2}}}
		ended := make(chan error, 1)
		go func() {
			_, err := coordinator.Pass(t.Context(), view, "u00", way, nil)
			ended <- err
		}()
		for _, shut := range []any{"ab", 7, []int{1}, map[string]int{"a": 1}} {
			w.put(profile.At("k"), shut)
			see(view, w.Document())
			still(t, ended)
		}
		w.put(profile.At("k"), map[string]int{"a": 1, "b": 2})
		see(view, w.Document())
		opened(t, ended)
	})
}

func TestGatesOpenTogetherInOneState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		ended, _, _ := w.passing("param:a=1", "param:b=1")
		w.put(profile.At("a"), 1)
		still(t, ended)
		w.put(profile.At("a"), 2, profile.At("b"), 1)
		still(t, ended)
		w.put(profile.At("a"), 1)
		opened(t, ended)
	})
}

func TestAGateFailsClosed(t *testing.T) {
	for name, row := range map[string]struct {
		gate string
		put  []any
		want error
	}{
		"escape":                     {"param:k", []any{profile.At(profile.ParamEscape), 1, profile.At("k"), 1}, coordinator.ErrBrokenOut},
		"another profile":            {"param:k", []any{profile.At(profile.ParamProfile), "other", profile.At("k"), 1}, profile.ErrMalformed},
		"slots edited by hand":       {"leader:leader", []any{profile.At(profile.ParamSlots), "x"}, profile.ErrMalformed},
		"a slot count edited":        {"leader:leader", []any{profile.At(profile.ParamLeaderCount), "x"}, profile.ErrMalformed},
		"a role without slots":       {"leader:leader", []any{profile.At(profile.ParamLeaderCount), 0}, coordinator.ErrUsage},
		"a role that is not there":   {"leader:nobody", nil, coordinator.ErrUsage},
		"more leaders than slots":    {"leader:leader=2", nil, coordinator.ErrUsage},
		"a malformed TTL of a slot":  {"leader:leader", []any{profile.At(profile.ParamSlots, "leader", "1", "holder"), "u00", profile.At(profile.ParamSlots, "leader", "1", "ttl"), "soon"}, errStopped},
		"nothing happens for a week": {"leader:leader", nil, errStopped},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				if row.put != nil {
					w.put(row.put...)
				}
				ended, _, stop := w.passing(row.gate)
				pass(7 * 24 * time.Hour)
				stop(errStopped)
				if err := <-ended; !errors.Is(err, row.want) {
					t.Errorf("error %v, want %v", err, row.want)
				}
			})
		})
	}
}

func TestARoleIsWaitedForUntilItIsClearWhoHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		w.all(2)
		type end struct {
			uuid, role string
			passed     coordinator.Passed
			err        error
		}
		ends := make(chan end, 4)
		view := profile.NewView(w.Document())
		for _, role := range []string{profile.Leader, profile.Worker} {
			for _, uuid := range members(2) {
				go func() {
					passed, err := coordinator.Pass(t.Context(), view, uuid, coordinator.Passage{Role: role}, nil)
					ends <- end{uuid, role, passed, err}
				}()
			}
		}
		pass(time.Hour)
		if len(ends) > 0 {
			t.Fatalf("clear, though a slot is free: %+v", <-ends)
		}
		w.occupy(profile.Leader, "u01")
		see(view, w.Document())
		for range 4 {
			e := <-ends
			if want := (e.role == profile.Leader) == (e.uuid == "u01"); e.err != nil || e.passed.Has != want || e.passed.Round.ID != w.nth(1).ID {
				t.Errorf("%+v, want that it has the role: %v", e, want)
			}
		}
	})
}

func TestGatesThatMakeNoSenseAreRefused(t *testing.T) {
	for _, text := range []string{"", "complete=x", "leader", "leader:", "leader:r=0", "leader:r=x", "param", "param:", "other:x", "Complete"} {
		if g, err := coordinator.ParseGate(text); !errors.Is(err, coordinator.ErrUsage) {
			t.Errorf("%q: %+v, error %v, want %v", text, g, err, coordinator.ErrUsage)
		}
	}
	for text, want := range map[string]string{"complete": "complete", "complete:meet": "meet", "leader:db": "db", "leader:db=2": "db", "param:a/b=c=d": "a/b"} {
		if g, err := coordinator.ParseGate(text); err != nil || g.Name != want {
			t.Errorf("%q: %+v, error %v", text, g, err)
		}
	}
}

// Where leases are renewed members rest up to 30 s between looks, but not while
// somebody on the host waits.
func TestNobodyRestsWhileSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		view := profile.NewView(w.Document())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		way := w.Store(nil)
		watch := profile.Watch{Store: way, View: view, Pace: func() time.Duration { return time.Hour }}
		go watch.Run(ctx)
		synctest.Wait()
		release := view.Want("k")
		w.put(profile.At("k"), 1)
		pass(2 * time.Second)
		d, _ := view.Latest()
		if raw := d.Params["k"]; string(raw) != "1" {
			t.Errorf("the view has %q two seconds after the change", raw)
		}
		release()
		if names, waiters := view.Wanted(); len(names) != 0 || waiters > 0 {
			t.Errorf("wanted %v by %d after nobody waits any more", slices.Clone(names), waiters)
		}
	})
}

func TestNobodyIsToRunAStepForARoleThatNobodyHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		w.all(1)
		w.occupy(profile.Leader, "u01")
		passed, err := coordinator.Pass(t.Context(), profile.NewView(w.Document()), "u01", coordinator.Passage{Role: profile.Worker}, nil)
		if passed.Has || err != nil {
			t.Errorf("got %+v and %v, want that it is no worker", passed, err)
		}
	})
}

func TestAPassageOfARoundOpensInThatRoundAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		w.all(1)
		view := profile.NewView(w.Document())
		ends := make(chan coordinator.Passed, 1)
		go func() {
			passed, err := coordinator.Pass(t.Context(), view, "u01", coordinator.Passage{Round: 2}, nil)
			if err != nil {
				t.Error(err)
			}
			ends <- passed
		}()
		pass(time.Hour)
		if len(ends) > 0 {
			t.Fatalf("open in round 1: %+v", <-ends)
		}
		w.open(1, true)
		see(view, w.Document())
		if passed := <-ends; passed.Round.N != 2 {
			t.Errorf("open in round %d, want 2", passed.Round.N)
		}
		if passed, err := coordinator.Pass(t.Context(), view, "u01", coordinator.Passage{Round: 1}, nil); !errors.Is(err, coordinator.ErrSuperseded) {
			t.Errorf("round 1 in round 2: %+v and %v, want %v", passed, err, coordinator.ErrSuperseded)
		}
	})
}

package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"muster/profile"
	"muster/profile/memory"
)

// operator returns an operator whose n-th Apply suffers the n-th fault.
func (w *world) operator(faults ...memory.Fault) (*profile.Operator, *memory.Store) {
	n := 0
	s := w.Store(func(c memory.Call) memory.Fault {
		if c.Method != "Apply" {
			return memory.Fault{}
		}
		if n++; n <= len(faults) {
			return faults[n-1]
		}
		return memory.Fault{}
	})
	return profile.NewOperator(s), s
}

// ops returns the operators' sequence.
func (w *world) ops() profile.Ops {
	w.t.Helper()
	o, err := w.Document().Ops()
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// toggle is a plan whose repetition would show: it turns paused over.
func toggle(d *profile.Document) (*profile.Change, error) {
	paused, err := d.Paused()
	c := &profile.Change{}
	c.Set(profile.At(profile.ParamPaused), !paused)
	return c, err
}

func TestAnOperatorsWriteIsDoneOnceWhateverIsLost(t *testing.T) {
	for name, fault := range map[string]memory.Fault{
		"nothing lost": {},
		"reply lost":   {LoseReply: true},
		"request lost": {LoseRequest: true},
		"late":         {Delay: memory.Timeout + 5*time.Second},
		"unavailable":  {Refuse: profile.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, two())
				o, s := w.operator(fault)
				d, err := o.Write(t.Context(), toggle)
				if err != nil {
					t.Fatal(err)
				}
				s.Settle()
				for what, d := range map[string]*profile.Document{"answer": d, "profile": w.Document()} {
					if paused, err := d.Paused(); !paused || err != nil {
						t.Errorf("%s: paused %v, %v, want it turned over once", what, paused, err)
					}
				}
				if got := w.ops(); got.N != 1 || got.Write == "" {
					t.Errorf("ops %+v, want one signed write", got)
				}
			})
		})
	}
}

func TestOperatorsAtOnceAllGetTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 9
		w := seeded(t, two())
		errs := make(chan error, n)
		for range n {
			o, _ := w.operator(memory.Fault{Delay: 30 * time.Millisecond})
			go func() { _, err := o.Write(t.Context(), toggle); errs <- err }()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if paused, _ := w.Document().Paused(); !paused || w.ops().N != n {
			t.Errorf("paused %v after %d writes, want true after %d", paused, w.ops().N, n)
		}
	})
}

func TestAnOperatorIsToldWhenAnAttemptMayStillLand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		start, sent := time.Now(), false
		s := w.Store(func(c memory.Call) memory.Fault {
			if c.Method == "Apply" && !sent {
				sent = true
				return memory.Fault{Delay: time.Hour}
			}
			if time.Since(start) > memory.Timeout {
				return memory.Fault{Refuse: profile.ErrUnavailable}
			}
			return memory.Fault{}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := profile.NewOperator(s).Write(ctx, toggle); !errors.Is(err, profile.ErrUnknownOutcome) {
			t.Errorf("error %v, want %v", err, profile.ErrUnknownOutcome)
		}
		s.Settle()
	})
}

func TestAnOperatorGivesUpOnAGuardThatNeverHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := seeded(t, two()).operator()
		_, err := o.Write(t.Context(), func(*profile.Document) (*profile.Change, error) {
			c := &profile.Change{}
			c.Test(profile.At(profile.ParamPaused), json.RawMessage(`true`))
			return c, nil
		})
		if !errors.Is(err, profile.ErrConflict) {
			t.Errorf("error %v, want %v", err, profile.ErrConflict)
		}
	})
}

func TestSeedingPlantsWhatLacksAndOverwritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := profile.Params{
			"cluster/leader-count": json.RawMessage(`3`),
			"cluster/leaders":      json.RawMessage(`[{"Name":"kept"}]`),
			"muster/paused":        json.RawMessage(`true`),
			"site/own":             json.RawMessage(`{"b":1.0,"a":"<"}`),
		}
		w := &world{memory.New(cluster, before), t}
		o, _ := w.operator(memory.Fault{LoseReply: true})
		seed := two()
		seed.Profile, seed.Filter, seed.Roles = cluster, "Profiles Eq $CLUSTER_PROFILE", map[string]int{"db/primary": 2}
		d, err := o.Write(t.Context(), seed.Plan)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Check(); err != nil {
			t.Error(err)
		}
		for name, raw := range before {
			if got := d.Params[name]; string(got) != string(raw) {
				t.Errorf("%s is %s, want it left alone: %s", name, got, raw)
			}
		}
		slots, err := d.Slots()
		if err != nil || len(slots[profile.Leader]) != 3 || len(slots["db/primary"]) != 2 {
			t.Errorf("slots %v, %v, want 3 of leader, as counted before, and 2 of db/primary", slots, err)
		}
		want := profile.EmptyRecord([]string{"db/primary", profile.Leader})
		if diff := cmp.Diff(want, w.record("u1"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("planted record (-want +got):\n%s", diff)
		}

		version := w.Document().Version
		seed.Filter, seed.Leaders, seed.Members = "Name Eq other", 1, []string{"u9"}
		if _, err := o.Write(t.Context(), seed.Plan); err != nil || w.Document().Version != version {
			t.Errorf("seeding again: error %v, version %s, want %s", err, w.Document().Version, version)
		}
	})
}

func TestTwoSeedsAtOncePlantOneSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{memory.New(cluster, nil), t}
		errs := make(chan error, 2)
		for i := range 2 {
			o, _ := w.operator(memory.Fault{Delay: 30 * time.Millisecond})
			seed := profile.Seed{Profile: cluster, Members: []string{"u" + number(i)}, Leaders: 1}
			go func() { _, err := o.Write(t.Context(), seed.Plan); errs <- err }()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Fatal(err)
		}
		d := w.Document()
		expected, err := d.Expected()
		members, merr := d.Members()
		if err != nil || merr != nil || len(members) != 1 || expected.Count != 1 {
			t.Fatalf("expected %+v, members %v, %v, %v, want those of one seed", expected, members, err, merr)
		}
		if _, ok := members[expected.Members[0]]; !ok {
			t.Errorf("members %v and expected %v are of different seeds", members, expected.Members)
		}
	})
}

func TestSeedsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, seed := range map[string]profile.Seed{
		"no member":            {Profile: cluster},
		"a member twice":       {Profile: cluster, Members: []string{"u1", "u2", "u1"}},
		"a member without id":  {Profile: cluster, Members: []string{"u1", ""}},
		"negative leaders":     {Profile: cluster, Members: []string{"u1"}, Leaders: -1},
		"negative slots":       {Profile: cluster, Members: []string{"u1"}, Roles: map[string]int{"db": -1}},
		"leader among roles":   {Profile: cluster, Members: []string{"u1"}, Roles: map[string]int{profile.Leader: 1}},
		"another profile name": {Profile: "other", Members: []string{"u1"}},
	} {
		d := &profile.Document{Name: cluster, Params: profile.Params{}}
		if c, err := seed.Plan(d); !errors.Is(err, profile.ErrInvalid) || c != nil {
			t.Errorf("%s: change %v, error %v, want %v", name, c, err, profile.ErrInvalid)
		}
	}
}

func TestAProfileThatBelongsToAnotherIsNotSeeded(t *testing.T) {
	seed := two()
	seed.Profile = cluster
	d := &profile.Document{Name: cluster, Params: profile.Params{profile.ParamProfile: json.RawMessage(`"other"`)}}
	if c, err := seed.Plan(d); !errors.Is(err, profile.ErrMalformed) || c != nil {
		t.Errorf("change %v, error %v, want %v", c, err, profile.ErrMalformed)
	}
}

func TestFactSheetsTogetherStayWithinTheirBudget(t *testing.T) {
	for n, want := range map[int]int{1: 2048, 128: 2048, 129: 2032, 1000: 262, 2048: 128, 2049: 0} {
		seed := profile.Seed{Profile: cluster}
		for i := range n {
			seed.Members = append(seed.Members, number(i))
		}
		params, err := seed.Params()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(params[profile.ParamFactsBudget]); got != number(want) {
			t.Errorf("budget of %d members is %s, want %d", n, got, want)
		}
	}
}

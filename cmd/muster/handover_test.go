package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

// await runs a handover over a new profile until a slot named in the profile is
// held by "two", and returns what was said and its error.
func await(t *testing.T, faults func(memory.Call) memory.Fault, change func(*memory.Profile)) (said string, err error) {
	t.Helper()
	params, err := profile.Seed{Profile: "alpha", Members: []string{"one"}, Leaders: 1}.Params()
	if err != nil {
		t.Fatal(err)
	}
	p := memory.New("alpha", params)
	go change(p)
	var stderr bytes.Buffer
	a := &app{stderr: &stderr}
	err = a.handover(t.Context(), p.Store(faults),
		func(all allSlots) (bool, error) { return all[profile.Leader]["1"].Holder == "two", nil },
		func(all allSlots) string { return "held by " + all[profile.Leader]["1"].Holder + " still" })
	return stderr.String(), err
}

func hold(p *memory.Profile, after time.Duration, holder string) {
	time.Sleep(after)
	c := &profile.Change{}
	c.Set(profile.At(profile.ParamSlots, profile.Leader, "1", "holder"), holder)
	p.Store(nil).Apply(context.Background(), c) // a store without faults, whose tests are none
}

func TestAHandoverWaitsUntilTheSlotHasChangedHands(t *testing.T) {
	for name, faults := range map[string]func(memory.Call) memory.Fault{
		"nothing lost": nil,
		"endpoint away for a while": func(c memory.Call) memory.Fault {
			if c.N < 8 {
				return memory.Fault{Refuse: profile.ErrUnavailable}
			}
			return memory.Fault{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				said, err := await(t, faults, func(p *memory.Profile) { hold(p, 20*time.Second, "two") })
				if took := time.Since(start); err != nil || took < 20*time.Second || took > 21*time.Second {
					t.Errorf("error %v after %s, want none after 20s", err, took)
				}
				if strings.Count(said, "waiting up to 30s") != 1 {
					t.Errorf("said %q, want once that it waits", said)
				}
			})
		})
	}
}

func TestAHandoverThatDoesNotHappenSaysWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := await(t, nil, func(p *memory.Profile) { hold(p, 10*time.Second, "one") })
		if !errors.Is(err, coordinator.ErrTimeout) || exitCode(err) != exitTimedOut || !strings.Contains(err.Error(), "held by one still; the request stays in the profile") {
			t.Errorf("error %v, want %v with the last that was seen", err, coordinator.ErrTimeout)
		}
	})
}

func TestAHandoverEndsAtOnceWhenTheTokenIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := func(memory.Call) memory.Fault { return memory.Fault{Refuse: profile.ErrRefused} }
		start := time.Now()
		_, err := await(t, refused, func(*memory.Profile) {})
		if !errors.Is(err, profile.ErrRefused) || time.Since(start) > time.Second {
			t.Errorf("error %v after %s, want %v at once", err, time.Since(start), profile.ErrRefused)
		}
	})
}

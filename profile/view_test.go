package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
)

// state is a document that is known by its version and one param.
func state(version, hot string) *profile.Document {
	return &profile.Document{Version: version, Params: profile.Params{"hot": json.RawMessage(hot), "cold": json.RawMessage(hot)}}
}

func hot(v string) profile.Params { return profile.Params{"hot": json.RawMessage(v)} }

func TestPutSaysWhetherTheOrderIsKnown(t *testing.T) {
	v := profile.NewView(state("1", "1"))
	_, before := v.Latest()
	if !v.Put(state("2", "2"), before) {
		t.Error("nothing was put meanwhile, but the order is said to be unknown")
	}
	if v.Put(state("3", "3"), before) {
		t.Error("another state was put meanwhile, but the order is said to be known")
	}
	if d, n := v.Latest(); string(d.Params["cold"]) != "3" || n <= before {
		t.Errorf("latest %s number %d, want 3 and a number above %d", d.Params["cold"], n, before)
	}
}

func TestAReadThatBeganBeforeAWriteDoesNotOvertakeItsAnswer(t *testing.T) {
	v := profile.NewView(state("1", "1"))
	_, reading := v.Latest()
	v.Put(state("2", "2"), reading)
	if v.PutParams(hot("1"), []string{"hot"}, reading) {
		t.Error("the older read was put")
	}
	d, writing := v.Latest()
	if got := string(d.Params["hot"]); got != "2" {
		t.Errorf("hot is %s, want 2", got)
	}
	if !v.PutParams(hot("3"), []string{"hot", "gone"}, writing) {
		t.Error("the newer read was refused")
	}
	d, _ = v.Latest()
	if string(d.Params["hot"]) != "3" || string(d.Params["cold"]) != "2" {
		t.Errorf("params %s, want the hot one alone replaced", d.Params)
	}
	if v.Put(state("4", "4"), writing) {
		t.Error("an answer that crossed a read is said to be in order")
	}
}

func TestWaitReturnsForEveryNewState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := profile.NewView(state("1", "1"))
		_, n := v.Latest()
		time.AfterFunc(time.Second, func() { v.Put(state("2", "2"), n) })
		d, after, err := v.Wait(t.Context(), n)
		if err != nil || d.Version != "2" || after <= n {
			t.Errorf("Wait = %s, %d, %v, want 2", d.Version, after, err)
		}
		if d, _, err = v.Wait(t.Context(), n); err != nil || d.Version != "2" {
			t.Errorf("Wait for what is there = %s, %v, want 2 at once", d.Version, err)
		}
		stop := errors.New("stopped by the test")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, stop)
		defer cancel()
		if _, _, err := v.Wait(ctx, after); !errors.Is(err, stop) {
			t.Errorf("error %v, want the cause %v", err, stop)
		}
	})
}

func TestTheAnswerToAWriteThatCrossedAReadIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		_, n := h.view.Latest()
		if _, err := h.Write(t.Context(), func(*profile.Document) (*profile.Change, error) {
			h.view.PutParams(profile.Params{}, nil, n) // the watch reads while the write is decided
			return &profile.Change{}, nil
		}); err != nil {
			t.Fatal(err)
		}
		if got := h.calls["ReadParams"]; got != 0 {
			t.Errorf("%d reads, want none: the write began after the watch had read", got)
		}
		h.put(profile.At(profile.ParamPaused), true)
		h.store = crossing{h.store, func() { h.view.PutParams(profile.Params{}, nil, n+100) }}
		h.start(h.State())
		h.put(profile.At(profile.ParamPaused), false)
		if _, err := h.Write(t.Context(), h.name("new")); err != nil {
			t.Fatal(err)
		}
		if got := h.calls["ReadParams"]; got != 1 {
			t.Errorf("%d reads of the hot params, want one", got)
		}
		if d, _ := h.view.Latest(); string(d.Params[profile.ParamPaused]) != "false" {
			t.Errorf("paused is %s in the view, want the newest state", d.Params[profile.ParamPaused])
		}
	})
}

// crossing is a store that does something while an Apply is under way.
type crossing struct {
	profile.Store
	meanwhile func()
}

func (c crossing) Apply(ctx context.Context, change *profile.Change) (*profile.Document, error) {
	c.meanwhile()
	return c.Store.Apply(ctx, change)
}

package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
)

// late is a store whose reads of params take a while to answer.
type late struct {
	profile.Store
	by time.Duration
}

func (l late) ReadParams(ctx context.Context, names ...string) (profile.Params, error) {
	params, err := l.Store.ReadParams(ctx, names...)
	time.Sleep(l.by)
	return params, err
}

func TestAReadDoesNotOvertakeANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		view := profile.NewView(w.Document())
		old := make(chan error)
		go func() { old <- view.Refresh(t.Context(), late{w.Store(nil), time.Minute}, profile.HotParams()...) }()
		time.Sleep(time.Second)
		w.put(profile.At(profile.ParamPaused), true)
		if err := view.Refresh(t.Context(), w.Store(nil), profile.HotParams()...); err != nil {
			t.Fatal(err)
		}
		if err := <-old; err != nil {
			t.Fatal(err)
		}
		if d, _ := view.Latest(); string(d.Params[profile.ParamPaused]) != "true" {
			t.Errorf("paused is %s in the view, want the newest state", d.Params[profile.ParamPaused])
		}
	})
}

func TestTheAnswerToAWriteDoesNotTakeTheViewBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		view := profile.NewView(w.Document())
		_, began := view.Latest()
		answer := w.Document() // of a write that is slow to come back
		w.put(profile.At(profile.ParamPaused), true)
		if err := view.Refresh(t.Context(), w.Store(nil), profile.HotParams()...); err != nil {
			t.Fatal(err)
		}
		if view.Put(answer, began) {
			t.Error("the answer is said to be in order, though something was put meanwhile")
		}
		if d, _ := view.Latest(); string(d.Params[profile.ParamPaused]) != "true" {
			t.Errorf("paused is %s in the view, want it not to go back", d.Params[profile.ParamPaused])
		}
		if d, _ := view.Latest(); d.Version != "" || view.Whole() {
			t.Errorf("version %q, whole %v: a state put together of two is taken for one of the endpoint's", d.Version, view.Whole())
		}
		_, now := view.Latest()
		if !view.Put(w.Document(), now) || !view.Whole() {
			t.Error("the next answer in order is not taken for a whole one")
		}
	})
}

// blank is a store that answers reads of params with nothing in them.
type blank struct{ profile.Store }

func (blank) ReadParams(context.Context, ...string) (profile.Params, error) {
	return profile.Params{}, nil
}

func TestAnEmptyAnswerIsNotTakenForAnEmptyProfile(t *testing.T) {
	w := seeded(t, two())
	view := profile.NewView(w.Document())
	if err := view.Refresh(t.Context(), blank{w.Store(nil)}, profile.HotParams()...); !errors.Is(err, profile.ErrMalformed) {
		t.Errorf("error %v, want %v", err, profile.ErrMalformed)
	}
	if d, _ := view.Latest(); d.Check() != nil {
		t.Errorf("the view took it: %v", d.Check())
	}
}

func TestACopyOfTheStateDirectoryIsRefusedOnOtherHardware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		u1 := w.host("u1")
		u1.join()
		copied := w.host("u1")
		copied.boot(u1.journal.state(t))
		j := copied.joining()
		j.Hardware = "other hardware"
		if _, err := copied.Join(t.Context(), j); !errors.Is(err, profile.ErrTwin) {
			t.Errorf("error %v, want %v", err, profile.ErrTwin)
		}
		j.NewLife = true
		if _, err := copied.Join(t.Context(), j); err != nil {
			t.Errorf("with a new life: %v", err)
		}
		if got := w.record("u1"); got.Hardware != "other hardware" || got.Instance == u1.State().Instance {
			t.Errorf("record %+v, want a new instance on the other hardware", got)
		}
	})
}

func TestASeedDoesNotPlantLiveParamsOneByOne(t *testing.T) {
	for _, gone := range []string{profile.ParamRound, profile.ParamExpected, profile.ParamSlots, profile.ParamMembers, profile.ParamBarriers} {
		seed := two()
		w := seeded(t, seed)
		params := profile.Params{}
		for name, raw := range w.Document().Params {
			if name != gone {
				params[name] = raw
			}
		}
		w.Replace(params)
		seed.Profile = cluster
		c, err := seed.Plan(w.Document())
		if !errors.Is(err, profile.ErrMalformed) || !strings.Contains(err.Error(), gone) {
			t.Errorf("without %s: change %v, error %v, want %v that names it", gone, c, err, profile.ErrMalformed)
		}
	}
	w := seeded(t, two())
	w.put(profile.At(profile.ParamPaused), json.RawMessage(`false`))
	seed := two()
	seed.Profile = cluster
	if c, err := seed.Plan(w.Document()); c != nil || err != nil {
		t.Errorf("with all of them: change %v, error %v, want none", c, err)
	}
}

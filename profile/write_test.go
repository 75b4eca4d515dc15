package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

func TestEveryWriteMovesSeqOnAndSignsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		for i := range 3 {
			before := h.record("u1")
			if _, err := h.Write(t.Context(), h.name(number(i))); err != nil {
				t.Fatal(err)
			}
			after := h.record("u1")
			if after.Seq != before.Seq+1 || after.Write == before.Write || after.Write != h.State().Write {
				t.Errorf("seq %d to %d, write %q to %q; want the next seq and a fresh id, %q", before.Seq, after.Seq, before.Write, after.Write, h.State().Write)
			}
		}
	})
}

func TestNothingIsWrittenWhenThePlanWantsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		before := h.Document().Version
		if _, err := h.Write(t.Context(), h.name("host u1")); err != nil || h.Document().Version != before {
			t.Errorf("error %v, version %s to %s, want no write", err, before, h.Document().Version)
		}
	})
}

func TestNothingIsBegunOnceTheContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		saved := len(h.saved)
		h.calls = map[string]int{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 20 { // a turn that is free must not win by chance
			if _, err := h.Write(ctx, h.name("other")); !errors.Is(err, profile.ErrUnavailable) || errors.Is(err, profile.ErrUnknownOutcome) {
				t.Fatalf("Write: error %v, want %v", err, profile.ErrUnavailable)
			}
			if err := h.view.Refresh(ctx, h.store, profile.HotParams()...); !errors.Is(err, profile.ErrUnavailable) {
				t.Fatalf("Refresh: error %v, want %v", err, profile.ErrUnavailable)
			}
		}
		if len(h.saved) != saved || len(h.calls) > 0 {
			t.Errorf("%d states are kept and calls made: %v, want none", len(h.saved)-saved, h.calls)
		}
	})
}

func TestALostReplyIsSettledByReadingBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.faulty(memory.Fault{LoseReply: true})
		d, err := h.Write(t.Context(), h.claim(profile.Leader, "1", "2"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"Apply": 1, "Read": 1}, h.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if tenure, ok := h.Tenure(d, profile.Leader); !ok || tenure.Slot != "1" {
			t.Errorf("tenure %+v, %v, want that of slot 1: the claim had landed", tenure, ok)
		}
		if s := h.State(); len(s.Pending) != 0 || s.Write != h.record("u1").Write {
			t.Errorf("state %+v, want the write known as landed", s)
		}
	})
}

func TestALostRequestIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.faulty(memory.Fault{LoseRequest: true})
		if _, err := h.Write(t.Context(), h.name("new")); err != nil {
			t.Fatal(err)
		}
		if got := h.record("u1"); got.Name != "new" || got.Seq != 3 || h.calls["Apply"] != 2 {
			t.Errorf("name %q, seq %d after %d patches, want new, 3 after 2: the first may have used 2", got.Name, got.Seq, h.calls["Apply"])
		}
	})
}

// lateClaim has a claim of slot 1 given up for lost, then slot 2 claimed, and
// then the first claim arrive. It returns the slots that the member holds.
func lateClaim(t *testing.T, wrap func(profile.Store) profile.Store) []string {
	h := seeded(t, two()).host("u1")
	h.join()
	h.store = wrap(h.store)
	h.start(h.State())
	h.faulty(memory.Fault{Delay: memory.Timeout + time.Minute})
	if _, err := h.Write(t.Context(), h.claim(profile.Leader, "1", "2")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"2"}, h.held(profile.Leader, "u1")); diff != "" {
		t.Fatalf("slots before the late claim arrives (-want +got):\n%s", diff)
	}
	h.settle()
	return h.held(profile.Leader, "u1")
}

func TestALateClaimNeverGivesASecondSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := lateClaim(t, func(s profile.Store) profile.Store { return s })
		if diff := cmp.Diff([]string{"2"}, got); diff != "" {
			t.Errorf("slots after the late claim arrived (-want +got):\n%s", diff)
		}
	})
}

// unguarded is a store that takes the tests of a member's own seq away.
type unguarded struct{ profile.Store }

func (u unguarded) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	ops, err := c.Ops()
	if err != nil {
		return nil, err
	}
	stripped := &profile.Change{}
	for _, op := range ops {
		switch own := strings.HasPrefix(string(op.Path), string(profile.At(profile.ParamMembers))) && strings.HasSuffix(string(op.Path), "/seq"); {
		case op.Op == "test" && own:
		case op.Op == "test":
			stripped.Test(op.Path, op.Value)
		case op.Op == "remove":
			stripped.Remove(op.Path)
		default:
			stripped.Set(op.Path, op.Value)
		}
	}
	return u.Store.Apply(ctx, stripped)
}

func TestWithoutTheTestOfSeqALateClaimGivesASecondSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := lateClaim(t, func(s profile.Store) profile.Store { return unguarded{s} })
		if diff := cmp.Diff([]string{"1", "2"}, got); diff != "" {
			t.Errorf("nothing but the test of seq may keep the late claim out (-want +got):\n%s", diff)
		}
	})
}

func TestALateWriteThatLandsFirstIsRecognised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.calls = map[string]int{}
		h.faults = func(c memory.Call) memory.Fault {
			switch {
			case c.Method == "Apply" && c.N == 0: // arrives 2 s after it is given up
				return memory.Fault{Delay: memory.Timeout + 2*time.Second}
			case c.Method == "Apply" && c.N == 1: // arrives after it
				return memory.Fault{Delay: 5 * time.Second}
			}
			return memory.Fault{}
		}
		d, err := h.Write(t.Context(), h.claim(profile.Leader, "1", "2"))
		if err != nil {
			t.Fatal(err)
		}
		if tenure, ok := h.Tenure(d, profile.Leader); !ok || tenure.Slot != "1" {
			t.Errorf("tenure %+v, %v, want that of the late claim, of slot 1", tenure, ok)
		}
		h.settle()
		if diff := cmp.Diff([]string{"1"}, h.held(profile.Leader, "u1")); diff != "" {
			t.Errorf("slots (-want +got):\n%s", diff)
		}
	})
}

func TestConflictsAreDecidedAgainButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		plans := 0
		_, err := h.Write(t.Context(), func(*profile.Document) (*profile.Change, error) {
			plans++
			c := &profile.Change{}
			c.Test(profile.At(profile.ParamPaused), json.RawMessage(`true`))
			return c, nil
		})
		if !errors.Is(err, profile.ErrConflict) || errors.Is(err, profile.ErrUnknownOutcome) || plans < 10 || plans > 100 {
			t.Errorf("error %v after %d plans, want %v after some dozens", err, plans, profile.ErrConflict)
		}
	})
}

func TestAnErrorOfThePlanIsReturnedAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		want := errors.New("no")
		if _, err := h.Write(t.Context(), func(*profile.Document) (*profile.Change, error) { return nil, want }); err != want {
			t.Errorf("error %v, want %v", err, want)
		}
	})
}

func TestAnOutageIsOutlivedAndEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		start := time.Now()
		h.faults = func(memory.Call) memory.Fault {
			if time.Since(start) < time.Hour {
				return memory.Fault{Refuse: profile.ErrUnavailable}
			}
			return memory.Fault{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := h.Write(ctx, h.name("early")); !errors.Is(err, profile.ErrUnavailable) || errors.Is(err, profile.ErrUnknownOutcome) {
			t.Errorf("error %v, want only %v: nothing was sent", err, profile.ErrUnavailable)
		}
		if _, err := h.Write(t.Context(), h.name("late")); err != nil || h.record("u1").Name != "late" {
			t.Errorf("error %v, name %q, want the write done after the outage", err, h.record("u1").Name)
		}
	})
}

func TestAnAttemptThatMayStillLandIsNotForgottenInTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.calls = map[string]int{}
		h.faults = func(c memory.Call) memory.Fault {
			if c.Method == "Apply" && c.N == 0 {
				return memory.Fault{Delay: time.Hour}
			}
			if c.Method == "Apply" {
				return memory.Fault{Refuse: profile.ErrUnavailable}
			}
			return memory.Fault{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := h.Write(ctx, h.name("late")); !errors.Is(err, profile.ErrUnknownOutcome) {
			t.Errorf("error %v, want %v: the first attempt is on its way", err, profile.ErrUnknownOutcome)
		}
		h.settle()
		if got := h.record("u1").Name; got != "late" {
			t.Errorf("name %q, want the late write landed", got)
		}
		h.faults = nil
		if _, err := h.Write(t.Context(), h.name("next")); err != nil {
			t.Errorf("the write after it: %v", err)
		}
	})
}

func TestWaitingForTheTurnIsBoundedByTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.faults = func(memory.Call) memory.Fault { return memory.Fault{Refuse: profile.ErrUnavailable} }
		long, stop := context.WithCancel(t.Context())
		stuck := make(chan error)
		go func() { _, err := h.Write(long, h.name("stuck")); stuck <- err }()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Write(ctx, h.name("other")); !errors.Is(err, profile.ErrUnavailable) {
			t.Errorf("error %v, want %v", err, profile.ErrUnavailable)
		}
		h.State() // must not wait for the write either
		h.Tenure(h.Document(), profile.Leader)
		stop()
		<-stuck
	})
}

func TestARefusalEndsTheWriteAndALaterOneGoesOn(t *testing.T) {
	for _, refusal := range []error{profile.ErrRefused, profile.ErrNotFound, profile.ErrInvalid} {
		synctest.Test(t, func(t *testing.T) {
			h := seeded(t, two()).host("u1")
			h.join()
			h.faulty(memory.Fault{Refuse: refusal})
			if _, err := h.Write(t.Context(), h.name("new")); !errors.Is(err, refusal) {
				t.Errorf("error %v, want %v", err, refusal)
			}
			if len(h.State().Pending) != 0 {
				t.Errorf("pending %v, want none: the endpoint has answered", h.State().Pending)
			}
			if _, err := h.Write(t.Context(), h.name("new")); err != nil {
				t.Errorf("with the token mended: %v", err)
			}
		})
	}
}

func TestManyWhoJoinUnlistedAtOnceAllGetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 64
		w := seeded(t, two())
		errs := make(chan error, n)
		for i := range n {
			h := w.host("unlisted " + number(i))
			h.faults = func(memory.Call) memory.Fault { return memory.Fault{Delay: 20 * time.Millisecond} }
			go func() { _, err := h.Join(t.Context(), h.joining()); errs <- err }()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if got := string(w.Document().Params[profile.ParamJoins]); got != number(n) {
			t.Errorf("%s is %s, want %d", profile.ParamJoins, got, n)
		}
	})
}

func TestNamesOfAllKindsAreClaimedAndReleased(t *testing.T) {
	for _, role := range []string{"db/primary", "a~b", "~1", "v1.2", "two words", "größe ключ"} {
		synctest.Test(t, func(t *testing.T) {
			uuid := "machine " + role
			h := seeded(t, profile.Seed{Members: []string{uuid}, Roles: map[string]int{role: 1}}).host(uuid)
			h.join()
			d, err := h.Write(t.Context(), h.claim(role, "1"))
			if err != nil {
				t.Fatal(err)
			}
			tenure, ok := h.Tenure(d, role)
			if !ok || !slices.Equal(h.held(role, uuid), []string{"1"}) {
				t.Fatalf("%q: tenure %v, held %v, want slot 1", role, ok, h.held(role, uuid))
			}
			released := false
			d, err = h.Write(t.Context(), func(d *profile.Document) (*profile.Change, error) {
				if released {
					return nil, nil
				}
				released = true
				return profile.Release(d, tenure, uuid, profile.EventResigned)
			})
			if _, ok := h.Tenure(d, role); err != nil || ok || len(h.held(role, uuid)) != 0 {
				t.Errorf("%q: error %v, tenure %v, held %v, want it released", role, err, ok, h.held(role, uuid))
			}
		})
	}
}

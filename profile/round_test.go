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

// verdict records the verdict of a round.
func (w *world) verdict(round int, v string) {
	w.t.Helper()
	w.put(profile.At(profile.ParamBarriers, profile.BarrierComplete, number(round), "verdict"), v)
}

// barrier returns one round of the barrier complete, or nil.
func (w *world) barrier(round int) *profile.Barrier {
	w.t.Helper()
	b, ok, err := w.Document().Barrier(profile.BarrierComplete, round)
	if err != nil {
		w.t.Fatal(err)
	}
	if !ok {
		return nil
	}
	return &b
}

func TestARoundIsRefusedWhileAVerdictIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		o, _ := w.operator()
		before := w.Document().Version
		if _, err := o.Write(t.Context(), profile.RoundSpec{After: 1}.Plan); !errors.Is(err, profile.ErrOpenRound) {
			t.Errorf("error %v, want %v", err, profile.ErrOpenRound)
		}
		if got := w.Document().Version; got != before {
			t.Errorf("version %s, was %s: want no write", got, before)
		}
	})
}

func TestARoundOpensWithItsBarrierInOnePatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		w.verdict(1, profile.VerdictComplete)
		commits := 0
		w.OnCommit(func(_, after *profile.Document) {
			commits++
			round, _ := after.Round()
			if _, planted, _ := after.Barrier(profile.BarrierComplete, round.N); !planted {
				t.Errorf("round %d is open without its barrier", round.N)
			}
		})
		o, _ := w.operator(memory.Fault{LoseReply: true})
		spec := profile.RoundSpec{After: 1, Workflow: "next", Criteria: profile.Criteria{FailFast: true}}
		d, err := o.Write(t.Context(), spec.Plan)
		if err != nil {
			t.Fatal(err)
		}
		round, _ := d.Round()
		expected, _ := d.Expected()
		if first, _ := seeded(t, two()).Document().Round(); round.ID == "" || round.ID == first.ID {
			t.Errorf("round 2 has the id %q, want a fresh one", round.ID)
		}
		if round != (profile.Round{N: 2, ID: round.ID, Workflow: "next"}) || expected.Round != 2 || expected.Version != 2 || commits != 1 {
			t.Errorf("round %+v, expected %+v after %d commits", round, expected, commits)
		}
		want := &profile.Barrier{ID: round.ID, Criteria: profile.Criteria{Of: profile.OfComplete, FailFast: true, Deadline: "0s", AllowMissing: "0"}, Missing: []string{}, Failed: []string{}, At: w.barrier(2).At}
		if diff := cmp.Diff(want, w.barrier(2)); diff != "" {
			t.Errorf("barrier of round 2 (-want +got):\n%s", diff)
		}
		if b := w.barrier(1); b.Verdict != profile.VerdictComplete {
			t.Errorf("the verdict of round 1 is %q now", b.Verdict)
		}
	})
}

func TestForceSupersedesAnOpenVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		o, _ := w.operator()
		if _, err := o.Write(t.Context(), profile.RoundSpec{After: 1, Force: true}.Plan); err != nil {
			t.Fatal(err)
		}
		if b := w.barrier(1); b.Verdict != profile.VerdictSuperseded || b.By != "operator" {
			t.Errorf("barrier of round 1: %+v, want it superseded by the operator", b)
		}
	})
}

func TestForceDoesNotTouchAVerdictThatIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		s := w.Store(func(c memory.Call) memory.Fault {
			if c.Method == "Apply" {
				return memory.Fault{Delay: time.Second} // the verdict is recorded meanwhile
			}
			return memory.Fault{}
		})
		time.AfterFunc(500*time.Millisecond, func() { w.verdict(1, profile.VerdictFailed) })
		if _, err := profile.NewOperator(s).Write(t.Context(), profile.RoundSpec{After: 1, Force: true}.Plan); err != nil {
			t.Fatal(err)
		}
		if b := w.barrier(1); b.Verdict != profile.VerdictFailed {
			t.Errorf("the verdict of round 1 is %q, want %q kept", b.Verdict, profile.VerdictFailed)
		}
	})
}

func TestARoundIsOpenedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		errs := make(chan error, 2)
		for range 2 {
			o, _ := w.operator(memory.Fault{Delay: 30 * time.Millisecond})
			go func() { _, err := o.Write(t.Context(), profile.RoundSpec{After: 1, Force: true}.Plan); errs <- err }()
		}
		a, b := <-errs, <-errs
		if (a == nil) == (b == nil) || !errors.Is(errors.Join(a, b), profile.ErrLost) {
			t.Errorf("errors %v and %v, want one of them %v", a, b, profile.ErrLost)
		}
		if round, _ := w.Document().Round(); round.N != 2 {
			t.Errorf("round %d, want 2", round.N)
		}
	})
}

func TestEightRoundsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, two())
		o, _ := w.operator()
		for n := 1; n < 12; n++ {
			if _, err := o.Write(t.Context(), profile.RoundSpec{After: n, Force: true}.Plan); err != nil {
				t.Fatal(err)
			}
		}
		for n := 1; n <= 12; n++ {
			if kept, want := w.barrier(n) != nil, n > 4; kept != want {
				t.Errorf("round %d is kept: %v, want %v", n, kept, want)
			}
		}
	})
}

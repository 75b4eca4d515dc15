package agent_test

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/agent"
	"muster/profile"
)

func TestAStepRunsOnceARound(t *testing.T) {
	c := seeded(t, 1, "one")
	cfg := c.config("one", t.TempDir())
	begin := func(a *agent.Agent, round int) (int, bool, error) {
		note, again, err := a.BeginStep(t.Context(), "install", nth(round), false)
		return note.Exit, again, err
	}
	a := joined(t, cfg)
	if _, again, err := begin(a, 1); again || err != nil {
		t.Fatalf("first time: got again %v and %v, want to run", again, err)
	}
	if _, _, err := begin(a, 1); !errors.Is(err, agent.ErrStepUnknown) {
		t.Errorf("while it runs: got %v, want ErrStepUnknown", err)
	}
	a.Close() // as if it was killed
	a = joined(t, cfg)
	if _, _, err := begin(a, 1); !errors.Is(err, agent.ErrStepUnknown) {
		t.Errorf("after a restart in between: got %v, want ErrStepUnknown", err)
	}
	if err := a.EndStep(t.Context(), "install", nth(1), 7); err != nil {
		t.Fatal(err)
	}
	a.Close()
	a = joined(t, cfg)
	if exit, again, err := begin(a, 1); !again || exit != 7 || err != nil {
		t.Errorf("once it has run: got exit %d, again %v and %v, want exit 7 again", exit, again, err)
	}
	want := map[string]profile.Step{"install": {Round: 1, Result: "failed", Exit: 7}}
	if diff := cmp.Diff(want, c.record(t, "one").Steps); diff != "" {
		t.Errorf("steps in the record (-want +got):\n%s", diff)
	}
	if _, again, err := begin(a, 2); again || err != nil {
		t.Errorf("in the next round: got again %v and %v, want to run", again, err)
	}
}

func TestOfManyThatBeginAStepAtOnceOneDoes(t *testing.T) {
	a := joined(t, seeded(t, 1, "one").config("one", t.TempDir()))
	for round := range 150 {
		start := make(chan struct{})
		var begun atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				<-start
				_, again, err := a.BeginStep(t.Context(), "install", nth(round), false)
				if err == nil && !again {
					begun.Add(1)
				} else if !errors.Is(err, agent.ErrStepUnknown) {
					t.Errorf("got again %v and %v, want to run or ErrStepUnknown", again, err)
				}
			})
		}
		close(start)
		all.Wait()
		if begun.Load() != 1 {
			t.Fatalf("round %d: %d of 8 began the step, want 1", round, begun.Load())
		}
	}
}

func TestStepsOfOldRoundsLeaveTheRecord(t *testing.T) {
	c := seeded(t, 1, "one")
	a := joined(t, c.config("one", t.TempDir()))
	for round := 1; round <= 6; round++ {
		if err := a.EndStep(t.Context(), "step"+strconv.Itoa(round), nth(round), 0); err != nil {
			t.Fatal(err)
		}
	}
	got := slices.Sorted(maps.Keys(c.record(t, "one").Steps))
	if want := []string{"step3", "step4", "step5", "step6"}; !cmp.Equal(got, want) {
		t.Errorf("steps in the record: got %v, want %v", got, want)
	}
}

func TestTheNameOfAStepIsAFileName(t *testing.T) {
	a := joined(t, seeded(t, 1, "one").config("one", t.TempDir()))
	for _, name := range []string{"", ".", "..", "../x", "a/b", "a b", "é", string(make([]byte, 65))} {
		if _, _, err := a.BeginStep(t.Context(), name, nth(1), false); !errors.Is(err, agent.ErrUsage) {
			t.Errorf("step named %q: got %v, want ErrUsage", name, err)
		}
	}
}

// nth is a round of this number, with an id of its own.
func nth(n int) profile.Round { return profile.Round{N: n, ID: "round " + strconv.Itoa(n)} }

func TestANoteIsOfItsOwnRoundAndNotOfItsNumber(t *testing.T) {
	a := joined(t, seeded(t, 1, "one").config("one", t.TempDir()))
	begin := func(round profile.Round) bool {
		_, again, err := a.BeginStep(t.Context(), "install", round, false)
		if err != nil {
			t.Fatal(err)
		}
		if !again {
			if err := a.EndStep(t.Context(), "install", round, 0); err != nil {
				t.Fatal(err)
			}
		}
		return !again
	}
	for i, row := range []struct {
		round profile.Round
		runs  bool
	}{
		{profile.Round{N: 2, ID: "a"}, true},
		{profile.Round{N: 1, ID: "z"}, true}, // a slow waiter of the round before
		{profile.Round{N: 2, ID: "a"}, false},
		{profile.Round{N: 2, ID: "b"}, true}, // the profile was seeded anew or restored
		{profile.Round{N: 2, ID: "b"}, false},
	} {
		if got := begin(row.round); got != row.runs {
			t.Errorf("call %d, round %+v: runs %v, want %v", i, row.round, got, row.runs)
		}
	}
}

func TestAStepThatWasNotStartedAfterAllMayBeginAgain(t *testing.T) {
	c := seeded(t, 1, "one")
	cfg := c.config("one", t.TempDir())
	a := joined(t, cfg)
	begin := func(retry bool) agent.StepNote {
		t.Helper()
		note, again, err := a.BeginStep(t.Context(), "install", nth(1), retry)
		if again || err != nil {
			t.Fatalf("got again %v and %v, want to run", again, err)
		}
		return note
	}
	takeBack := func(note agent.StepNote) {
		t.Helper()
		if err := a.TakeBackStep(t.Context(), "install", note); err != nil {
			t.Fatal(err)
		}
	}
	first := begin(false)
	takeBack(first)
	a.Close()
	a = joined(t, cfg) // it is durable
	second := begin(false)
	takeBack(first) // told once more, since the answer was lost
	if _, _, err := a.BeginStep(t.Context(), "install", nth(1), false); !errors.Is(err, agent.ErrStepUnknown) {
		t.Errorf("taken back by whoever had begun it before: got %v, want ErrStepUnknown", err)
	}
	third := begin(true)
	takeBack(second)
	if _, _, err := a.BeginStep(t.Context(), "install", nth(1), false); !errors.Is(err, agent.ErrStepUnknown) {
		t.Errorf("taken back by whoever had begun it before --retry: got %v, want ErrStepUnknown", err)
	}
	if err := a.EndStep(t.Context(), "install", nth(1), 0); err != nil {
		t.Fatal(err)
	}
	takeBack(third)
	if _, again, err := a.BeginStep(t.Context(), "install", nth(1), false); !again || err != nil {
		t.Errorf("taken back once it has run: got again %v and %v, want that it has run", again, err)
	}
}

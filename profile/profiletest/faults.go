package profiletest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"muster/profile"
)

// count returns what test/count is.
func count(t *testing.T, f Fixture) string {
	t.Helper()
	raw, _ := read(t, f.Store()).Lookup(profile.At("test/count"))
	return string(raw)
}

// unknown applies c through a way with a fault, and wants no answer.
func unknown(t *testing.T, f Fixture, fault Fault, c *profile.Change) {
	t.Helper()
	if _, err := f.Faulty(fault).Apply(t.Context(), c); !errors.Is(err, profile.ErrUnknownOutcome) {
		t.Errorf("Apply: error %v, want %v", err, profile.ErrUnknownOutcome)
	}
}

func lostRequestIsUnknownAndNotApplied(t *testing.T, open Open) {
	f := open(t, planted())
	unknown(t, f, LoseRequest, set(read(t, f.Store()), 2))
	if got := count(t, f); got != "1" {
		t.Errorf("test/count is %s, want the lost change not applied", got)
	}
}

func lostReplyIsUnknownAndApplied(t *testing.T, open Open) {
	f := open(t, planted())
	unknown(t, f, LoseReply, set(read(t, f.Store()), 2))
	if got := count(t, f); got != "2" {
		t.Errorf("test/count is %s, want the change applied", got)
	}
}

func lateChangeLandsAfterTheCallerGaveUp(t *testing.T, open Open) {
	f := open(t, planted())
	unknown(t, f, Late, set(read(t, f.Store()), 2))
	if got := count(t, f); got != "1" {
		t.Errorf("test/count is %s before the change arrived, want 1", got)
	}
	f.Arrive()
	if got := count(t, f); got != "2" {
		t.Errorf("test/count is %s after the change arrived, want 2", got)
	}
}

func lateChangeDoesNotLandBehindALaterWrite(t *testing.T, open Open) {
	f := open(t, planted())
	d := read(t, f.Store())
	unknown(t, f, Late, set(d, 2))
	if _, err := f.Store().Apply(t.Context(), set(d, 3)); err != nil {
		t.Fatal(err)
	}
	f.Arrive()
	if got := count(t, f); got != "3" {
		t.Errorf("test/count is %s, want the late change refused by its test", got)
	}
}

func oneOfManyRacersWins(t *testing.T, open Open) {
	const racers, rounds = 16, 20
	f := open(t, planted())
	stores := make([]profile.Store, racers)
	for i := range stores {
		stores[i] = f.Store()
	}
	for round := range rounds {
		before := read(t, stores[0])
		errs := make([]error, racers)
		var racing sync.WaitGroup
		for i, s := range stores {
			racing.Go(func() { _, errs[i] = s.Apply(t.Context(), set(before, fmt.Sprintf("%d by %d", round, i))) })
		}
		racing.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case errors.Is(err, profile.ErrConflict):
			case err != nil:
				t.Fatalf("round %d: %v", round, err)
			case winner >= 0:
				t.Errorf("round %d has two winners: %d and %d", round, winner, i)
			default:
				winner = i
			}
		}
		if got, want := count(t, f), fmt.Sprintf(`"%d by %d"`, round, winner); got != want {
			t.Errorf("round %d: test/count is %s, want what the winner wrote: %s", round, got, want)
		}
	}
}

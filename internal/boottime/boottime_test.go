package boottime

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Only the lower bound is a rule: a host suspended in between makes the clock run further, and rightly so.
func TestNowRunsAtLeastAsFastAsTheMonotonicClock(t *testing.T) {
	start := Now()
	reference := time.Now()
	for time.Since(reference) < 5*time.Millisecond {
		if later := Now(); later < start {
			t.Fatalf("the clock went back from %v to %v", start, later)
		}
	}
	want := time.Since(reference)
	if got := Now() - start; got < want {
		t.Errorf("the clock ran %v while %v passed", got, want)
	}
}

// A time.Time with a monotonic reading cannot be made by hand, so these readings carry none, and the wall clock
// stands for both; the steps that differ are told apart by their direction.
func TestElapsedAddsForwardStepsAndIgnoresBackwardOnes(t *testing.T) {
	var e elapsed
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := e.at(now); got != 0 {
		t.Errorf("first reading is %v, want 0", got)
	}
	for _, step := range []struct{ by, want time.Duration }{
		{time.Second, time.Second},
		{time.Hour, time.Hour + time.Second},      // suspended, or the wall clock was set forward
		{-time.Hour, time.Hour + time.Second},     // set right again: never back
		{time.Second, time.Hour + 2*time.Second},  // and it goes on counting from there
		{time.Minute, time.Hour + 62*time.Second}, // a suspend after a step back is still seen
	} {
		now = now.Add(step.by)
		if got := e.at(now); got != step.want {
			t.Errorf("after a step of %v the sum is %v, want %v", step.by, got, step.want)
		}
	}
}

func TestElapsedNeverRunsSlowerThanTheMonotonicClock(t *testing.T) {
	var e elapsed
	start := time.Now()
	e.at(start)
	var last time.Time
	for range 1000 {
		last = time.Now()
		e.at(last)
	}
	if got, want := e.at(last), last.Sub(start); got < want {
		t.Errorf("the sum is %v after %v", got, want)
	}
}

func TestUntilEndsAtItsMomentOrWithTheContext(t *testing.T) {
	moment := Now() + 20*time.Millisecond
	if err := System.Until(t.Context(), moment); err != nil || Now() < moment {
		t.Errorf("returned %v at %v, want nil, not before %v", err, Now(), moment)
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if err := System.Until(ctx, Now()+time.Hour); !errors.Is(err, stopped) {
		t.Errorf("returned %v, want the cause of the context", err)
	}
}

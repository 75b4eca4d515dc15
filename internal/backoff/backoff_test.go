package backoff_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/backoff"
)

func almostOne() float64 { return 0.999999 }

func TestDelaysDoubleUpToTheLimit(t *testing.T) {
	b := backoff.New(time.Second, 5*time.Second, almostOne)
	for i, want := range []time.Duration{1, 2, 4, 5, 5, 5} {
		if got := b.Next().Round(10 * time.Millisecond); got != want*time.Second {
			t.Errorf("delay %d is %v, want %v", i, got, want*time.Second)
		}
	}
	b.Reset()
	if got := b.Next().Round(10 * time.Millisecond); got != time.Second {
		t.Errorf("after Reset the delay is %v, want 1s", got)
	}
}

func TestJitterIsFullAndTheLimitComesAfterIt(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b := backoff.New(time.Second, 5*time.Second, random.Float64)
	const draws = 10_000
	low, capped := 0, 0
	for range draws {
		d := b.Next()
		switch {
		case d < 0 || d > 5*time.Second:
			t.Fatalf("delay %v is outside 0..5s", d)
		case d < time.Second:
			low++
		case d == 5*time.Second:
			capped++
		}
	}
	// The range settles at 8 s: one draw in eight is under 1 s, three in eight are cut to the limit.
	if low < draws/16 || low > draws/4 {
		t.Errorf("%d of %d delays are under 1s: the jitter is not full", low, draws)
	}
	if capped < draws/4 || capped > draws/2 {
		t.Errorf("%d of %d delays are cut to the limit, want about three in eight", capped, draws)
	}
}

func TestAVeryLongSeriesNeverOverflows(t *testing.T) {
	b := backoff.New(time.Nanosecond, math.MaxInt64, almostOne)
	for range 200 {
		if d := b.Next(); d < 0 {
			t.Fatalf("delay %v is negative", d)
		}
	}
	if d := b.Next(); d < math.MaxInt64/2 {
		t.Errorf("delay is %v after 200 steps, want it near the limit", d)
	}
}

func TestNothingToWaitForMeansNoDelay(t *testing.T) {
	for _, b := range []*backoff.Backoff{
		backoff.New(0, time.Second, almostOne),
		backoff.New(-time.Second, time.Second, almostOne),
		backoff.New(time.Second, 0, almostOne),
	} {
		for range 3 {
			if d := b.Next(); d != 0 {
				t.Errorf("delay is %v, want 0", d)
			}
		}
	}
}

func TestSleepLastsAsLongAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := backoff.Sleep(t.Context(), 3*time.Second); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("slept %v, want 3s", got)
		}
	})
}

func TestSleepEndsWithTheCauseOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("stopped by the operator")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stop) })
		start := time.Now()
		if err := backoff.Sleep(ctx, time.Hour); !errors.Is(err, stop) {
			t.Errorf("Sleep returned %v, want the cause", err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("Sleep took %v, want 1s", got)
		}
		if err := backoff.Sleep(ctx, 0); !errors.Is(err, stop) {
			t.Errorf("Sleep under an ended context returned %v, want the cause", err)
		}
	})
}

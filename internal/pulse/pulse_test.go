package pulse_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/pulse"
)

var errEnd = errors.New("end")

func TestALoopThatDoesNotGoOnIsLateAndOneThatEndsIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &pulse.Board{}
		next := make(chan func(*pulse.Loop))
		ended := make(chan error)
		go func() {
			ended <- b.Run(context.Background(), "loop", func(ctx context.Context) error {
				for do := range next {
					do(pulse.From(ctx))
				}
				return errEnd
			})
		}()
		for _, row := range []struct {
			do    func(*pulse.Loop)
			after time.Duration
			late  []string
		}{
			{func(l *pulse.Loop) { l.Doing("asking", 10*time.Second) }, pulse.Slack + 10*time.Second, nil},
			{func(*pulse.Loop) {}, time.Second, []string{"loop: asking for 1m11s"}},
			{func(l *pulse.Loop) { l.Working() }, pulse.Slack, nil},
			{func(l *pulse.Loop) { l.Idle("waiting") }, pulse.Slack + pulse.IdleEvery, nil},
			{func(*pulse.Loop) {}, time.Second, []string{"loop: waiting for 1m31s"}},
		} {
			next <- row.do
			synctest.Wait()
			time.Sleep(row.after)
			if got := b.Late(); !slices.Equal(got, row.late) {
				t.Errorf("late: %q, want %q", got, row.late)
			}
		}
		close(next)
		if err := <-ended; !errors.Is(err, errEnd) {
			t.Errorf("Run: %v, want what the loop returned", err)
		}
		if got := b.Late(); got != nil {
			t.Errorf("late after the end: %q", got)
		}
	})
}

func TestWhatALoopWaitsForSpeaksForItAndWhatWorksBesideItDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &pulse.Board{}
		_ = b.Run(t.Context(), "outer", func(ctx context.Context) error {
			return b.Run(ctx, "inner", func(inner context.Context) error {
				time.Sleep(2 * pulse.Slack)
				pulse.From(pulse.Without(inner)).Working()
				if got, want := b.Late(), []string{"inner: working for 2m0s", "outer: working for 2m0s"}; !slices.Equal(got, want) {
					t.Errorf("late: %q, want %q", got, want)
				}
				pulse.From(inner).Working()
				if got := b.Late(); got != nil {
					t.Errorf("late after a report: %q", got)
				}
				return nil
			})
		})
		var none *pulse.Board
		_ = none.Run(t.Context(), "nobody's", func(ctx context.Context) error {
			if l := pulse.From(ctx); l != nil || l.Idle("waiting") != nil || none.Late() != nil {
				t.Error("without a board there is a loop")
			}
			return nil
		})
	})
}

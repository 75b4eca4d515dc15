package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"muster/agent"
	"muster/profile"
)

func TestTheEndOfAStepIsToldForAsLongAsThatMayStillWork(t *testing.T) {
	for _, row := range []struct {
		refusal error
		lasts   time.Duration
		want    error
		after   time.Duration // at least
	}{
		{profile.ErrRefused, 10 * time.Second, nil, 10 * time.Second},
		{profile.ErrNotFound, 10 * time.Second, nil, 10 * time.Second},
		{profile.ErrConflict, 10 * time.Second, nil, 10 * time.Second},
		{profile.ErrRefused, time.Hour, profile.ErrRefused, commandTimeout},
		{profile.ErrTwin, time.Hour, profile.ErrTwin, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			ended, end := context.WithCancel(t.Context())
			end() // whoever ran the step was told to end
			err := (&app{}).tellEnd(ended, nil, func(ctx context.Context, _ agent.Local) error {
				if time.Since(began) < row.lasts {
					return row.refusal
				}
				return ctx.Err()
			})
			if took := time.Since(began); !errors.Is(err, row.want) || took < row.after || took > row.after+5*time.Second {
				t.Errorf("%v for %v: told after %v with %v, want %v after %v", row.refusal, row.lasts, took, err, row.want, row.after)
			}
		})
	}
}

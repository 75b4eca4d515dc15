// Package backoff spaces out retries: exponential delays with full jitter, so that many members that failed
// together do not return together, and a sleep that a context ends.
//
// It keeps no clock and starts no goroutine. A Backoff belongs to one loop; it is not safe for concurrent use.
//
//	b := backoff.New(100*time.Millisecond, 30*time.Second, rand.Float64)
//	for {
//		if err := try(ctx); err == nil {
//			return nil
//		}
//		if err := backoff.Sleep(ctx, b.Next()); err != nil {
//			return err
//		}
//	}
package backoff

import (
	"context"
	"math"
	"time"

	"muster/internal/pulse"
)

// Backoff yields the delays of one series of retries. Make it with New.
type Backoff struct {
	base, limit time.Duration
	random      func() float64
	ceiling     time.Duration
}

// New makes a Backoff whose delays lie in [0, base), then [0, 2·base), [0, 4·base) and so on, each cut to limit
// after the jitter. random returns numbers in [0, 1), as rand.Float64 does; a simulation passes a seeded one.
// A base or limit that is not positive yields no delay.
func New(base, limit time.Duration, random func() float64) *Backoff {
	return &Backoff{base: base, limit: limit, random: random, ceiling: base}
}

// Next returns the next delay, between 0 and the limit.
//
// The limit cuts the drawn delay and not the range that it is drawn from. That range stops growing once it
// covers the limit, before twice the limit: so at least half of the draws stay below it, and members stay apart.
func (b *Backoff) Next() time.Duration {
	delay := time.Duration(b.random() * float64(b.ceiling))
	if b.ceiling < b.limit {
		b.ceiling = 2 * min(b.ceiling, math.MaxInt64/2)
	}
	return max(0, min(delay, b.limit))
}

// Reset starts the series again, after a success.
func (b *Backoff) Reset() { b.ceiling = b.base }

// Sleep waits for d and returns nil, or returns the cause of ctx as soon as ctx ends. With ctx already ended it
// returns at once, whatever d is. It is safe for concurrent use. A loop that ctx belongs to is reported as pausing.
func Sleep(ctx context.Context, d time.Duration) error { return Doze(ctx, d, nil) }

// Doze is Sleep that also ends, with nil, when wake is closed.
func Doze(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l := pulse.From(ctx); l != nil {
		l.Doing("pausing", d)
		defer l.Working()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	case <-wake:
	}
	return nil
}

package sim

import (
	"context"
	"time"

	"muster/internal/boottime"
)

// clock is what one host counts leases on: it runs at a rate of its own, and
// who waits on it is late when the process was stopped meanwhile.
type clock struct{ *life }

func (l *life) clock() clock { return clock{l} }

var _ boottime.Clock = clock{}

// Now implements boottime.Clock.
func (c clock) Now() time.Duration { return c.read() }

func (c clock) read() time.Duration {
	return time.Duration(float64(time.Since(c.world.began)) * c.rate)
}

// Until implements boottime.Clock.
func (c clock) Until(ctx context.Context, moment time.Duration) error {
	end, ok := c.await("Until")
	if !ok {
		return errKilled
	}
	for left := moment - c.read(); left > 0; left = moment - c.read() {
		timer := time.NewTimer(time.Duration(float64(left)/c.rate) + 1)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			end()
			return context.Cause(ctx)
		}
	}
	if !end() {
		return errKilled
	}
	return nil
}

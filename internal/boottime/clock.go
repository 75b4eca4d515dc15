package boottime

import (
	"context"
	"time"
)

// Clock is what leases are counted on. It is given to whoever counts, because
// simulations have hosts whose clocks run at different rates.
type Clock interface {
	// Now returns the time since an undefined moment. It never goes back, and
	// runs on while the host is suspended.
	Now() time.Duration
	// Until blocks until Now has reached the moment, or ctx ends; then it
	// returns ctx's cause.
	Until(ctx context.Context, moment time.Duration) error
}

// System is the clock of this host.
var System Clock = system{}

type system struct{}

func (system) Now() time.Duration { return Now() }

// lookEvery bounds how late Until notices that the host was suspended: Go's
// timers stand still meanwhile.
const lookEvery = 250 * time.Millisecond

func (system) Until(ctx context.Context, moment time.Duration) error {
	for {
		left := moment - Now()
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(min(left, lookEvery))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

package boottime

import "time"

// elapsed sums up the time between readings, each time by whichever of the two clocks saw more of it. Summing up
// matters: comparing the two only with the first reading would go back when a wall clock that had been set
// forward is set right, and would then let a lease last too long.
type elapsed struct {
	sum  time.Duration
	last time.Time
}

// at takes a reading of both clocks, as time.Now gives it, and returns the sum so far.
func (e *elapsed) at(now time.Time) time.Duration {
	if !e.last.IsZero() {
		monotonic := now.Sub(e.last)
		wall := now.Round(0).Sub(e.last.Round(0))
		e.sum += max(0, monotonic, wall)
	}
	e.last = now
	return e.sum
}

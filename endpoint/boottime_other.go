//go:build !linux

package endpoint

import "time"

var started = time.Now()

// boottime stands in for a clock that goes on during suspend, which only Linux has.
func boottime() time.Duration { return time.Since(started) }

package endpoint

import (
	"time"

	"golang.org/x/sys/unix"
)

// boottime reads the clock that goes on while the host is suspended.
func boottime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

package boottime

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the time since an undefined moment, the host's suspended time included. It never goes back and is
// safe for concurrent use.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Every kernel that Go supports has this clock; without it no lease could be kept safely.
		panic(fmt.Sprintf("boottime: read CLOCK_BOOTTIME: %v", err))
	}
	return time.Duration(ts.Nano())
}

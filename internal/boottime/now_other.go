//go:build !linux

package boottime

import (
	"sync"
	"time"
)

// process is state of the package because a clock is one thing for the whole process, as time's own is.
var process struct {
	sync.Mutex
	elapsed elapsed
}

// Now returns the time since an undefined moment, the host's suspended time included. It never goes back and is
// safe for concurrent use.
func Now() time.Duration {
	process.Lock()
	defer process.Unlock()
	return process.elapsed.at(time.Now())
}

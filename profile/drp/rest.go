package drp

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// rest is for how long an endpoint that has too much to do, or the proxy in
// front of it, wants no requests (RFC 9110, 10.2.3). Nothing is sent meanwhile.
type rest struct{ until atomic.Pointer[time.Time] }

// restMost bounds it, whatever is asked for: a slip of somebody's clock or
// configuration must not take a member out.
const restMost = 30 * time.Second

// left is how long the rest lasts from now on.
func (r *rest) left() time.Duration {
	until := r.until.Load()
	if until == nil {
		return 0
	}
	return time.Until(*until)
}

// heed takes note of what an answer asks for.
func (r *rest) heed(resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return
	}
	if asked := retryAfter(resp.Header); asked > 0 {
		until := time.Now().Add(min(asked, restMost))
		r.until.Store(&until)
	}
}

// retryAfter is the time that the header asks for, in seconds or as a date by the
// clock of who answers; 0 for none that can be read.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return at.Sub(now)
}

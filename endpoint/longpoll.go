package endpoint

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest that a long poll may take.
const maxWait = 10 * time.Minute

// errNoChange is returned by awaitChange when the time is over.
var errNoChange = errors.New("no change")

// awaitChange returns the object once its ETag differs from match, or
// errNoChange if it still does not after the time in the request's Prefer
// header. It returns a 404 error if the object is deleted meanwhile.
func (s *Server) awaitChange(r *http.Request, what id, match string) (*record, error) {
	wait, err := preferredWait(r.Header)
	if err != nil {
		return nil, err
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		rec, changed := s.store.next(what)
		if rec == nil {
			return nil, notFound(what.prefix, what.key)
		}
		if s.store.etag(rec) != strings.TrimPrefix(match, "W/") {
			return rec, nil
		}
		s.counters.waiting.Add(1)
		select {
		case <-changed:
		case <-timeout.C:
			err = errNoChange
		case <-r.Context().Done():
			err = shuttingDown()
		}
		s.counters.waiting.Add(-1)
		if err != nil {
			return nil, err
		}
	}
}

// preferredWait reads "Prefer: wait=DURATION", in seconds unless it has a unit.
func preferredWait(h http.Header) (time.Duration, error) {
	for _, preference := range strings.Split(strings.Join(h.Values("Prefer"), ","), ",") {
		v, ok := strings.CutPrefix(strings.TrimSpace(preference), "wait=")
		if !ok {
			continue
		}
		if _, err := strconv.Atoi(v); err == nil {
			v += "s"
		}
		wait, err := time.ParseDuration(v)
		if err != nil || wait < 0 {
			return 0, badRequest("Invalid wait")
		}
		return min(wait, maxWait), nil
	}
	return 0, nil
}

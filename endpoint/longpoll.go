package endpoint

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest that a long poll may take.
const maxWait = 10 * time.Minute

// errNoChange is returned by awaitChange when the time is over.
var errNoChange = errors.New("no change")

// awaitChange returns the object once its ETag is none of those in match, or
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
		if !matches(match, s.store.etag(rec)) {
			return rec, nil
		}
		s.counters.waiting.Add(1)
		select {
		case <-changed:
		case <-timeout.C:
			s.counters.waiting.Add(-1)
			return rec, errNoChange
		case <-r.Context().Done():
			err = shuttingDown()
		}
		s.counters.waiting.Add(-1)
		if err != nil {
			return nil, err
		}
	}
}

// matches reports whether an entity tag is in the list of an If-None-Match header,
// in which * is every tag (RFC 9110, 13.1.2). Tags of this server hold no comma.
func matches(list, etag string) bool {
	return slices.ContainsFunc(split(list), func(tag string) bool {
		return tag == "*" || strings.TrimPrefix(tag, "W/") == etag
	})
}

// preferredWait reads "Prefer: wait=DURATION" (RFC 7240), in seconds unless it has
// a unit.
func preferredWait(h http.Header) (time.Duration, error) {
	for _, preference := range split(strings.Join(h.Values("Prefer"), ",")) {
		preference, _, _ = strings.Cut(preference, ";")
		name, v, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		v = strings.Trim(v, ` \t"`)
		if _, err := strconv.Atoi(v); err == nil {
			v += "s"
		}
		wait, err := time.ParseDuration(v)
		if err != nil || wait < 0 {
			return 0, badRequest("Invalid preference wait: expected seconds, or a duration such as 90s or 5m")
		}
		return min(wait, maxWait), nil
	}
	return 0, nil
}

package endpoint

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFault is returned for a fault that cannot be injected as it is described,
// and for a principal that cannot be understood.
var ErrFault = errors.New("endpoint: wrong fault")

// FaultKind says what a fault does to a request.
type FaultKind string

const (
	// FaultDelay holds a request back for Delay. It is then handled even if its
	// client has gone meanwhile, as what lingers in a network is.
	FaultDelay FaultKind = "delay"
	// FaultDropBefore cuts the connection; nothing has happened. On HTTP/2 it is
	// the request's stream that is cut. Go's HTTP client, and so DRP's, sends a
	// GET that is cut on a used HTTP/1.1 connection again without a word.
	FaultDropBefore FaultKind = "drop-before"
	// FaultDropAfter handles the request, commits what it changes, and then cuts
	// the connection in place of an answer.
	FaultDropAfter FaultKind = "drop-after"
	// FaultRefuse answers with Status and handles nothing.
	FaultRefuse FaultKind = "refuse"
	// FaultStall handles the request and sends the header and half of the body;
	// the rest follows when the fault is cleared. An answer without a body is held
	// back whole. A websocket stays open but silent, also one that was open when
	// the fault was injected: events, acknowledgements and pings that were due
	// while the fault lasted are lost.
	FaultStall FaultKind = "stall"
)

var faultKinds = []FaultKind{FaultDelay, FaultDropBefore, FaultDropAfter, FaultRefuse, FaultStall}

// Fault says which requests go wrong, and how. Of several that match a request,
// all delays apply, and then the oldest of the others.
type Fault struct {
	// ID is given by Inject.
	ID   int       `json:"id"`
	Kind FaultKind `json:"kind"`
	// Method is one method or a comma list; empty is any. GET does not include HEAD.
	Method string `json:"method,omitempty"`
	// Path is that of the URL below /api/v3, as /machines/*/params; a * stands for
	// anything, slashes included. Empty is any.
	Path string `json:"path,omitempty"`
	// Principal is user:NAME, profile:NAME (a token of that profile),
	// machine:UUID or machine:NAME (every token made for that machine, those of
	// its jobs and profiles too), or empty for any. Requests count as those whose
	// name they bear, also with a wrong password or an expired token.
	Principal string `json:"principal,omitempty"`
	// Times is how many requests the fault applies to, a websocket counting as
	// one; 0 is all of them until it is cleared.
	Times int `json:"times,omitempty"`
	// Delay is for FaultDelay only.
	Delay time.Duration `json:"delay,omitempty"`
	// Status is for FaultRefuse only, 400 to 599.
	Status int `json:"status,omitempty"`
	// Message is what FaultRefuse says; empty is a text of its own.
	Message string `json:"message,omitempty"`
	// Hits is how many requests the fault has applied to so far. Inject ignores it.
	Hits int `json:"hits"`
}

// faults holds what was injected. The zero value has none, and costs a request
// one look at a nil pointer.
type faults struct {
	armed   atomic.Pointer[[]*armed]  // replaced, never changed; nil if there is none
	expired atomic.Pointer[[]expired] // likewise

	mu       sync.Mutex // guards the following, and who replaces the above
	lastID   int
	sessions map[*session]asker
}

// armed is an injected fault.
type armed struct {
	Fault
	methods []string
	path    *regexp.Regexp
	who     principalSpec
	hits    atomic.Int64
	cleared chan struct{}
}

// Inject makes requests fail from now on, those under way excepted, and returns
// the id by which to clear the fault. It returns ErrFault, saying what is wrong,
// if f makes no sense.
func (s *Server) Inject(f Fault) (id int, err error) {
	a, err := arm(f)
	if err != nil {
		return 0, err
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.lastID++
	a.ID = s.faults.lastID
	s.faults.replaceLocked(append(slices.Clone(s.faults.all()), a))
	for ss, from := range s.faults.sessions {
		s.silenceLocked(ss, from, a)
	}
	return a.ID, nil
}

// arm checks a fault.
func arm(f Fault) (*armed, error) {
	wrong := func(format string, args ...any) (*armed, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{ErrFault}, args...)...)
	}
	a := &armed{Fault: f, cleared: make(chan struct{})}
	switch {
	case !slices.Contains(faultKinds, f.Kind):
		return wrong("kind: expected one of %q, found %q", faultKinds, f.Kind)
	case f.Times < 0:
		return wrong("times: expected 0 (until cleared) or more, found %d", f.Times)
	case f.Kind == FaultDelay && f.Delay <= 0:
		return wrong("delay: expected more than 0, found %s", f.Delay)
	case f.Kind != FaultDelay && f.Delay != 0:
		return wrong("delay: expected none for %s, found %s", f.Kind, f.Delay)
	case f.Kind == FaultRefuse && (f.Status < 400 || f.Status > 599):
		return wrong("status: expected 400 to 599, found %d", f.Status)
	case f.Kind != FaultRefuse && (f.Status != 0 || f.Message != ""):
		return wrong("status and message: expected none for %s", f.Kind)
	case f.Path != "" && f.Path[0] != '/' && f.Path[0] != '*', strings.HasPrefix(f.Path, apiPath):
		return wrong("path: expected one below %s, as /profiles/*, found %q", apiPath, f.Path)
	}
	if f.Method != "" {
		a.methods = split(strings.ToUpper(f.Method))
	}
	for _, m := range a.methods {
		if !slices.Contains(knownMethods, m) {
			return wrong("method: expected some of %q, found %q", knownMethods, f.Method)
		}
	}
	glob := strings.ReplaceAll(regexp.QuoteMeta(f.Path), `\*`, `.*`)
	if f.Path == "" {
		glob = ".*"
	}
	var err error
	if a.path, err = regexp.Compile("^(?s:" + glob + ")$"); err != nil {
		return wrong("path: %w", err)
	}
	a.who, err = parsePrincipal(f.Principal)
	return a, err
}

const apiPath = "/api/v3"

var knownMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// Clear ends a fault: what it stalls or delays goes on. It returns ErrFault if
// there is none with this id.
func (s *Server) Clear(id int) error {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	kept := slices.Clone(s.faults.all())
	i := slices.IndexFunc(kept, func(a *armed) bool { return a.ID == id })
	if i < 0 {
		return fmt.Errorf("%w: there is none with id %d", ErrFault, id)
	}
	close(kept[i].cleared)
	s.faults.replaceLocked(slices.Delete(kept, i, i+1))
	return nil
}

// ClearAll ends all faults. Tokens that were expired stay so.
func (s *Server) ClearAll() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	for _, a := range s.faults.all() {
		close(a.cleared)
	}
	s.faults.replaceLocked(nil)
}

// Faults returns the faults that are not cleared, oldest first, with what they
// have hit. Those that have applied as often as they should are among them.
func (s *Server) Faults() []Fault {
	res := []Fault{}
	for _, a := range s.faults.all() {
		f := a.Fault
		f.Hits = int(a.hits.Load())
		res = append(res, f)
	}
	return res
}

func (f *faults) all() []*armed {
	if list := f.armed.Load(); list != nil {
		return *list
	}
	return nil
}

func (f *faults) replaceLocked(list []*armed) {
	if len(list) == 0 {
		f.armed.Store(nil)
		return
	}
	f.armed.Store(&list)
}

// matches says whether the fault is meant for a request.
func (a *armed) matches(s *Server, from asker) bool {
	return (a.methods == nil || slices.Contains(a.methods, from.method)) &&
		a.path.MatchString(from.path) && a.who.matches(s, from.grant)
}

// take counts a hit, unless the fault has had all of its.
func (a *armed) take() bool {
	for {
		n := a.hits.Load()
		if a.Times > 0 && n >= int64(a.Times) {
			return false
		}
		if a.hits.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

package endpoint

import (
	"slices"
	"sync/atomic"
	"time"
)

// expired says that the tokens of somebody that were made until then are no
// longer good.
type expired struct {
	who  principalSpec // a machine by its UUID
	then int64         // a stamp
}

// ExpireTokens makes the tokens of a principal (see Fault), or all if it is
// empty, be refused from now on as expired ones are. Tokens that are made later
// are good, and passwords still work. As on DRP, websockets that are open stay so.
// It holds until the process ends. It returns ErrFault if there is no such
// principal.
func (s *Server) ExpireTokens(principal string) error {
	who, err := parsePrincipal(principal)
	if err != nil {
		return err
	}
	if who.name, err = who.key(s); err != nil {
		return err
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	var list []expired
	if old := s.faults.expired.Load(); old != nil {
		list = slices.DeleteFunc(slices.Clone(*old), func(e expired) bool { return e.who == who })
	}
	list = append(list, expired{who, stamp()})
	s.faults.expired.Store(&list)
	return nil
}

// ended says whether a token was made to expire before its time.
func (f *faults) ended(g grant) bool {
	list := f.expired.Load()
	return list != nil && slices.ContainsFunc(*list, func(e expired) bool {
		return g.Made <= e.then && e.who.names(g)
	})
}

// lastStamp is shared by all endpoints of the process.
var lastStamp atomic.Int64

// stamp is now in Unix nanoseconds, and larger than any stamp before: so what
// was made first is told apart even when the clock is coarse or set back.
func stamp() int64 {
	for {
		last := lastStamp.Load()
		if next := max(time.Now().UnixNano(), last+1); lastStamp.CompareAndSwap(last, next) {
			return next
		}
	}
}

package endpoint

import "net/http"

// watch lets faults find a websocket session while it lasts, from its request on.
func (s *Server) watch(ss *session, r *http.Request) (done func()) {
	from, _ := s.askerOf(r)
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.sessions[ss] = from
	for _, a := range s.faults.all() {
		s.silenceLocked(ss, from, a)
	}
	return func() {
		s.faults.mu.Lock()
		defer s.faults.mu.Unlock()
		delete(s.faults.sessions, ss)
	}
}

// silenceLocked silences a session if the fault is meant for it.
func (s *Server) silenceLocked(ss *session, from asker, a *armed) {
	if a.Kind == FaultStall && !ss.silent() && a.matches(s, from) && a.take() {
		ss.stalled.Store(a)
		s.log.Info("fault", "id", a.ID, "kind", a.Kind, "method", from.method, "path", from.path)
	}
}

// silent says whether a fault keeps the session from sending anything.
func (ss *session) silent() bool {
	a := ss.stalled.Load()
	if a == nil {
		return false
	}
	select {
	case <-a.cleared:
		return false
	default:
		return true
	}
}

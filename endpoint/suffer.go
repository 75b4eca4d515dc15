package endpoint

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	"gitlab.com/rackn/provision/v4/models"
)

// suffer answers a request as the faults that match it want it.
func (s *Server) suffer(w http.ResponseWriter, r *http.Request, list []*armed, next http.Handler) {
	from, ok := s.askerOf(r)
	if !ok {
		next.ServeHTTP(w, r)
		return
	}
	isSocket := websocket.IsWebSocketUpgrade(r) && from.path == "/ws"
	for _, a := range list {
		if a.Kind == FaultStall && isSocket || !a.matches(s, from) || !a.take() {
			continue
		}
		s.log.Info("fault", "id", a.ID, "kind", a.Kind, "method", from.method, "path", from.path)
		switch a.Kind {
		case FaultDelay:
			s.delay(r, a)
			continue
		case FaultDropBefore:
		case FaultRefuse:
			writeError(w, r, a.refusal())
			return
		case FaultDropAfter:
			next.ServeHTTP(discarded{newHeld(w)}, r)
		case FaultStall:
			held := newHeld(w)
			next.ServeHTTP(held, r)
			if held.stall(r, a.cleared) {
				return
			}
		}
		panic(http.ErrAbortHandler)
	}
	next.ServeHTTP(w, r)
}

// delay returns when the fault lets the request go on. The body is read before,
// so that the request can be handled when its client is gone. If the server ends
// meanwhile, the request ends unhandled.
func (s *Server) delay(r *http.Request, a *armed) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		panic(http.ErrAbortHandler) // it never arrived
	}
	r.Body = &bufferedBody{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	timer := time.NewTimer(a.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.cleared:
	case <-s.ending():
		panic(http.ErrAbortHandler)
	}
}

// bufferedBody is a body of which the first part has been read already.
type bufferedBody struct {
	io.Reader
	io.Closer
}

func (a *armed) refusal() *models.Error {
	message := a.Message
	if message == "" {
		message = fmt.Sprintf("Refused by injected fault %d", a.ID)
	}
	return models.NewError("", a.Status, message)
}

package endpoint

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
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

// held keeps an answer back.
type held struct {
	to     http.ResponseWriter
	status int
	body   bytes.Buffer
}

func newHeld(to http.ResponseWriter) *held { return &held{to: to, status: http.StatusOK} }

func (h *held) Header() http.Header         { return h.to.Header() }
func (h *held) WriteHeader(status int)      { h.status = status }
func (h *held) Write(b []byte) (int, error) { return h.body.Write(b) }

// SetReadDeadline is for the body of the request. There is no deadline for
// writing: the answer takes as long as the fault wants.
func (h *held) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(h.to).SetReadDeadline(t)
}

// discarded is an answer that nobody will get.
type discarded struct{ *held }

func (discarded) Write(b []byte) (int, error) { return len(b), nil }

// stall sends the header and half of the body, and the rest once the fault is
// cleared. It returns false if the client or the server ends before that. An
// answer without a body would be complete with its header, so it is held back.
func (h *held) stall(r *http.Request, cleared <-chan struct{}) bool {
	limit := http.NewResponseController(h.to)
	_ = limit.SetWriteDeadline(time.Time{})
	half := h.body.Len() / 2
	if r.Method == http.MethodHead {
		half = 0
	}
	if half > 0 {
		h.to.Header().Set("Content-Length", strconv.Itoa(h.body.Len()))
		h.to.WriteHeader(h.status)
		_, _ = h.to.Write(h.body.Next(half))
		_ = limit.Flush()
	}
	select {
	case <-cleared:
	case <-r.Context().Done():
		return false
	}
	_ = limit.SetWriteDeadline(time.Now().Add(writeTime))
	if half == 0 {
		h.to.WriteHeader(h.status)
	}
	_, _ = h.to.Write(h.body.Bytes()) // the client is gone: nobody is left to be told
	return true
}

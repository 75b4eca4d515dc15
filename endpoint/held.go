package endpoint

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

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

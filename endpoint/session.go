package endpoint

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"muster/endpoint/filter"
	"muster/endpoint/rawjson"
)

const (
	wsQueue      = 256      // messages that wait for one slow reader
	wsQueueBytes = 64 << 20 // of these messages, unless it is only one
	wsReadLimit  = 16 << 10 // bytes of one command
	wsReadLimit3 = 512      // likewise, in 3.13
	wsMaxSpecs   = 1024     // registrations of one session
	wsMaxFilters = 64       // of these, with a filter
	wsMaxText    = 64 << 10 // bytes of these

	tooSlow = "events are read too slowly"

	registerCmd   = "register "
	deregisterCmd = "deregister "
)

// socketTimes are the time limits of websockets.
type socketTimes struct {
	ping    time.Duration // between two pings
	pong    time.Duration // without a sign of life of the client
	write   time.Duration // for one message to leave
	goodbye time.Duration // for the last message to leave and be answered
}

var defaultSocketTimes = socketTimes{
	ping: 54 * time.Second, pong: 60 * time.Second, write: 10 * time.Second, goodbye: time.Second,
}

// message waits to be sent. It is sent if one of its filters holds, or at once if
// it has none.
type message struct {
	body    []byte
	filters []filter.Event
}

// session is one websocket. Authorization is by what the token allowed when the
// socket was opened, checked again for every event.
type session struct {
	conn      *websocket.Conn
	who       *principal
	times     socketTimes
	compat313 bool
	queue     chan message
	queued    atomic.Int64 // bytes in queue

	once   sync.Once
	gone   chan struct{} // closed when the session is to end
	code   int           // what the client is told then, set before gone is closed
	reason string
	cutter *time.Timer // ends the connection if the client does not listen
	// stalled is the fault, if any, that silenced the session last.
	stalled atomic.Pointer[armed]

	mu    sync.Mutex
	specs map[string]spec
}

func (s *Server) newSession(conn *websocket.Conn, who *principal) *session {
	return &session{
		conn:      conn,
		who:       who,
		times:     s.socketTimes,
		compat313: s.store.compat313,
		queue:     make(chan message, wsQueue),
		gone:      make(chan struct{}),
		specs:     map[string]spec{},
	}
}

// end ends the session; only the first call counts, and it never blocks. The
// client is told code and reason in a close frame, if it reads within the time
// for goodbye.
func (ss *session) end(code int, reason string) {
	ss.once.Do(func() {
		ss.code, ss.reason = code, reason
		ss.cutter = time.AfterFunc(ss.times.goodbye, ss.cut)
		close(ss.gone)
	})
}

// cut closes the connection below TLS, which would first say goodbye to a reader
// that may not listen.
func (ss *session) cut() {
	conn := ss.conn.NetConn()
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	conn.Close()
}

// send queues a message. A reader so slow that the queue is full is dropped: it
// could not know what it missed, and must read everything again anyway.
func (ss *session) send(m message) {
	if ss.silent() {
		return
	}
	n := int64(len(m.body))
	if sum := ss.queued.Add(n); sum <= wsQueueBytes || sum == n {
		select {
		case ss.queue <- m:
			return
		default:
		}
	}
	ss.queued.Add(-n)
	ss.end(websocket.CloseTryAgainLater, tooSlow)
}

// wants says whether a registration of the session asks for the event, and its
// token allows it. If filters is not empty, one of them must hold as well.
func (ss *session) wants(e *event) (filters []filter.Event, ok bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, sp := range ss.specs {
		switch {
		case !sp.names(e):
		case !visible(e, ss.who):
			return nil, false
		case sp.filter == nil:
			return nil, true
		default:
			filters = append(filters, *sp.filter)
		}
	}
	return filters, len(filters) > 0
}

// run serves the session until either side ends it. It returns what the server
// had against it, "" if it was the client that left.
func (ss *session) run() (reason string) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		ss.write()
	}()
	ss.read()
	ss.end(websocket.CloseNoStatusReceived, "")
	ss.cut()
	<-written
	ss.cutter.Stop()
	return ss.reason
}

func (ss *session) read() {
	limit := int64(wsReadLimit)
	if ss.compat313 {
		limit = wsReadLimit3
	}
	ss.conn.SetReadLimit(limit)
	extend := func(string) error { return ss.conn.SetReadDeadline(time.Now().Add(ss.times.pong)) }
	_ = extend("")
	ss.conn.SetPongHandler(extend)
	pong := ss.conn.PingHandler()
	ss.conn.SetPingHandler(func(data string) error {
		if ss.silent() {
			return nil
		}
		return pong(data)
	})
	for {
		_, text, err := ss.conn.ReadMessage()
		if errors.Is(err, websocket.ErrReadLimit) {
			// The client is told 1009. To end the connection with bytes unread would
			// destroy that on its way.
			conn := ss.conn.NetConn()
			_ = conn.SetReadDeadline(time.Now().Add(ss.times.goodbye))
			_, _ = io.Copy(io.Discard, conn)
		}
		if err != nil {
			return
		}
		_ = extend("")
		ss.command(string(text))
	}
}

func (ss *session) write() {
	ping := time.NewTicker(ss.times.ping)
	defer ping.Stop()
	for {
		kind, body := websocket.TextMessage, []byte(nil)
		select {
		case <-ss.gone: // before what is queued
			ss.sayGoodbye()
			return
		default:
		}
		select {
		case <-ss.gone:
			continue
		case m := <-ss.queue:
			ss.queued.Add(-int64(len(m.body)))
			if !ss.passes(m) {
				continue
			}
			body = m.body
		case <-ping.C:
			if ss.silent() {
				// Nobody is asked for a pong, so nobody can owe one.
				_ = ss.conn.SetReadDeadline(time.Now().Add(ss.times.pong))
				continue
			}
			kind = websocket.PingMessage
		}
		if ss.conn.SetWriteDeadline(time.Now().Add(ss.times.write)) != nil || ss.conn.WriteMessage(kind, body) != nil {
			ss.cut()
			return
		}
	}
}

// passes reports whether a filter of the message holds. It gives up when the
// session ends: filters are the client's, and can be costly.
func (ss *session) passes(m message) bool {
	for _, f := range m.filters {
		select {
		case <-ss.gone:
			return false
		default:
		}
		if f.Holds(m.body) {
			return true
		}
	}
	return len(m.filters) == 0
}

// sayGoodbye sends the close frame. The client's answer, or the cutter, ends the
// connection then: closing it at once could destroy the frame on its way.
func (ss *session) sayGoodbye() {
	if ss.reason == "" {
		return // the client left first
	}
	if ss.silent() {
		ss.cut()
		return
	}
	text := websocket.FormatCloseMessage(ss.code, ss.reason)
	if ss.conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(ss.times.goodbye)) != nil {
		ss.cut()
	}
}

// command executes one text message. The acknowledgement is queued after the
// change is in force, so events that follow it are complete. What cannot be
// understood is answered by an error event: clients that count one answer for
// each command stay in step.
func (ss *session) command(text string) {
	action, key := "error", text
	err := errors.New("expected register or deregister and " + specForm)
	switch {
	case strings.HasPrefix(text, registerCmd):
		key = strings.TrimPrefix(text, registerCmd)
		if err = ss.register(key); err == nil {
			action = "register"
		}
	case strings.HasPrefix(text, deregisterCmd):
		key = strings.TrimPrefix(text, deregisterCmd)
		ss.mu.Lock()
		delete(ss.specs, key)
		ss.mu.Unlock()
		action, err = "deregister", nil
	}
	answer := event{Time: time.Now(), Type: "websocket", Action: action, Key: key}
	if err != nil {
		answer.Object = rawjson.Quote(err.Error())
	}
	if body, err := json.Marshal(answer); err == nil {
		ss.send(message{body: body})
	}
}

func (ss *session) register(text string) error {
	sp, err := parseSpec(text, ss.compat313)
	if err != nil {
		return err
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if _, again := ss.specs[text]; again {
		return nil
	}
	filters, size := 0, len(text)
	for other, sp := range ss.specs {
		size += len(other)
		if sp.filter != nil {
			filters++
		}
	}
	if len(ss.specs) >= wsMaxSpecs || size > wsMaxText || sp.filter != nil && filters >= wsMaxFilters {
		return fmt.Errorf("expected at most %d registrations of %d bytes together on one socket, %d of them with a filter",
			wsMaxSpecs, wsMaxText, wsMaxFilters)
	}
	ss.specs[text] = sp
	return nil
}

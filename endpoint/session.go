package endpoint

import (
	"crypto/tls"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	wsQueue     = 256              // messages that wait for one slow reader
	wsReadLimit = 4096             // bytes of one command
	wsMaxSpecs  = 1024             // registrations of one session
	wsWriteWait = 10 * time.Second // for one message
	wsPingEvery = 54 * time.Second
	wsPongWait  = 60 * time.Second

	registerCmd   = "register "
	deregisterCmd = "deregister "
)

// session is one websocket. Authorization is by what the token allowed when the
// socket was opened, checked again for every event.
type session struct {
	conn  *websocket.Conn
	who   *principal
	queue chan []byte
	gone  chan struct{}
	once  sync.Once

	mu    sync.Mutex
	specs map[string]spec
}

func newSession(conn *websocket.Conn, who *principal) *session {
	return &session{
		conn:  conn,
		who:   who,
		queue: make(chan []byte, wsQueue),
		gone:  make(chan struct{}),
		specs: map[string]spec{},
	}
}

// drop ends the session; it may be called more than once and never blocks. It
// closes the connection below TLS, which would first say goodbye to a reader that
// may not listen.
func (ss *session) drop() {
	ss.once.Do(func() {
		close(ss.gone)
		conn := ss.conn.NetConn()
		if secure, ok := conn.(*tls.Conn); ok {
			conn = secure.NetConn()
		}
		conn.Close()
	})
}

// send queues a message. A reader so slow that the queue is full is dropped: it
// could not know what it missed, and must read everything again anyway.
func (ss *session) send(body []byte) {
	select {
	case ss.queue <- body:
	default:
		ss.drop()
	}
}

// wants says whether a registration of the session asks for the event and its
// token allows it.
func (ss *session) wants(e *event) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, sp := range ss.specs {
		if sp.matches(e) {
			return visible(e, ss.who)
		}
	}
	return false
}

// run serves the session until either side ends it.
func (ss *session) run() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		ss.write()
	}()
	ss.read()
	ss.drop()
	<-written
}

func (ss *session) read() {
	ss.conn.SetReadLimit(wsReadLimit)
	extend := func(string) error { return ss.conn.SetReadDeadline(time.Now().Add(wsPongWait)) }
	_ = extend("")
	ss.conn.SetPongHandler(extend)
	for {
		_, text, err := ss.conn.ReadMessage()
		if err != nil {
			return
		}
		_ = extend("")
		ss.command(string(text))
	}
}

func (ss *session) write() {
	ping := time.NewTicker(wsPingEvery)
	defer ping.Stop()
	defer ss.drop()
	for {
		kind, body := websocket.TextMessage, []byte(nil)
		select {
		case <-ss.gone:
			return
		case body = <-ss.queue:
		case <-ping.C:
			kind = websocket.PingMessage
		}
		if ss.conn.SetWriteDeadline(time.Now().Add(wsWriteWait)) != nil || ss.conn.WriteMessage(kind, body) != nil {
			return
		}
	}
}

// command executes one text message. The acknowledgement is queued after the
// change is in force, so events that follow it are complete. What cannot be
// understood is answered by an error event: clients that count one answer for
// each command stay in step.
func (ss *session) command(text string) {
	action, key, ok := "error", text, false
	switch {
	case strings.HasPrefix(text, registerCmd):
		key = strings.TrimPrefix(text, registerCmd)
		if ok = ss.register(key); ok {
			action = "register"
		}
	case strings.HasPrefix(text, deregisterCmd):
		key = strings.TrimPrefix(text, deregisterCmd)
		ss.mu.Lock()
		delete(ss.specs, key)
		ss.mu.Unlock()
		action, ok = "deregister", true
	}
	answer := event{Time: time.Now(), Type: "websocket", Action: action, Key: key}
	if !ok {
		answer.Object = json.RawMessage(`"expected register or deregister and TYPE.ACTION.KEY"`)
	}
	if body, err := json.Marshal(answer); err == nil {
		ss.send(body)
	}
}

func (ss *session) register(text string) bool {
	sp, ok := parseSpec(text)
	if !ok {
		return false
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if len(ss.specs) >= wsMaxSpecs {
		return false
	}
	ss.specs[text] = sp
	return true
}

package scenario

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// line is the way of one member to the endpoint: a TCP relay that can be cut. The
// member and the endpoint speak TLS to each other through it.
type line struct {
	to       string // HOST:PORT
	listener net.Listener
	relays   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	down   bool          // connections are refused
	frozen chan struct{} // closed when data flows again; nil while it does
	closed bool
}

// openLine opens a way to an address. close it.
func openLine(to string) (*line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &line{to: to, listener: listener, conns: map[net.Conn]bool{}}
	l.relays.Go(l.accept)
	return l, nil
}

// url is where the member finds the endpoint.
func (l *line) url() string { return "https://" + l.listener.Addr().String() }

func (l *line) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		if !l.keep(in) {
			continue
		}
		l.relays.Go(func() { l.relay(in) })
	}
}

// keep notes a connection, or resets it if there is no way now.
func (l *line) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down || l.closed {
		abrupt(c)
		c.Close()
		return false
	}
	l.conns[c] = true
	return true
}

func (l *line) forget(c net.Conn) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// dialTime bounds how long the endpoint may take to accept a connection.
const dialTime = 10 * time.Second

func (l *line) relay(in net.Conn) {
	defer l.forget(in)
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.to)
	if err != nil || !l.keep(out) {
		return
	}
	defer l.forget(out)
	var back sync.WaitGroup
	back.Go(func() { l.pump(in, out) })
	l.pump(out, in)
	back.Wait()
}

// pump relays one direction until either end is gone, and then ends the other.
func (l *line) pump(to, from net.Conn) {
	_, _ = io.Copy(gate{to, l}, from)
	to.Close()
	from.Close()
}

// gate holds back what is written while the line is frozen.
type gate struct {
	net.Conn
	line *line
}

func (g gate) Write(b []byte) (int, error) {
	g.line.mu.Lock()
	frozen := g.line.frozen
	g.line.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	return g.Conn.Write(b)
}

// freeze holds everything back, on connections that there are and that come: packets
// get lost, and are sent again when thaw lets them through.
func (l *line) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen == nil && !l.closed {
		l.frozen = make(chan struct{})
	}
}

func (l *line) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.thawLocked()
}

func (l *line) thawLocked() {
	if l.frozen != nil {
		close(l.frozen)
		l.frozen = nil
	}
}

// clear tells whether data flows.
func (l *line) clear() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frozen == nil && !l.down
}

// drop resets all connections; new ones are welcome.
func (l *line) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		abrupt(c) // all, before the end of one ends another
	}
	for c := range l.conns {
		c.Close()
	}
}

// set lets connections come, or resets them and all that there are.
func (l *line) set(up bool) {
	l.mu.Lock()
	l.down = !up
	l.mu.Unlock()
	if !up {
		l.drop()
	}
}

// close ends the line, and returns when nothing of it is left.
func (l *line) close() {
	l.listener.Close()
	l.mu.Lock()
	l.closed = true
	l.thawLocked()
	l.mu.Unlock()
	l.drop()
	l.relays.Wait()
}

// abrupt makes the end of a connection a reset: in good order it would be no fault.
func abrupt(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it may have ended already
	}
}

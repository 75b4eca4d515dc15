//go:build linux

package soak

import (
	"context"
	"errors"
	"net"
	"sync"
)

var errCut = errors.New("the line is cut")

// line is the way of one member to the endpoint. It is safe for concurrent use.
type line struct {
	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

// dial is for drp.Config.
func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if l.isCut() {
		return nil, errCut
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, errors.Join(errCut, c.Close())
	}
	if l.conns == nil {
		l.conns = map[net.Conn]bool{}
	}
	l.conns[c] = true
	return lineConn{c, l}, nil
}

func (l *line) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// drop ends all connections: what is under way has no answer. With cut none is made
// any more until mend.
func (l *line) drop(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = l.cut || cut
	for c := range l.conns {
		c.Close()
	}
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

type lineConn struct {
	net.Conn
	line *line
}

func (c lineConn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c.Conn)
	c.line.mu.Unlock()
	return c.Conn.Close()
}

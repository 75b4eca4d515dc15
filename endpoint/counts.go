package endpoint

import (
	"bufio"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"gitlab.com/rackn/provision/v4/models"
)

// Counts says what a server has done since it was made.
type Counts struct {
	Requests         int64         // answered, websockets when they end
	ProfileReads     int64         // GET of a profile or its params, answered 200
	ProfilePolls     int64         // HEAD of a profile, answered 200 or 304
	ProfileWrites    int64         // committed changes of profiles
	ProfileConflicts int64         // patches of a profile or its params, answered 409
	MachineReads     int64         // GET of a machine, answered 200
	MachinePolls     int64         // HEAD of a machine, answered 200 or 304
	MachineWrites    int64         // patches of a machine or its params, answered 200
	Waiting          int           // long polls that wait for a change now
	BytesToClients   int64         // on the TCP connections, TLS included
	BytesFromClients int64         // likewise
	Statuses         map[int]int64 // requests by HTTP status, 0 for those that a fault left without an answer
}

// counters is what Counts is made from.
type counters struct {
	sent     atomic.Int64
	received atomic.Int64
	waiting  atomic.Int64
	mu       sync.Mutex // guards counts
	counts   Counts
}

// Counts returns the figures so far. A request is counted just after its answer
// was handed to the connection, so a client may see its answer before that.
func (s *Server) Counts() Counts {
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	res := s.counters.counts
	res.Statuses = maps.Clone(res.Statuses)
	res.Waiting = int(s.counters.waiting.Load())
	res.BytesToClients, res.BytesFromClients = s.counters.sent.Load(), s.counters.received.Load()
	return res
}

func (c *counters) request(r *http.Request, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts.Statuses == nil {
		c.counts.Statuses = map[int]int64{}
	}
	c.counts.Requests++
	c.counts.Statuses[status]++
	rest, _ := strings.CutPrefix(r.URL.Path, "/api/v3/")
	switch prefix, key, _ := strings.Cut(rest, "/"); {
	case key == "": // a list
	case prefix == "profiles" && r.Method == http.MethodPatch && status == http.StatusConflict:
		c.counts.ProfileConflicts++
	case status != http.StatusOK && status != http.StatusNotModified:
	case prefix == "profiles":
		countMethod(r.Method, &c.counts.ProfileReads, &c.counts.ProfilePolls, nil) // writes when they are committed
	case prefix == "machines":
		countMethod(r.Method, &c.counts.MachineReads, &c.counts.MachinePolls, &c.counts.MachineWrites)
	}
}

// countMethod counts a request that went well as what its method says. It counts no
// writes for nil.
func countMethod(method string, reads, polls, writes *int64) {
	switch {
	case method == http.MethodGet:
		*reads++
	case method == http.MethodHead:
		*polls++
	case method == http.MethodPatch && writes != nil:
		*writes++
	}
}

func (c *counters) change(ch change) {
	if ch.Type != "profiles" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.ProfileWrites++
}

// observer remembers the status of an answer.
type observer struct {
	http.ResponseWriter
	status int
}

func (o *observer) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observer) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	return o.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (o *observer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// Hijack takes over the connection, for websockets.
func (o *observer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(o.ResponseWriter).Hijack()
	if err == nil {
		o.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// countingListener counts what its connections send and receive.
type countingListener struct {
	net.Listener
	counters *counters
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{conn, l.counters}, nil
}

type countingConn struct {
	net.Conn
	counters *counters
}

func (c countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.counters.sent.Add(int64(n))
	return n, err
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.counters.received.Add(int64(n))
	return n, err
}

func shuttingDown() *models.Error {
	return models.NewError("", http.StatusServiceUnavailable, "Shutting down")
}

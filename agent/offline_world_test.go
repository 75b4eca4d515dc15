package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"muster/endpoint"
	"muster/profile"
	"muster/profile/drp"
)

// UUIDs of the two members, of which the first suffers.
const (
	one = "3e7031fc-3062-45f1-835c-92541bc9cbd3"
	two = "7d2c9d9e-3f0a-4f57-9a3c-5d1a50f1c1a2"
)

// site is an embedded endpoint with the profile alpha of two members, and the
// ways to it.
type site struct {
	t       *testing.T
	server  *endpoint.Server
	real    bool          // sockets and time are
	timeout time.Duration // of requests; 0 is the usual
	store   *drp.Store    // an administrator's, whom no mishap meets
	ways    []*way
}

// plant makes the endpoint and the profile. end ends all that was started.
func (s *site) plant(compat string, seed profile.Seed) (end func()) {
	t := s.t
	t.Helper()
	server, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: compat})
	if err != nil {
		t.Fatal(err)
	}
	s.server = server
	s.store = s.way().client(t).Profile("alpha", drp.Basic(endpoint.DefaultUser, endpoint.DefaultPassword))
	seed.Profile, seed.Members = "alpha", []string{one, two}
	params, err := seed.Params()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Create(t.Context(), "made by a test", params); err != nil {
		t.Fatal(err)
	}
	for name, uuid := range map[string]string{"n1": one, "n2": two} {
		s.admin("POST", "machines", map[string]any{"Name": name, "Uuid": uuid, "Profiles": []string{"alpha"}, "Runnable": true})
	}
	return func() {
		for _, w := range s.ways {
			w.end()
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}

// admin makes a request past all networks, with the powers of an administrator.
func (s *site) admin(method, path string, body any) (answer []byte) {
	s.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(method, "/api/v3/"+path, bytes.NewReader(raw))
	r.SetBasicAuth(endpoint.DefaultUser, endpoint.DefaultPassword)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	if w.Code >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// way is a network to the endpoint, on which things go wrong.
type way struct {
	site     *site
	listener net.Listener
	dial     func(ctx context.Context, network, address string) (net.Conn, error) // nil: real sockets
	clients  []*drp.Client
	http     *http.Server
	served   sync.WaitGroup

	answer   atomic.Pointer[http.HandlerFunc] // in the place of the endpoint, or nil
	foreign  atomic.Bool                      // somebody else answers new connections
	requests atomic.Int64
	suffered atomic.Int64 // requests and handshakes that went wrong

	mu    sync.Mutex
	conns []*conn // that were accepted
}

// way returns one more, in memory unless the site is real.
func (s *site) way() *way {
	s.t.Helper()
	w := &way{site: s}
	if s.real {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		w.listener = l
	} else {
		p := pipes{make(chan net.Conn)}
		w.listener, w.dial = p, p.dial
	}
	w.http = &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.requests.Add(1)
			if answer := w.answer.Load(); answer != nil {
				w.suffered.Add(1)
				(*answer)(rw, r)
				return
			}
			s.server.ServeHTTP(rw, r)
		}),
		// Without tickets, which nobody reads while both ends of a pipe write.
		TLSConfig: &tls.Config{SessionTicketsDisabled: true, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if w.foreign.Load() {
				w.suffered.Add(1)
				return certificates()[1], nil
			}
			return certificates()[0], nil
		}},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	w.served.Go(func() { w.http.ServeTLS(w, "", "") }) // ends with end
	s.ways = append(s.ways, w)
	return w
}

func (w *way) end() {
	for _, c := range w.clients {
		c.Close()
	}
	w.cut()
	w.http.Close()
	w.served.Wait()
}

// client reaches the endpoint by this way, and verifies it.
func (w *way) client(t *testing.T) *drp.Client {
	t.Helper()
	sum := sha256.Sum256(certificates()[0].Certificate[0])
	c, err := drp.New(drp.Config{
		Endpoint: "https://" + w.Addr().String(), Fingerprint: hex.EncodeToString(sum[:]), Dial: w.dial, Timeout: w.site.timeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.clients = append(w.clients, c)
	return c
}

// cut ends all connections.
func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// silence lets nothing pass on the connections that there are any more, for
// ever, and neither end is told.
func (w *way) silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.silent.Store(true)
	}
}

// Accept, Close and Addr make a way a listener.
func (w *way) Accept() (net.Conn, error) {
	accepted, err := w.listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
	return c, nil
}

func (w *way) Close() error   { return w.listener.Close() }
func (w *way) Addr() net.Addr { return w.listener.Addr() }

// conn is the endpoint's side of a connection.
type conn struct {
	net.Conn
	silent atomic.Bool
}

func (c *conn) Write(b []byte) (int, error) {
	if c.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		if n, err := c.Conn.Read(b); err != nil || !c.silent.Load() {
			return n, err
		}
	}
}

// pipes are a network in memory: time is simulated while everybody waits for an
// answer.
type pipes struct{ incoming chan net.Conn }

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.incoming <- far:
		return near, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p pipes) Accept() (net.Conn, error) {
	c, open := <-p.incoming
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error { close(p.incoming); return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8092} }

// certificates are that of the endpoint and that of somebody else.
var certificates = sync.OnceValue(func() (made [2]*tls.Certificate) {
	for i := range made {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i) + 1)}
		raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			panic(err)
		}
		made[i] = &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
	}
	return made
})

// config is that of a member that reaches the endpoint by way w.
func (s *site) config(uuid string, w *way, machine bool) Config {
	s.t.Helper()
	client := w.client(s.t)
	token, err := s.server.ProfileToken(uuid, "alpha", 24*time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := Config{
		Profile: "alpha", UUID: uuid, Name: "host-" + uuid[:2], Version: "1", StateDir: filepath.Join(s.t.TempDir(), "state"),
		Store: client.Profile("alpha", drp.Token(token)),
	}
	if machine {
		token, err := s.server.MachineToken(uuid, 24*time.Hour)
		if err != nil {
			s.t.Fatal(err)
		}
		cfg.Machine = client.Machine(uuid, drp.Token(token))
	}
	return cfg
}

// document is the profile as it is.
func (s *site) document() *profile.Document {
	s.t.Helper()
	d, err := s.store.Read(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// record is that of the member that suffers.
func (c *cell) record() profile.Record {
	c.Helper()
	r, _, err := c.site.document().Record(one)
	c.check(err)
	return r
}

// stir changes the profile, so that long polls of before a mishap have their answer
// and none that is still to come can tell what happens later.
func (s *site) stir() {
	s.t.Helper()
	c := &profile.Change{}
	c.Set(profile.At("stirred"), true)
	if _, err := s.store.Apply(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
}

// open records the verdict that everybody is complete.
func (s *site) open() {
	s.t.Helper()
	c := &profile.Change{}
	c.Set(profile.At(profile.ParamBarriers, profile.BarrierComplete, "1", "verdict"), profile.VerdictComplete)
	if _, err := s.store.Apply(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
}

// start starts a workflow of one task on the machine that suffers.
func (s *site) start() {
	s.t.Helper()
	s.admin("POST", "tasks", map[string]any{"Name": "install"})
	s.admin("POST", "stages", map[string]any{"Name": "install", "Tasks": []string{"install"}})
	s.admin("POST", "workflows", map[string]any{"Name": "install", "Stages": []string{"install"}})
	s.patch("machines/"+one, "/Workflow", "install")
	s.patch("machines/"+one, "/Runnable", true)
}

// complete completes it, as a runner does.
func (s *site) complete() {
	s.t.Helper()
	var job struct{ Uuid string }
	if err := json.Unmarshal(s.admin("POST", "jobs", map[string]any{"Machine": one}), &job); err != nil {
		s.t.Fatal(err)
	}
	s.patch("jobs/"+job.Uuid, "/State", "running")
	s.patch("jobs/"+job.Uuid, "/State", "finished")
	s.admin("POST", "jobs", map[string]any{"Machine": one}) // none is left: the workflow is complete
}

func (s *site) patch(object, path string, value any) {
	s.t.Helper()
	s.admin("PATCH", object, []map[string]any{{"op": "replace", "path": path, "value": value}})
}

package endpoint

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/endpoint/disk"
)

// DefaultListen is where an endpoint listens unless it is told otherwise.
const DefaultListen = "127.0.0.1:8092"

// Config says how an endpoint behaves. The zero value is usable.
type Config struct {
	// Listen is the TCP address, by default DefaultListen. With port 0 the
	// system chooses one; see Server.URL.
	Listen string
	// Compat is "" for a server like DRP 4.16 or "3.13" for the last public one.
	Compat string
	// Data is a file that everything is kept in, so that an endpoint which is
	// killed or stopped comes back as it was: every change that was answered is
	// there, and tokens, ETags and the certificate are still good. Job logs and
	// uploaded files lie beside it in the folder Data + ".d". A file that is not
	// there yet is made; its folder must be there. Listen may change: the
	// certificate stays, for clients that pin it, and where its names do not cover
	// the new address a warning says so. Whoever can read the file has all secrets.
	// By default everything is in memory and is gone at the end.
	Data string
	// Control is the path of a Unix socket, 0600, over which Control and
	// `muster-lab endpoint fault` inject faults and mint profile tokens. It is
	// removed when Serve returns. By default there is none.
	Control string
	// Logger gets refusals and faults. The default discards them.
	Logger hclog.Logger
}

// Commit describes one committed change of one object.
type Commit struct {
	Prefix string // type of the object, such as "profiles"
	Key    string
	Action string          // create, update, save (an update by the server itself) or delete
	Object json.RawMessage // after the change, or what was deleted; do not modify
	// Boottime is CLOCK_BOOTTIME at the commit, read while the store was locked.
	Boottime time.Duration
}

// Server is an embedded endpoint. Its methods may be called concurrently.
type Server struct {
	log   hclog.Logger
	store *store
	*work
	handler  http.Handler
	listener net.Listener // the first; after a restart another has its address
	cert     *certificate
	tokens   sealer
	pepper   []byte       // of password hashes
	data     *dataFile    // nil: in memory
	folder   *disk.Folder // beside data, or temporary
	blobs    *blobs
	counters counters

	times       requestTimes
	socketTimes socketTimes
	faults      faults
	control     *control // nil: none
	restarts    chan outage
	stopped     chan struct{} // closed when Serve ends

	active  sync.WaitGroup // requests being answered, websockets included
	mu      sync.Mutex     // guards what follows
	closing bool
	ends    <-chan struct{} // closed when the requests being answered are to end
}

// New binds the address and makes a certificate or, where there is a data file,
// continues from that. The server answers once Serve is called; address and data
// file are free again when Serve or Close returns. New returns an error for an unknown
// Compat, for an address that cannot be bound, and for a data file that another
// process uses or that is not what this one could have written; it leaves such
// a file alone.
func New(cfg Config) (*Server, error) {
	if cfg.Compat != "" && cfg.Compat != "3.13" {
		return nil, fmt.Errorf("endpoint: unknown compat %q: want none or 3.13", cfg.Compat)
	}
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	s := &Server{
		log: cfg.Logger, store: newStore(cfg.Compat == "3.13"), listener: listener,
		times: defaultRequestTimes, socketTimes: defaultSocketTimes,
		faults: faults{sessions: map[*session]asker{}}, restarts: make(chan outage), stopped: make(chan struct{}),
		folder: &disk.Folder{Names: []string{filesDir, isosDir, logsDir}, Scratch: newDir},
	}
	s.blobs = newBlobs(s.folder)
	if err := s.prepare(cfg); err != nil {
		return nil, errors.Join(err, s.release(), listener.Close())
	}
	return s, nil
}

func (s *Server) prepare(cfg Config) error {
	if err := s.resume(cfg); err != nil {
		return err
	}
	logs, err := s.newJobLogs()
	if err != nil {
		return err
	}
	s.work = newWork(s.store, logs)
	s.store.subscribe(s.counters.change)
	if s.handler, err = s.newHandler(); err != nil {
		return err
	}
	return s.openControl(cfg.Control)
}

// Serve answers requests until ctx ends, then ends long polls and websockets,
// waits for every request and returns nil. It returns an error if the listener
// fails. It can be called once.
func (s *Server) Serve(ctx context.Context) (err error) {
	defer func() {
		close(s.stopped)
		err = errors.Join(err, s.control.stop(), s.release())
	}()
	s.control.start()
	listener := s.listener
	for {
		again, err := s.serveOnce(ctx, listener)
		if again == nil {
			return err
		}
		if listener, err = s.comeBack(ctx, again.down); err != nil || listener == nil {
			return err
		}
		close(again.back)
	}
}

// Close gives back what New has taken. It is for a server that is not to serve: one
// that Serve was called for needs none.
func (s *Server) Close() error {
	return errors.Join(s.listener.Close(), s.control.close(), s.release())
}

// serveOnce serves until ctx ends or a restart, which it returns, is asked for.
// All requests have ended when it returns.
func (s *Server) serveOnce(ctx context.Context, listener net.Listener) (again *outage, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:           s,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: s.times.header,
		IdleTimeout:       s.times.idle,
		MaxHeaderBytes:    maxHeader,
		// An answer to OPTIONS * would not be JSON.
		DisableGeneralOptionsHandler: true,
		TLSConfig:                    &tls.Config{Certificates: []tls.Certificate{s.cert.pair}, MinVersion: tls.VersionTLS12},
		ErrorLog:                     log.New(s.log.StandardWriter(&hclog.StandardLoggerOptions{}), "", 0),
	}
	s.open(ctx.Done())
	served := make(chan error, 1)
	go func() { served <- srv.ServeTLS(countingListener{listener, &s.counters}, "", "") }()
	select {
	case err = <-served:
	case r := <-s.restarts:
		again = &r
		_ = srv.Close()
		err = <-served
	case <-ctx.Done():
		s.close()
		grace, done := context.WithTimeout(context.Background(), 3*time.Second)
		defer done()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close() // what a slow client leaves behind
		}
		err = <-served
	}
	cancel()
	s.close()
	s.active.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return again, err
}

// open lets requests begin, which are to end when ends is closed.
func (s *Server) open(ends <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing, s.ends = false, ends
}

// begin counts a request in, unless the server is closing.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.active.Add(1)
	}
	return !s.closing
}

// close lets no further request begin.
func (s *Server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
}

// ending is closed when the requests being answered are to end.
func (s *Server) ending() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends
}

// URL is where clients on this host find the endpoint.
func (s *Server) URL() string {
	addr := *s.listener.Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	return "https://" + addr.String()
}

// OnCommit calls fn for every commit, in commit order and with the store locked:
// fn must return soon and must not use the server. A later call replaces fn.
func (s *Server) OnCommit(fn func(Commit)) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.onCommit = fn
}

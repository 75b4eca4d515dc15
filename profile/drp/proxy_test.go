package drp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"muster/profile"
	"muster/profile/drp"
	"muster/profile/profiletest"
)

// insecure talks to test servers whatever their certificate is.
func insecure(t *testing.T) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// send makes one request as the administrator.
func send(t *testing.T, method, url string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := insecure(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// server is a TLS server of the test's own.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests map[string]int // by method
	conns    map[string]bool
}

// listen starts a server over HTTP/1.1 and, if h2, HTTP/2, that ends with the
// test.
func listen(t *testing.T, h2 bool, handle http.HandlerFunc) *server {
	t.Helper()
	s := &server{requests: map[string]int{}, conns: map[string]bool{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests[r.Method]++
		s.conns[r.RemoteAddr] = true
		s.mu.Unlock()
		handle(w, r)
	}))
	s.EnableHTTP2 = h2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// count returns how many requests of a method arrived, and over how many
// connections all requests came.
func (s *server) count(method string) (requests, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[method], len(s.conns)
}

// client returns a client of the server that verifies it by its certificate.
func (s *server) client(t *testing.T) *drp.Client {
	t.Helper()
	return client(t, drp.Config{Endpoint: s.URL, CA: s.pem()})
}

func (s *server) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// proxy forwards to an endpoint, but for what fault does to PATCH requests.
type proxy struct {
	*server
	late chan struct{} // closed when late requests may arrive
	held chan struct{} // one for every request that is held back
	done chan struct{} // one for every late request that was answered
}

func forward(t *testing.T, to string, h2 bool, fault profiletest.Fault) *proxy {
	t.Helper()
	p := &proxy{late: make(chan struct{}), held: make(chan struct{}, 8), done: make(chan struct{}, 8)}
	onward := insecure(t)
	carry := func(r *http.Request, body []byte) (*http.Response, error) {
		ctx := r.Context()
		if r.Method == http.MethodPatch {
			ctx = context.WithoutCancel(ctx) // goes on when the caller has given up
		}
		req, err := http.NewRequestWithContext(ctx, r.Method, to+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header = r.Header.Clone()
		return onward.Do(req)
	}
	p.server = listen(t, h2, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		patch := r.Method == http.MethodPatch
		switch {
		case patch && fault == profiletest.LoseRequest:
			panic(http.ErrAbortHandler) // breaks the connection or stream without an answer
		case patch && fault == profiletest.Late:
			p.held <- struct{}{}
			defer func() { p.done <- struct{}{} }()
			<-p.late
		}
		resp, err := carry(r, body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		if patch && fault == profiletest.LoseReply {
			panic(http.ErrAbortHandler)
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
	return p
}

// arrive lets late requests arrive, and returns when one was answered.
func (p *proxy) arrive() {
	close(p.late)
	<-p.done
}

// impatient is a store whose Apply is given up once the proxy holds the request.
type impatient struct {
	profile.Store
	held <-chan struct{}
}

func (s impatient) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.held:
			cancel()
		case <-ctx.Done():
		}
	}()
	return s.Store.Apply(ctx, c)
}

package endpoint_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
	"muster/internal/leaktest"
)

// TestMain fails the package when a goroutine outlives the tests, and, if all of
// them ran, when a test does not show what docs/endpoint.md says of it.
func TestMain(m *testing.M) {
	code := leaktest.Run(m)
	if run := flag.Lookup("test.run").Value.String(); code == 0 && run == "" && flag.Lookup("test.skip").Value.String() == "" {
		for _, fault := range contractFaults() {
			fmt.Println(fault)
			code = 1
		}
	}
	os.Exit(code)
}

// start runs a server until the test ends.
func start(t *testing.T, compat string) *endpoint.Server {
	t.Helper()
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: compat, Logger: endpoint.Watch(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// admin is DRP's own client with the powers of the default user.
func admin(t *testing.T, s *endpoint.Server) *api.Client {
	t.Helper()
	c, err := api.UserSessionTokenProxy(s.URL(), endpoint.DefaultUser, endpoint.DefaultPassword, true, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// status is the HTTP status of an error of DRP's client, 0 for none.
func status(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*models.Error](err); ok {
		return e.Code
	}
	return -1
}

// answer is what a raw request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// caller sends raw requests with one credential.
type caller struct {
	t    *testing.T
	url  string
	auth string // Authorization header
	http *http.Client
}

// as returns a caller with a token, verifying the server's certificate.
func as(t *testing.T, s *endpoint.Server, token string) caller {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CertPEM()) {
		t.Fatal("no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return caller{t, s.URL() + "/api/v3", "Bearer " + token, &http.Client{Transport: transport}}
}

// asAdmin returns a caller with a token of the default user.
func asAdmin(t *testing.T, s *endpoint.Server) caller {
	t.Helper()
	token, err := s.UserToken(endpoint.DefaultUser, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return as(t, s, token)
}

// do sends a request; headers are name, value pairs.
func (c caller) do(method, path, body string, headers ...string) answer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", c.auth)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
		return answer{}
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		c.t.Errorf("%s %s answers with content type %q", method, path, kind)
	}
	return answer{resp.StatusCode, resp.Header, string(got)}
}

// must is do for a request that has to succeed.
func (c caller) must(method, path, body string) answer {
	c.t.Helper()
	got := c.do(method, path, body)
	if got.status/100 != 2 {
		c.t.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
	}
	return got
}

// fault decodes the error in an answer.
func (a answer) fault(t *testing.T) models.Error {
	t.Helper()
	var e models.Error
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Errorf("error body %q: %v", a.body, err)
	}
	if e.Code != a.status || e.Messages == nil {
		t.Errorf("status %d with body %s", a.status, a.body)
	}
	return e
}

const nodeID = "11111111-2222-4333-8444-555555555555"

// plant creates the profile c1 and the machine node-1 that carries it.
func plant(c caller) {
	c.t.Helper()
	c.must("POST", "/profiles", `{"Name":"c1","Params":{"cluster/profile":"c1","cas":0}}`)
	c.must("POST", "/machines", `{"Name":"node-1","Uuid":"`+nodeID+`","Profiles":["c1"]}`)
}

func TestClientCreatesReadsAndDeletes(t *testing.T) {
	c := admin(t, start(t, ""))
	m := &models.Machine{}
	m.Name = "node-1"
	if err := c.CreateModel(m); err != nil {
		t.Fatal(err)
	}
	if len(m.Uuid) == 0 || m.Secret == "" || !m.Runnable || m.Stage != "none" {
		t.Errorf("created machine is %+v", m)
	}
	got, err := c.GetModel("machines", "Name:node-1")
	if err != nil {
		t.Fatal(err)
	}
	if got.Key() != m.Key() {
		t.Errorf("look-up by name found %s, want %s", got.Key(), m.Key())
	}
	if err := c.CreateModel(&models.Machine{MachineBase: models.MachineBase{Name: "node-1"}}); status(err) != 422 {
		t.Errorf("second machine of that name: %v", err)
	}
	if _, err := c.DeleteModel("machines", m.Key()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetModel("machines", m.Key()); status(err) != 404 || !strings.Contains(err.Error(), "Not Found") {
		t.Errorf("deleted machine: %v", err)
	}
}

// waitFor polls a condition that must come true soon.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("condition never came true")
		}
	}
}

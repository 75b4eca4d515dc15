package endpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/endpoint"
)

// socketPath returns a path that is short enough for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// startControlled runs a server with a control socket until stop is called or the test ends.
func startControlled(t *testing.T, path string) (s *endpoint.Server, stop func()) {
	t.Helper()
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Control: path, Logger: endpoint.Watch(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx); close(done) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func TestFaultsAreInjectedOverTheControlSocket(t *testing.T) {
	path := socketPath(t)
	s, _ := startControlled(t, path)
	c := asAdmin(t, s)
	control := endpoint.Control{Path: path}
	want := endpoint.Fault{
		Kind: endpoint.FaultDelay, Delay: 1500 * time.Microsecond, Method: "GET", Path: "/info", Principal: "user:rocketskates", Times: 2,
	}
	id, err := control.Inject(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	refuse, err := control.Inject(t.Context(), endpoint.Fault{Kind: endpoint.FaultRefuse, Status: 507, Message: "Full"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.do("GET", "/info", ""); got.status != 507 || !strings.Contains(got.body, "Full") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	want.ID, want.Hits = id, 1
	list, err := control.Faults(t.Context())
	if err != nil || len(list) != 2 || list[0] != want || list[1].ID != refuse || list[1].Hits != 1 || !slices.Equal(list, s.Faults()) {
		t.Errorf("the faults are %+v, %v", list, err)
	}
	if err := control.Clear(t.Context(), refuse); err != nil {
		t.Error(err)
	}
	c.must("GET", "/info", "")
	if err := control.ClearAll(t.Context()); err != nil || len(s.Faults()) != 0 {
		t.Errorf("%v, the faults are %v", err, s.Faults())
	}
}

func TestControlSocketSaysWhatIsWrongWithAFault(t *testing.T) {
	path := socketPath(t)
	startControlled(t, path)
	control := endpoint.Control{Path: path}
	_, injected := control.Inject(t.Context(), endpoint.Fault{Kind: "explode"})
	for want, err := range map[string]error{
		`kind: expected one of`:    injected,
		`there is none with id 7`:  control.Clear(t.Context(), 7),
		`there is no user "eve"`:   control.ExpireTokens(t.Context(), "user:eve"),
		`down: expected 0 or more`: control.Restart(t.Context(), -time.Second),
	} {
		if !errors.Is(err, endpoint.ErrFault) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", path)
	}}}
	for request, want := range map[string]string{
		`faults {"kind":"stall","pth":"/"}`:      `unknown field`,
		`faults {"kind":"delay","delay":"soon"}`: `expected a duration such as 1m30s, found`,
		`faults nothing`:                         `cannot read the body`,
		`nothing {}`:                             `No route`,
	} {
		route, body, _ := strings.Cut(request, " ")
		resp, err := client.Post("http://control/v1/"+route, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Code     int
			Messages []string
		}
		err = json.NewDecoder(resp.Body).Decode(&e)
		resp.Body.Close()
		if err != nil || e.Code != resp.StatusCode || e.Code/100 != 4 || !strings.Contains(fmt.Sprint(e.Messages), want) {
			t.Errorf("%s: %d, %+v, %v; want %s", request, resp.StatusCode, e, err, want)
		}
	}
}

func TestProfileTokensAreMintedOverTheControlSocket(t *testing.T) {
	path := socketPath(t)
	s, _ := startControlled(t, path)
	plant(asAdmin(t, s))
	control := endpoint.Control{Path: path}
	for _, machine := range []string{"", "node-1", nodeID} {
		token, err := control.ProfileToken(t.Context(), machine, "c1", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		c := as(t, s, token)
		c.must("GET", "/profiles/c1", "")
		if got := c.do("GET", "/info", "").status; got != 404 {
			t.Errorf("/info: %d: this is no profile token", got)
		}
	}
	for machine, profile := range map[string]string{"": "global", "node-1": "global", "node-9": "c1"} {
		token, err := control.ProfileToken(t.Context(), machine, profile, time.Hour)
		if !errors.Is(err, endpoint.ErrTokenNotAllowed) || token != "" {
			t.Errorf("%q, %s: got %q, %v", machine, profile, token, err)
		}
	}
}

func TestMachineTokensAreMintedAndCountsToldOverTheControlSocket(t *testing.T) {
	path := socketPath(t)
	s, _ := startControlled(t, path)
	plant(asAdmin(t, s))
	control := endpoint.Control{Path: path}
	token, err := control.MachineToken(t.Context(), "node-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := as(t, s, token)
	before := s.Counts()
	c.must("GET", "/machines/"+nodeID, "")
	if got := c.do("GET", "/profiles/c1", "").status; got != 404 {
		t.Errorf("/profiles/c1: %d: this is no machine token", got)
	}
	c.http.CloseIdleConnections()
	waitFor(t, func() bool { return s.Counts().Requests == before.Requests+2 })
	got, err := control.Counts(t.Context())
	if err != nil || got.MachineReads != before.MachineReads+1 || got.Statuses[404] != before.Statuses[404]+1 || got.BytesFromClients == 0 {
		t.Errorf("counts %+v, %v; before it they were %+v", got, err, before)
	}
	if token, err := control.MachineToken(t.Context(), "node-9", time.Hour); !errors.Is(err, endpoint.ErrTokenNotAllowed) || token != "" {
		t.Errorf("got %q, %v", token, err)
	}
}

func TestTokensExpireAndTheEndpointRestartsOverTheControlSocket(t *testing.T) {
	path := socketPath(t)
	s, stop := startControlled(t, path)
	control := endpoint.Control{Path: path}
	c := asAdmin(t, s)
	if err := control.ExpireTokens(t.Context(), "user:"+endpoint.DefaultUser); err != nil {
		t.Fatal(err)
	}
	if got := c.do("GET", "/info", "").status; got != 403 {
		t.Errorf("an expired token gets %d", got)
	}
	if err := control.Restart(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	asAdmin(t, s).must("GET", "/info", "")
	restarted := make(chan error, 1)
	go func() { restarted <- control.Restart(context.Background(), time.Hour) }()
	waitFor(t, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "https://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if _, err := control.Faults(t.Context()); err != nil {
		t.Errorf("the socket does not answer while the endpoint is down: %v", err)
	}
	stop()
	if err := <-restarted; err == nil {
		t.Error("the restart of an endpoint that has ended succeeded")
	}
}

func TestControlSocketIsPrivateAndGoneAtTheEnd(t *testing.T) {
	path := socketPath(t)
	_, stop := startControlled(t, path)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if _, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Control: path}); err == nil || !strings.Contains(err.Error(), "somebody listens on") {
		t.Errorf("a second endpoint takes the socket: %v", err)
	}
	stop()
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := (endpoint.Control{Path: path}).Faults(t.Context()); !errors.Is(err, endpoint.ErrNoControl) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyASocketThatIsLeftOverIsReplaced(t *testing.T) {
	path := socketPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	_, stop := startControlled(t, path)
	if _, err := (endpoint.Control{Path: path}).Faults(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil { // what lies there later is another's
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
	for path, want := range map[string]string{
		path:                                  "is there and is no socket",
		filepath.Join(path, "s"):              "",
		"/nosuch/folder/socket":               "",
		"/tmp/" + strings.Repeat("long/", 25): "",
	} {
		if _, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Control: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

func TestLongFolderForAControlSocketIsRefused(t *testing.T) {
	dir := filepath.Join(filepath.Dir(socketPath(t)), strings.Repeat("d", 90))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Control: filepath.Join(dir, "s")}); err == nil || !strings.Contains(err.Error(), "expected a folder with a path of at most") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The memory of an endpoint that restarts is its own, so it needs no file; with
// one, it keeps the file.
func TestEndpointWithADataFileRestarts(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data.json")
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Data: data, Logger: endpoint.Watch(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	c := asAdmin(t, s)
	plant(c)
	if err := s.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	c.http.CloseIdleConnections()
	c.must("PATCH", "/profiles/c1", casPatch)
	if text, err := os.ReadFile(data); err != nil || !strings.Contains(string(text), `"cas":1`) && !strings.Contains(string(text), `"cas": 1`) {
		t.Errorf("what was changed after the restart is not in the file: %v", err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/agent"
	"muster/coordinator"
	"muster/endpoint"
	"muster/profile"
	"muster/profile/drp"
)

const machineUUID = "3e7031fc-3062-45f1-835c-92541bc9cbd3"

// site is an embedded endpoint with a seeded profile of one member.
type site struct {
	*endpoint.Server
	t        *testing.T
	operator *profile.Operator
	store    *drp.Store // with the powers of an administrator
}

func newSite(t *testing.T, compat string) *site {
	t.Helper()
	return newSiteOf(t, compat, profile.Seed{Members: []string{machineUUID}, Leaders: 1})
}

// newSiteOf is an embedded endpoint with this profile, called alpha.
func newSiteOf(t *testing.T, compat string, seed profile.Seed) *site {
	t.Helper()
	server, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: compat})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	s := &site{Server: server, t: t}
	s.store = s.client(server.URL()).Profile("alpha", drp.Basic(endpoint.DefaultUser, endpoint.DefaultPassword))
	s.operator = profile.NewOperator(s.store)
	seed.Profile = "alpha"
	params, err := seed.Params()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Create(t.Context(), "made by a test", params); err != nil {
		t.Fatal(err)
	}
	s.post("machines", map[string]any{"Name": "n1", "Uuid": machineUUID, "Profiles": []string{"alpha"}})
	return s
}

// client reaches the endpoint at url, and verifies it.
func (s *site) client(url string) *drp.Client {
	s.t.Helper()
	c, err := drp.New(drp.Config{Endpoint: url, Fingerprint: s.Fingerprint()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

func (s *site) post(prefix string, object map[string]any) {
	s.t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		s.t.Fatal(err)
	}
	if status, answer := s.send("POST", prefix, bytes.NewReader(raw)); status >= 300 {
		s.t.Fatalf("POST %s: status %d: %s", prefix, status, answer)
	}
}

// send makes one request with the powers of an administrator.
func (s *site) send(method, path string, body io.Reader) (status int, answer []byte) {
	s.t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL()+"/api/v3/"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth(endpoint.DefaultUser, endpoint.DefaultPassword)
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// token makes a token of the profile.
func (s *site) token() string {
	s.t.Helper()
	token, err := s.ProfileToken(machineUUID, "alpha", time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// config is that of the member, which reaches the endpoint at url and reads its
// token from the file that is returned.
func (s *site) config(url string) (cfg agent.Config, file string) {
	s.t.Helper()
	dir := s.t.TempDir()
	file = filepath.Join(dir, "token")
	write(s.t, file, s.token())
	return agent.Config{
		Profile: "alpha", UUID: machineUUID, Name: "n1", Version: "1",
		Store:    s.client(url).Profile("alpha", drp.TokenFile(file)),
		StateDir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "sock"),
	}, file
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// touch changes the profile, so that everybody looks.
func (s *site) touch() {
	s.t.Helper()
	_, err := s.operator.Write(s.t.Context(), once(func(c *profile.Change) { c.Set(profile.At("muster-test/touched"), "yes") }))
	if err != nil {
		s.t.Fatal(err)
	}
}

// once is a plan that makes its change and is then done.
func once(set func(*profile.Change)) profile.Plan {
	done := false
	return func(*profile.Document) (*profile.Change, error) {
		if done {
			return nil, nil
		}
		done = true
		c := &profile.Change{}
		set(c)
		return c, nil
	}
}

func (r *running) trouble() string {
	s, err := r.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return s.Trouble
}

func eachCompat(t *testing.T, test func(t *testing.T, compat string)) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			t.Parallel() // where there is no long poll, most of the time is waiting for polls
			test(t, compat)
		})
	}
}

func TestATokenThatIsReplacedWhileTheAgentRunsCountsAtOnce(t *testing.T) {
	t.Parallel()
	eachCompat(t, func(t *testing.T, compat string) {
		s := newSite(t, compat)
		cfg, file := s.config(s.URL())
		r := run(t, cfg)
		bad := s.token()
		bad = bad[:len(bad)-8] + "AAAAAAAA"
		write(t, file, bad)
		if err := s.ExpireTokens("profile:alpha"); err != nil { // or the one before is used on
			t.Fatal(err)
		}
		s.touch()
		eventually(t, "the refusal is said", func() bool { return strings.Contains(r.trouble(), "token refused") })
		if said := r.trouble(); strings.Contains(said, bad[:24]) {
			t.Errorf("the trouble repeats the token: %s", said)
		}
		if _, err := r.Report(t.Context(), profile.Running); !errors.Is(err, profile.ErrRefused) {
			t.Errorf("report with a bad token: got %v, want ErrRefused", err)
		}
		ended, progress := make(chan error, 1), make(chan struct{}, 16)
		go func() { ended <- waitFor(t, r, progress) }() // which the token was good for before
		eventually(t, "the agent waits for it", func() bool {
			_, page := get(t, cfg.Socket, "/metrics")
			return strings.Contains(page, "\nmuster_waits 1\n")
		})
		write(t, file, s.token())
		eventually(t, "the new token is used", func() bool { return r.trouble() == "" })
		receive(t, "the wait has begun", progress)
		report(t, r, profile.Running, profile.Complete)
		if err := receive(t, "the wait ends", ended); err != nil {
			t.Errorf("the wait that began while the token was bad: %v", err)
		}
	})
}

func TestGatesStayShutWhileTheEndpointIsAwayAndOpenAfter(t *testing.T) {
	t.Parallel()
	eachCompat(t, func(t *testing.T, compat string) {
		s := newSite(t, compat)
		way := newWay(t, strings.TrimPrefix(s.URL(), "https://"))
		cfg, _ := s.config("https://" + way.address)
		r := run(t, cfg)
		ended, progress := make(chan error, 1), make(chan struct{}, 16)
		go func() { ended <- waitFor(t, r, progress) }()
		receive(t, "the wait has begun", progress)
		way.close()
		eventually(t, "the agent notices", func() bool { return strings.Contains(r.trouble(), "unavailable") })
		_, err := s.operator.Write(t.Context(), once(func(c *profile.Change) {
			c.Set(profile.At(profile.ParamBarriers, profile.BarrierComplete, "1", "verdict"), profile.VerdictComplete)
		}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Wait(t.Context(), agent.Waiting{Timeout: time.Second}, nil); !errors.Is(err, coordinator.ErrTimeout) {
			t.Errorf("wait that begins while the endpoint is away: got %v, want ErrTimeout", err)
		}
		select {
		case err := <-ended:
			t.Errorf("the gate moved while the endpoint was away: %v", err)
		default:
		}
		way.open()
		if err := receive(t, "the wait ends", ended); err != nil {
			t.Errorf("wait after the endpoint came back: %v", err)
		}
		eventually(t, "the trouble is over", func() bool { return r.trouble() == "" })
	})
}

// way forwards connections to an address, while it is open.
type way struct {
	t           *testing.T
	to, address string

	mu       sync.Mutex // guards conns and shut
	conns    []net.Conn
	shut     bool
	listener net.Listener
	wg       sync.WaitGroup
}

func newWay(t *testing.T, to string) *way {
	t.Helper()
	w := &way{t: t, to: to, address: "127.0.0.1:0"}
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *way) open() {
	w.t.Helper()
	var l net.Listener
	eventually(w.t, w.address+" is free", func() bool { // somebody's connection may have it as its own meanwhile
		var err error
		l, err = net.Listen("tcp", w.address)
		return err == nil
	})
	w.listener, w.address, w.shut = l, l.Addr().String(), false
	w.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", w.to)
			if err != nil {
				in.Close()
				continue
			}
			w.mu.Lock()
			if w.conns = append(w.conns, in, out); w.shut { // since it was accepted
				in.Close()
				out.Close()
			}
			w.mu.Unlock()
			w.wg.Go(func() { io.Copy(in, out); in.Close() })
			w.wg.Go(func() { io.Copy(out, in); out.Close() })
		}
	})
}

// close refuses new connections and cuts those that there are.
func (w *way) close() {
	w.listener.Close()
	w.mu.Lock()
	w.shut = true
	for _, c := range w.conns {
		c.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
	w.conns = nil
}

func TestTheMachineTokenRenewsItselfWhereTheEndpointOffersThat(t *testing.T) {
	eachCompat(t, func(t *testing.T, compat string) {
		s := newSite(t, compat)
		old, err := s.MachineToken(machineUUID, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		cfg, _ := s.config(s.URL())
		var logged syncBuffer
		cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: &logged})
		cfg.MachineToken = filepath.Join(t.TempDir(), "machine.token")
		write(t, cfg.MachineToken, old)
		sum := sha256.Sum256([]byte(old))
		write(t, cfg.MachineToken+".json", fmt.Sprintf(`{"issued":%q,"ttl":3600,"sha256":"%x"}`, time.Now().Add(-45*time.Minute).Format(time.RFC3339), sum))
		machine := s.client(s.URL()).Machine(machineUUID, drp.TokenFile(cfg.MachineToken))
		cfg.Machine, cfg.Tokens = machine, machine
		run(t, cfg)
		if compat != "" {
			eventually(t, "it says that it cannot", func() bool { return strings.Contains(logged.String(), "does not renew machine tokens") })
			if raw, err := os.ReadFile(cfg.MachineToken); err != nil || string(raw) != old {
				t.Errorf("the token was not left alone (%v)", err)
			}
			return
		}
		eventually(t, "it was renewed", func() bool { return strings.Contains(logged.String(), "was renewed") })
		raw, err := os.ReadFile(cfg.MachineToken)
		if err != nil || string(raw) == old {
			t.Fatalf("the file still holds the old token (%v)", err)
		}
		if _, err := s.client(s.URL()).Machine(machineUUID, drp.Token(string(raw))).Read(t.Context()); err != nil {
			t.Errorf("read with the new token: %v", err)
		}
		for _, token := range []string{old, string(raw)} {
			if strings.Contains(logged.String(), token[:24]) {
				t.Error("a token is in the log")
			}
		}
	})
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestAHostThatHasJoinedBeforeWaitsForItsProfileToBePutBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	cfg, _ := s.config(s.URL())
	first := joined(t, cfg)
	first.Close()
	gone, err := s.Inject(endpoint.Fault{Kind: endpoint.FaultRefuse, Path: "/profiles/alpha", Status: http.StatusNotFound})
	if err != nil {
		t.Fatal(err)
	}
	var logged syncBuffer
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: &logged})
	again, err := agent.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	ended := make(chan error, 1)
	go func() { ended <- again.Join(t.Context(), true) }()
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(logged.String(), "not found") })
	if err := s.Clear(gone); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "it joins", ended); err != nil {
		t.Errorf("join: %v", err)
	}
}

func TestAHostThatHasJoinedBeforeWaitsForATokenAlsoAtItsStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	cfg, file := s.config(s.URL())
	first := joined(t, cfg)
	first.Close()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	var logged syncBuffer
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: &logged})
	again, err := agent.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Join(t.Context(), false); !errors.Is(err, profile.ErrRefused) {
		t.Errorf("join without patience: got %v, want ErrRefused", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- again.Join(t.Context(), true) }()
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(logged.String(), "does not exist") })
	write(t, file, s.token())
	if err := receive(t, "it joins", ended); err != nil {
		t.Errorf("join: %v", err)
	}
}

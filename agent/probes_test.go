package agent_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"muster/agent"
	"muster/internal/metrics"
	"muster/profile"
	"muster/profile/memory"
)

// get asks the agent's socket as curl would.
func get(t *testing.T, socket, path string) (status int, text string) {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://muster" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// leased is a profile of one member in which leader is a lease of 3 s.
func leased(t *testing.T) *cluster {
	t.Helper()
	params, err := profile.Seed{
		Profile: "alpha", Members: []string{"one"}, Leaders: 1, Options: map[string]profile.RoleOptions{profile.Leader: {TTL: "3s"}},
	}.Params()
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{Profile: memory.New("alpha", params)}
}

func TestTheSocketSaysWhoLivesIsReadyAndLeads(t *testing.T) {
	t.Parallel()
	c := leased(t)
	cfg := c.config("one", t.TempDir())
	var away atomic.Bool
	cfg.Store = c.Store(func(memory.Call) memory.Fault {
		if away.Load() {
			return memory.Fault{Refuse: profile.ErrUnavailable}
		}
		return memory.Fault{}
	})
	cfg.Metrics = &metrics.Set{}
	run(t, cfg)
	for path, want := range map[string]string{"/livez": "ok\n", "/readyz": "ok\n"} {
		if status, text := get(t, cfg.Socket, path); status != http.StatusOK || text != want {
			t.Errorf("%s: %d %q, want 200 %q", path, status, text, want)
		}
	}
	if status, text := get(t, cfg.Socket, "/leader/nobody"); status != http.StatusServiceUnavailable || !strings.Contains(text, "the profile has no such role") {
		t.Errorf("/leader of no role: %d %q", status, text)
	}
	eventually(t, "it leads", func() bool {
		status, text := get(t, cfg.Socket, "/leader/leader")
		return status == http.StatusOK && strings.HasPrefix(text, "slot 1, epoch ")
	})
	_, page := get(t, cfg.Socket, "/metrics")
	for _, line := range []string{
		"muster_round 1\n", `muster_slot_led{role="leader"} 1` + "\n", `muster_lease_seconds_left{role="leader"} `, "muster_watch_trouble 0\n", "muster_late_loops 0\n",
		"muster_waits 0\n", "muster_last_read_age_seconds ", `muster_build_info{version="1",go_version="go`, "muster_conflicts_total 0\n",
	} {
		if !strings.Contains(page, line) {
			t.Errorf("no %q in /metrics:\n%s", line, page)
		}
	}
	away.Store(true) // by its own clock leadership ends, though nobody tells it
	eventually(t, "it does not lead any more", func() bool {
		status, text := get(t, cfg.Socket, "/leader/leader")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "leader")
	})
	foreign := &profile.Change{} // ends the long poll that was under way
	foreign.Set(profile.At("site/foreign"), 1)
	if _, err := c.Store(nil).Apply(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the trouble is counted", func() bool {
		_, page := get(t, cfg.Socket, "/metrics")
		return strings.Contains(page, "muster_watch_trouble 1\n") && strings.Contains(page, `muster_slot_led{role="leader"} 0`)
	})
}

// told is what a service manager is told.
type told struct {
	mu   sync.Mutex
	list []string
}

func (m *told) notify(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, state)
}

func (m *told) all() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.list, "\n")
}

func TestAnAgentWhoseSocketDoesNotAnswerStarvesTheWatchdog(t *testing.T) {
	t.Parallel()
	c := seeded(t, 1, "one")
	cfg := c.config("one", t.TempDir())
	manager := &told{}
	cfg.Notify, cfg.Watchdog = manager.notify, 40*time.Millisecond
	r := run(t, cfg)
	eventually(t, "it is fed", func() bool {
		return strings.Contains(manager.all(), "READY=1\n") && strings.Count(manager.all(), "WATCHDOG=1") > 3
	})
	if err := os.Rename(cfg.Socket, cfg.Socket+".away"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it says so", func() bool { return strings.Contains(manager.all(), "the socket does not answer") })
	fed := strings.Count(manager.all(), "WATCHDOG=1")
	<-time.After(400 * time.Millisecond) // ten times as long as it takes to be fed
	if again := strings.Count(manager.all(), "WATCHDOG=1"); again != fed {
		t.Errorf("fed %d times more though the socket does not answer", again-fed)
	}
	if err := os.Rename(cfg.Socket+".away", cfg.Socket); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is fed again", func() bool { return strings.Count(manager.all(), "WATCHDOG=1") > fed })
	r.end()
	if n := strings.Count(manager.all(), "READY=1"); n != 1 || !strings.Contains(manager.all(), "STOPPING=1") {
		t.Errorf("READY was told %d times, want once, and STOPPING:\n%s", n, manager.all())
	}
}

func TestAnAgentThatWaitsToJoinAsksTheServiceManagerForPatience(t *testing.T) {
	t.Parallel()
	p := memory.New("alpha", profile.Params{profile.ParamProfile: []byte(`"alpha"`)})
	c := &cluster{Profile: p}
	cfg := c.config("one", t.TempDir())
	manager := &told{}
	cfg.Notify = manager.notify
	a, err := agent.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Join(ctx, true) }()
	eventually(t, "it says that it waits", func() bool {
		return strings.Contains(manager.all(), "STATUS=waiting to join: ") && strings.Contains(manager.all(), "EXTEND_TIMEOUT_USEC=")
	})
	read := false
	a.Reload(func() { read = true })
	cancel(errEnough)
	receive(t, "Join returns", ended)
	if !read || strings.Contains(manager.all(), "READY") || strings.Contains(manager.all(), "RELOADING") {
		t.Errorf("what was told while it waited, reading again %v:\n%s", read, manager.all())
	}
}

package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"muster/agent"
	"muster/internal/leaktest"
	"muster/profile"
	"muster/profile/memory"
)

// TestMain makes this host one without devices, known by its machine id, and
// fails the package when a goroutine outlives the tests.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "muster-agent")
	if err == nil {
		err = errors.Join(
			os.WriteFile(filepath.Join(dir, "machine-id"), []byte("00112233445566778899aabbccddeeff\n"), 0o600),
			os.Setenv("HOST_SYS", dir), os.Setenv("HOST_ETC", dir),
		)
	}
	if err != nil {
		panic(err)
	}
	code := leaktest.Run(m)
	os.RemoveAll(dir)
	os.Exit(code)
}

// patience bounds every wait for something that must happen.
const patience = time.Minute

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// receive returns what arrives on c.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %s: %s", patience, what)
		panic("unreachable")
	}
}

// cluster is a seeded profile in memory.
type cluster struct {
	*memory.Profile
	commits atomic.Int64
}

func seeded(t *testing.T, leaders int, members ...string) *cluster {
	t.Helper()
	params, err := profile.Seed{Profile: "alpha", Members: members, Leaders: leaders}.Params()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Profile: memory.New("alpha", params)}
	c.OnCommit(func(_, _ *profile.Document) { c.commits.Add(1) })
	return c
}

// config is that of the member on a host that keeps its files in dir.
func (c *cluster) config(uuid, dir string) agent.Config {
	return agent.Config{
		Profile: "alpha", UUID: uuid, Name: "name-of-" + uuid, Store: c.Store(nil), Version: "1",
		StateDir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "sock"),
	}
}

func (c *cluster) record(t *testing.T, uuid string) profile.Record {
	t.Helper()
	r, _, err := c.Document().Record(uuid)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// joined opens an agent and makes it join. It is closed with the test.
func joined(t *testing.T, cfg agent.Config) *agent.Agent {
	t.Helper()
	a, err := agent.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if err := a.Join(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	return a
}

// running is an agent that runs.
type running struct {
	*agent.Client
	t     *testing.T
	agent *agent.Agent
	stop  context.CancelCauseFunc
	ended chan error // gets what Run returns
	over  bool
}

var errEnough = errors.New("enough")

// run lets the agent run until the test ends, and returns once it answers.
func run(t *testing.T, cfg agent.Config) *running {
	t.Helper()
	a := joined(t, cfg)
	ctx, stop := context.WithCancelCause(context.Background())
	r := &running{t: t, agent: a, stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		if !r.over {
			r.end()
		}
	})
	eventually(t, "the agent answers", func() bool {
		client, err := agent.Dial(cfg.Socket)
		r.Client = client
		return err == nil
	})
	return r
}

// end tells the agent to stop, and wants nothing else to have ended it.
func (r *running) end() {
	r.t.Helper()
	r.stop(errEnough)
	if err := r.wait(); !errors.Is(err, errEnough) {
		r.t.Errorf("Run: got %v, want the cause of its context's end", err)
	}
}

// wait waits for the agent to end by itself, and closes it.
func (r *running) wait() error {
	r.t.Helper()
	r.over = true
	defer r.agent.Close()
	return receive(r.t, "Run returns", r.ended)
}

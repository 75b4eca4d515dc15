package agent_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/agent"
	"muster/election"
	"muster/profile"
	"muster/profile/memory"
)

func TestARestartIsTheSameInstanceAndWritesNothing(t *testing.T) {
	c := seeded(t, 1, "one")
	cfg := c.config("one", t.TempDir())
	writes := &underWay{Store: cfg.Store}
	cfg.Store = writes
	first := run(t, cfg)
	eventually(t, "the slot is held", func() bool { return len(agent.Held(c.Document(), "one")) == 1 })
	eventually(t, "the mirror is written", func() bool { m, err := c.Document().Mirrors(); return err == nil && len(m) == 1 })
	eventually(t, "the last write is answered", func() bool { return writes.Load() == 0 }) // one that is not costs another at the next join
	before := settled(t, first)
	first.end()
	commits := c.commits.Load()

	joined(t, cfg).Close()
	second := run(t, cfg)
	after := settled(t, second)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("status before and after a restart (-before +after):\n%s", diff)
	}
	second.end()
	if got := c.commits.Load(); got != commits {
		t.Errorf("commits of a restart: got %d, want none", got-commits)
	}
}

// underWay is a store that counts the writes that are not answered yet.
type underWay struct {
	profile.Store
	atomic.Int64
}

func (u *underWay) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	u.Add(1)
	defer u.Add(-1)
	return u.Store.Apply(ctx, c)
}

// settled is the agent's status once it leads what it holds.
func settled(t *testing.T, r *running) agent.Status {
	t.Helper()
	var status agent.Status
	eventually(t, "the agent leads what it holds", func() bool {
		var err error
		if status, err = r.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(status.Roles, func(s election.Standing) bool { return s.Why != "" })
	})
	return status
}

func TestSlotsAreKeptWhenTheAgentEnds(t *testing.T) {
	c := seeded(t, 1, "one")
	r := run(t, c.config("one", t.TempDir()))
	eventually(t, "the slot is held", func() bool { return len(agent.Held(c.Document(), "one")) == 1 })
	r.end()
	if got, want := agent.Held(c.Document(), "one"), []string{"leader/1"}; !cmp.Equal(got, want) {
		t.Errorf("slots after the end: got %v, want %v", got, want)
	}
}

func TestOneStateDirectoryServesOneClusterAndMachine(t *testing.T) {
	dir := t.TempDir()
	joined(t, seeded(t, 1, "one", "two").config("one", dir)).Close()
	other := seeded(t, 1, "one", "two")
	for name, change := range map[string]func(*agent.Config){
		"machine": func(c *agent.Config) { c.UUID = "two" },
		"profile": func(c *agent.Config) { c.Profile = "beta" },
	} {
		cfg := other.config("one", dir)
		change(&cfg)
		a, err := agent.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Join(t.Context(), true); !errors.Is(err, agent.ErrState) {
			t.Errorf("join as another %s: got %v, want ErrState", name, err)
		}
		a.Close()
	}
	if got := other.commits.Load(); got != 0 {
		t.Errorf("commits of what was refused: got %d, want none", got)
	}
}

func TestAnAgentOnATakenSocketWritesNothing(t *testing.T) {
	c := seeded(t, 1, "one")
	dir := t.TempDir()
	r := run(t, c.config("one", dir))
	before := c.record(t, "one").Instance
	cfg := c.config("one", dir)
	cfg.StateDir = t.TempDir() // fresh: by joining it would take the record over
	if _, err := agent.Open(cfg); !errors.Is(err, agent.ErrLocked) {
		t.Errorf("open on a taken socket: got %v, want ErrLocked", err)
	}
	if got := c.record(t, "one").Instance; got != before {
		t.Errorf("instance in the record: got %q, want %q", got, before)
	}
	r.end()
	joined(t, cfg) // the state directory was given back
}

func TestAnAgentThatIsNotTheMemberAnyMoreEnds(t *testing.T) {
	c := seeded(t, 0, "one")
	r := run(t, c.config("one", t.TempDir()))
	waited := make(chan error, 1)
	progress := make(chan struct{}, 16)
	go func() { waited <- waitFor(t, r, progress) }()
	receive(t, "the wait has begun", progress)
	usurper := c.config("one", t.TempDir())
	joined(t, usurper)

	if _, err := r.Report(t.Context(), profile.Running); !errors.Is(err, profile.ErrTwin) {
		t.Errorf("report through the displaced agent: got %v, want ErrTwin", err)
	}
	if err := r.wait(); !errors.Is(err, profile.ErrTwin) {
		t.Errorf("Run of the displaced agent: got %v, want ErrTwin", err)
	}
	if err := receive(t, "the wait ends", waited); !errors.Is(err, profile.ErrTwin) {
		t.Errorf("wait through the displaced agent: got %v, want ErrTwin", err)
	}
}

func TestJoiningWithoutPatienceSaysWhatIsMissing(t *testing.T) {
	unseeded := memory.New("alpha", profile.Params{profile.ParamProfile: []byte(`"alpha"`)})
	foreign := memory.New("alpha", profile.Params{profile.ParamProfile: []byte(`"beta"`)})
	away := func(memory.Call) memory.Fault { return memory.Fault{Refuse: profile.ErrUnavailable} }
	c := seeded(t, 1, "one")
	for _, row := range []struct {
		store profile.Store
		want  error
	}{
		{unseeded.Store(nil), profile.ErrNotSeeded},
		{foreign.Store(nil), profile.ErrMalformed},
		{c.Store(away), profile.ErrUnavailable},
	} {
		cfg := c.config("one", t.TempDir())
		cfg.Store = row.store
		a, err := agent.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Join(t.Context(), false); !errors.Is(err, row.want) {
			t.Errorf("join: got %v, want %v", err, row.want)
		}
		a.Close()
	}
}

func TestTheHostNameIsTheNameOfAMemberWithoutOne(t *testing.T) {
	c := seeded(t, 1, "one", "two")
	nameless := c.config("one", t.TempDir())
	nameless.Name = ""
	joined(t, nameless)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got := c.record(t, "one").Name; got != host {
		t.Errorf("name without any: got %q, want the host's %q", got, host)
	}

	watching := c.config("two", t.TempDir())
	watching.Machine = memory.NewMachine(profile.Machine{UUID: "two", Name: "rack-7", Address: "192.0.2.7"})
	joined(t, watching)
	if got := c.record(t, "two"); got.Name != "rack-7" || got.Address != "192.0.2.7" {
		t.Errorf("name and address with a machine token: got %q and %q, want the machine's", got.Name, got.Address)
	}
}

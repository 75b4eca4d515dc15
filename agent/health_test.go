package agent

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/backoff"
	"muster/internal/pulse"
	"muster/profile"
	"muster/profile/memory"
)

// manager is a service manager that keeps what it is told.
type manager struct {
	mu   sync.Mutex
	told []string
}

func (m *manager) notify(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, state)
}

// count counts what begins so.
func (m *manager) count(prefix string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, s := range m.told {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

// sick is a store and a machine store with calls that hang, whatever their
// context says, or fail.
type sick struct {
	profile.Store
	profile.MachineStore
	hang  atomic.Pointer[string] // name of the call
	away  atomic.Bool
	again chan struct{} // closed to let go what hangs
}

func (s *sick) call(name string) error {
	if h := s.hang.Load(); h != nil && *h == name {
		<-s.again
	}
	if s.away.Load() {
		return profile.ErrUnavailable
	}
	return nil
}

// sickStore and sickMachine are the two sides of a sick.
type (
	sickStore   struct{ *sick }
	sickMachine struct{ *sick }
)

func (s sickStore) Read(ctx context.Context) (*profile.Document, error) {
	if err := s.call("Read"); err != nil {
		return nil, err
	}
	return s.Store.Read(ctx)
}

func (s sickStore) ReadParams(ctx context.Context, names ...string) (profile.Params, error) {
	what := "ReadParams"
	if len(names) > 0 && names[0] == profile.ParamMembers {
		what = "ReadParams of records"
	}
	if err := s.call(what); err != nil {
		return nil, err
	}
	return s.Store.ReadParams(ctx, names...)
}

func (s sickStore) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	if err := s.call("Apply"); err != nil {
		return nil, err
	}
	return s.Store.Apply(ctx, c)
}

func (s sickStore) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	if err := s.call("Changed"); err != nil {
		return "", err
	}
	return s.Store.Changed(ctx, since, wait)
}

func (s sickStore) ReadChanged(ctx context.Context, since string, wait time.Duration) (*profile.Document, error) {
	if err := s.call("ReadChanged"); err != nil {
		return nil, err
	}
	return s.Store.ReadChanged(ctx, since, wait)
}

func (s sickMachine) Read(ctx context.Context) (profile.Machine, error) {
	if err := s.call("Machine.Read"); err != nil {
		return profile.Machine{}, err
	}
	return s.MachineStore.Read(ctx)
}

func (s sickMachine) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	return s.MachineStore.Changed(ctx, since, wait)
}

func (s sickMachine) Mark(ctx context.Context, leader bool) error {
	return s.MachineStore.Mark(ctx, leader)
}

// bubbleClock is simulated time.
type bubbleClock struct{ start time.Time }

func (b bubbleClock) Now() time.Duration { return time.Since(b.start) }

func (b bubbleClock) Until(ctx context.Context, moment time.Duration) error {
	return backoff.Sleep(ctx, max(0, moment-b.Now()))
}

// supervised runs an agent without a socket in a bubble, while during works.
func supervised(t *testing.T, during func(a *Agent, p *memory.Profile, s *sick, m *manager)) {
	t.Helper()
	params, err := profile.Seed{Profile: "alpha", Members: []string{"one", "two"}, Leaders: 1}.Params()
	if err != nil {
		t.Fatal(err)
	}
	p := memory.New("alpha", params)
	s := &sick{Store: p.Store(nil), MachineStore: memory.NewMachine(profile.Machine{UUID: "one", Name: "n1", Runnable: true, Workflow: "w"}), again: make(chan struct{})}
	m := &manager{}
	a, err := Open(Config{
		Profile: "alpha", UUID: "one", Store: sickStore{s}, Machine: sickMachine{s}, Version: "1", StateDir: filepath.Join(t.TempDir(), "state"),
		Notify: m.notify, Watchdog: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.clock = bubbleClock{time.Now()}
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := a.Join(ctx, false); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	during(a, p, s, m)
	close(s.again)
	cancel(errDone)
	if err := <-ended; !errors.Is(err, errDone) {
		t.Errorf("Run: %v", err)
	}
	if m.count("STOPPING=1") != 1 {
		t.Errorf("the service manager was not told of the end: %q", m.told)
	}
}

// stir changes the profile, so that everybody looks.
func stir(t *testing.T, p *memory.Profile, set func(*profile.Change)) {
	t.Helper()
	done := false
	_, err := profile.NewOperator(p.Store(nil)).Write(t.Context(), func(*profile.Document) (*profile.Change, error) {
		if done {
			return nil, nil
		}
		done = true
		c := &profile.Change{}
		set(c)
		return c, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheWatchdogIsFedWhileEveryLoopGoesOnAlsoForHoursWithoutTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		supervised(t, func(a *Agent, p *memory.Profile, s *sick, m *manager) {
			for _, away := range []bool{false, true, false} {
				s.away.Store(away)
				if away { // a write is under way all the time
					stir(t, p, func(c *profile.Change) {
						c.Set(profile.At(profile.ParamSlots, profile.Leader, "1", "wanted"), profile.Anybody)
					})
				}
				before := m.count("WATCHDOG=1")
				time.Sleep(5 * time.Hour)
				if fed, want := m.count("WATCHDOG=1")-before, int(5*time.Hour/(10*time.Second)); fed < want-2 || fed > want+2 {
					t.Errorf("away %v: fed %d times in 5 h, want %d; late: %v", away, fed, want, a.live())
				}
			}
			if n := m.count("READY=1"); n != 1 {
				t.Errorf("READY was told %d times", n)
			}
		})
	})
}

func TestALoopThatHangsStarvesTheWatchdogAndIsNamed(t *testing.T) {
	for call, loop := range map[string]string{
		"Changed": "watch: asking", "ReadParams": "watch: asking", "Apply": "election: asking", "Machine.Read": "completion: asking",
		"ReadParams of records": "referee: asking",
	} {
		synctest.Test(t, func(t *testing.T) {
			supervised(t, func(a *Agent, p *memory.Profile, s *sick, m *manager) {
				time.Sleep(time.Minute)
				s.hang.Store(&call)
				if call == "Apply" {
					stir(t, p, func(c *profile.Change) {
						c.Set(profile.At(profile.ParamSlots, profile.Leader, "1", "wanted"), profile.Anybody)
					})
				}
				if call == "ReadParams of records" { // which is worth the while once the own result is in
					s.MachineStore.(*memory.Machine).Set(func(m *profile.Machine) { m.Complete = true })
				}
				time.Sleep(10 * time.Minute)
				fed := m.count("WATCHDOG=1")
				time.Sleep(10 * time.Minute)
				if again := m.count("WATCHDOG=1"); again != fed {
					t.Errorf("%s hangs: the watchdog was fed %d times more", call, again-fed)
				}
				if err := a.live(); err == nil || !strings.Contains(err.Error(), loop) {
					t.Errorf("%s hangs: live: %v, want %q", call, err, loop)
				}
				if m.count("STATUS=member of alpha") == 0 {
					t.Error("the service manager was not told how the agent stands")
				}
			})
		})
	}
}

func TestAnAgentIsReadyOnlyWhileItCanReadTheProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		supervised(t, func(a *Agent, p *memory.Profile, s *sick, m *manager) {
			for range 100 { // idle, with nothing but long polls
				time.Sleep(time.Minute + 7*time.Second)
				if err := a.ready(); err != nil {
					t.Fatal(err)
				}
			}
			s.away.Store(true)
			time.Sleep(readyFor + time.Second)
			if err := a.ready(); !errors.Is(err, profile.ErrUnavailable) || !strings.Contains(err.Error(), "may be 3m0s at most") {
				t.Errorf("ready without the endpoint: %v", err)
			}
			s.away.Store(false)
			time.Sleep(15 * time.Second)
			if err := a.ready(); err != nil {
				t.Errorf("ready with the endpoint back: %v", err)
			}
		})
	})
}

func TestALoopIsLateAfterTheLongestCall(t *testing.T) {
	if most := 2*time.Minute + callMost + pulse.Slack; most > 5*time.Minute {
		t.Errorf("a stuck loop is noticed after %v; docs/operating.md promises 5 minutes", most)
	}
}

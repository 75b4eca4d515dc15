package agent_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"muster/agent"
	"muster/coordinator"
	"muster/internal/leaktest"
	"muster/profile"
	"muster/profile/memory"
)

// waitFor waits through r, and tells of every progress.
func waitFor(t *testing.T, r *running, progress chan<- struct{}) error {
	_, err := r.Wait(t.Context(), agent.Waiting{}, func(coordinator.Outcome) { progress <- struct{}{} })
	return err
}

func report(t *testing.T, l agent.Local, said ...string) {
	t.Helper()
	for _, s := range said {
		if _, err := l.Report(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAWaitThroughTheSocketTellsOfProgress(t *testing.T) {
	c := seeded(t, 1, "one", "two")
	first, second := run(t, c.config("one", t.TempDir())), run(t, c.config("two", t.TempDir()))
	progress := make(chan coordinator.Outcome, 16)
	type end struct {
		outcome coordinator.Outcome
		err     error
	}
	ended := make(chan end, 1)
	go func() {
		o, err := first.Wait(t.Context(), agent.Waiting{}, func(o coordinator.Outcome) { progress <- o })
		ended <- end{o, err}
	}()
	if o := receive(t, "first progress", progress); o.Done != 0 || o.Total != 2 || o.Verdict != "" {
		t.Errorf("first progress: got %+v, want 0 of 2, open", o)
	}
	report(t, first, profile.Running, profile.Complete)
	for o := range progress { // names may come to be known in between
		if o.Done == 1 {
			if want := []string{"name-of-two"}; len(o.Missing) != 1 || o.Missing[0] != want[0] && o.Missing[0] != "two" {
				t.Errorf("missing: got %v, want %v", o.Missing, want)
			}
			break
		}
	}
	report(t, second, profile.Running, profile.Complete)
	got := receive(t, "the wait ends", ended)
	none := []string{}
	want := coordinator.Outcome{
		Barrier: profile.BarrierComplete, Round: 1, RoundID: got.outcome.RoundID, Verdict: profile.VerdictComplete, Done: 2, Total: 2,
		Missing: none, Failed: none, Stopped: none, Waits: []coordinator.Standpoint{}, Late: none, Departed: none, Renewed: none,
	}
	if diff := cmp.Diff(want, got.outcome); got.err != nil || diff != "" {
		t.Errorf("end of the wait: %v (-want +got):\n%s", got.err, diff)
	}
}

func TestAWaiterThatHasGoneIsForgotten(t *testing.T) {
	cfg := seeded(t, 1, "one", "two").config("one", t.TempDir())
	r := run(t, cfg)
	waits := func(n string) bool {
		_, page := get(t, cfg.Socket, "/metrics")
		return strings.Contains(page, "\nmuster_waits "+n+"\n")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	progress, ended := make(chan struct{}, 16), make(chan error, 1)
	go func() {
		_, err := r.Wait(ctx, agent.Waiting{}, func(coordinator.Outcome) { progress <- struct{}{} })
		ended <- err
	}()
	receive(t, "the wait has begun", progress)
	if !waits("1") {
		t.Error("the wait is not counted")
	}
	gone := errors.New("gone")
	cancel(gone)
	if err := receive(t, "the wait ends", ended); !errors.Is(err, gone) {
		t.Errorf("wait that was given up: got %v, want its context's cause", err)
	}
	if left := leaktest.Stacks(func(s string) bool { return strings.Contains(s, ".serveWait(") }); left != "" {
		t.Errorf("the agent still waits for it:\n%s", left)
	}
	eventually(t, "it is not counted any more", func() bool { return waits("0") })
	if _, err := r.Status(t.Context()); err != nil {
		t.Errorf("status after that: %v", err)
	}
}

func TestAWaitEndsWithTheAgent(t *testing.T) {
	c := seeded(t, 1, "one", "two")
	r := run(t, c.config("one", t.TempDir()))
	progress, ended := make(chan struct{}, 16), make(chan error, 1)
	go func() { ended <- waitFor(t, r, progress) }()
	receive(t, "the wait has begun", progress)
	r.end()
	err := receive(t, "the wait ends", ended)
	if !errors.Is(err, agent.ErrStopping) || !strings.Contains(err.Error(), "start it and wait again") {
		t.Errorf("wait through an agent that ends: got %v, want ErrStopping and what to do", err)
	}
}

func TestOnlyItsOwnTimeoutEndsAWait(t *testing.T) {
	c := seeded(t, 1, "one", "two")
	r := run(t, c.config("one", t.TempDir()))
	if _, err := r.Wait(t.Context(), agent.Waiting{Timeout: time.Millisecond}, nil); !errors.Is(err, coordinator.ErrTimeout) {
		t.Errorf("wait with a time-out: got %v, want ErrTimeout", err)
	}
	if b, _, err := c.Document().Barrier(profile.BarrierComplete, 1); err != nil || b.Verdict != "" {
		t.Errorf("verdict after that: got %q and %v, want none", b.Verdict, err)
	}
}

func TestAnExpectedMemberInAJobCannotWaitForItself(t *testing.T) {
	c := seeded(t, 1, "one")
	r := run(t, c.config("one", t.TempDir()))
	if _, err := r.Wait(t.Context(), agent.Waiting{InJob: true}, nil); !errors.Is(err, coordinator.ErrSelfWait) {
		t.Errorf("wait in a job of a member: got %v, want ErrSelfWait", err)
	}
	for uuid, want := range map[string]error{"one": coordinator.ErrSelfWait, "manager": errEnough} {
		ctx, cancel := context.WithCancelCause(t.Context())
		begun := func(coordinator.Outcome) { cancel(errEnough) }
		_, err := agent.Observer{Store: c.Store(nil), UUID: uuid, Logger: hclog.NewNullLogger()}.Wait(ctx, agent.Waiting{InJob: true}, begun)
		if !errors.Is(err, want) {
			t.Errorf("observer in a job of %s: got %v, want %v", uuid, err, want)
		}
		cancel(nil)
	}
}

func TestACommandIsTheMemberForItsTime(t *testing.T) {
	c := seeded(t, 1, "one")
	a := joined(t, c.config("one", t.TempDir()))
	var outcome coordinator.Outcome
	err := a.Do(t.Context(), func(ctx context.Context) (err error) {
		report(t, a, profile.Running, profile.Complete)
		outcome, err = a.Wait(ctx, agent.Waiting{}, nil)
		return err
	})
	if err != nil || outcome.Verdict != profile.VerdictComplete {
		t.Errorf("wait as the member: got %+v and %v, want complete", outcome, err)
	}
	if got := agent.Held(c.Document(), "one"); len(got) != 0 {
		t.Errorf("slots claimed by a command: got %v, want none", got)
	}
}

func TestACommandThatIsToldToEndSaysItsOwnResult(t *testing.T) {
	c := seeded(t, 1, "one")
	a := joined(t, c.config("one", t.TempDir()))
	own := errors.New("exit 143")
	for _, want := range []error{nil, own} {
		ctx, cancel := context.WithCancelCause(t.Context())
		got := a.Do(ctx, func(ctx context.Context) error {
			cancel(errEnough)
			<-ctx.Done()
			return want
		})
		if got != want {
			t.Errorf("Do that is told to end: got %v, want %v", got, want)
		}
	}
}

func TestAGateOnARoleOpensOnceASelfSeededClusterIsFull(t *testing.T) {
	params, err := profile.Seed{Profile: "alpha", Expect: 2, Leaders: 1}.Params()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Profile: memory.New("alpha", params)}
	one := run(t, c.config("one", t.TempDir()))
	eventually(t, "one holds the slot", func() bool {
		slots, err := c.Document().Slots()
		return err == nil && slots[profile.Leader]["1"].Holder == "one"
	})
	said, ended := make(chan string, 16), make(chan error, 1)
	go func() {
		passed, err := one.Pass(t.Context(), agent.Passing{Passage: coordinator.Passage{Role: profile.Leader}}, func(s string) { said <- s })
		if err == nil && !passed.Has {
			err = errEnough
		}
		ended <- err
	}()
	receive(t, "it says what it waits for", said)
	run(t, c.config("two", t.TempDir()))
	if err := receive(t, "the gate opens", ended); err != nil {
		t.Errorf("Pass: %v", err)
	}
}

// slowMachine is the store of a machine whose first answer takes its time.
type slowMachine struct {
	*memory.Machine
	took sync.Once
}

func (m *slowMachine) Read(ctx context.Context) (profile.Machine, error) {
	m.took.Do(func() { time.Sleep(time.Second) })
	return m.Machine.Read(ctx)
}

func TestAManagerThatStopsOnceItsWaitWasSeenToBeginEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := seeded(t, 1, "one")
		machine := &slowMachine{Machine: memory.NewMachine(profile.Machine{UUID: "manager", Manager: true, Runnable: true})}
		o := agent.Observer{Store: c.Store(nil), UUID: "manager", Machine: machine, Logger: hclog.NewNullLogger()}
		stop := sync.OnceFunc(func() { machine.Set(func(m *profile.Machine) { m.Runnable = false }) })
		_, err := o.Wait(t.Context(), agent.Waiting{Timeout: time.Hour}, func(coordinator.Outcome) { stop() })
		if !errors.Is(err, coordinator.ErrBrokenOut) {
			t.Errorf("got %v, want %v", err, coordinator.ErrBrokenOut)
		}
	})
}

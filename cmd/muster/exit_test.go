package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"muster/agent"
	"muster/config"
	"muster/coordinator"
	"muster/election"
	"muster/install"
	"muster/profile"
	"muster/profile/memory"
	"muster/rootstep"
	"muster/steps"
)

func TestExitCodesAreNeverRenumbered(t *testing.T) {
	want := map[int][]error{
		2: {
			errUsage, config.ErrInvalid, install.ErrInvalid, steps.ErrInvalid, rootstep.ErrHelper, agent.ErrUsage, election.ErrNoSlot, agent.ErrLocked, agent.ErrState, coordinator.ErrUsage, coordinator.ErrSelfWait,
			profile.ErrTwin, profile.ErrForgotten, profile.ErrNotSeeded, profile.ErrMalformed, profile.ErrNotFound, profile.ErrInvalid, profile.ErrNoSuch, profile.ErrCriteria,
		},
		3:  {coordinator.ErrTimeout, coordinator.ErrExpired, context.DeadlineExceeded},
		4:  {profile.ErrNotNow, profile.ErrOpenRound, profile.ErrLost, profile.ErrConflict},
		5:  {profile.ErrUnavailable, profile.ErrUnknownOutcome, agent.ErrStopping},
		6:  {profile.ErrRefused},
		7:  {coordinator.ErrBrokenOut},
		8:  {coordinator.ErrPeerFailed},
		9:  {errSlotLost},
		10: {coordinator.ErrSuperseded},
	}
	listed := 0
	for code, sentinels := range want {
		listed += len(sentinels)
		for _, err := range sentinels {
			if got := exitCode(fmt.Errorf("doing something: %w", err)); got != code {
				t.Errorf("exit code of %q: got %d, want %d", err, got, code)
			}
		}
	}
	if listed != len(codes) {
		t.Errorf("the table has %d rows, this test knows %d: every sentinel needs its code here", len(codes), listed)
	}
	if got := exitCode(fmt.Errorf("%w; before that: %w", profile.ErrLost, profile.ErrUnknownOutcome)); got != exitUnreachable {
		t.Errorf("exit code of what lost, and may have landed before: got %d, want %d", got, exitUnreachable)
	}
	for err, code := range map[error]int{nil: 0, errors.New("anything else"): 1, agent.ErrStepUnknown: 1, childExit(77): 77} {
		if got := exitCode(err); got != code {
			t.Errorf("exit code of %v: got %d, want %d", err, got, code)
		}
	}
}

func TestOnlyTheEndThatWasAskedForIsSuccessOfTheAgent(t *testing.T) {
	asked, stop := context.WithCancelCause(t.Context())
	signal := errors.New("terminated signal received")
	stop(signal)
	for _, err := range []error{nil, signal, context.Canceled, profile.ErrUnavailable, profile.ErrUnknownOutcome} {
		if err != nil {
			err = fmt.Errorf("doing something: %w", err)
		}
		if got := stopped(asked, err); got != nil {
			t.Errorf("ended by a signal with %v: got %v, want success", err, got)
		}
		if got := stopped(t.Context(), err); got != err {
			t.Errorf("ended unasked with %v: got %v, want it", err, got)
		}
	}
	for _, err := range []error{profile.ErrTwin, agent.ErrState} {
		if got := stopped(asked, err); got != err {
			t.Errorf("ended by a signal with %v: got %v, want it", err, got)
		}
	}
}

// faulty is a store whose Read returns an error of the test's choice.
type faulty struct {
	profile.Store
	err atomic.Pointer[error]
}

func (f *faulty) Read(ctx context.Context) (*profile.Document, error) {
	if err := f.err.Load(); err != nil {
		return nil, *err
	}
	return f.Store.Read(ctx)
}

func TestAnErrorHasTheSameExitCodeThroughTheSocket(t *testing.T) {
	store := &faulty{}
	client := serveAgent(t, store)
	local := []error{errUsage, errSlotLost, config.ErrInvalid, install.ErrInvalid, steps.ErrInvalid, rootstep.ErrHelper} // of the command itself, never of an agent
	for _, first := range codes {
		for _, second := range codes {
			if slices.Contains(local, first.err) || slices.Contains(local, second.err) {
				continue
			}
			err := fmt.Errorf("%w, and %w", first.err, second.err)
			store.err.Store(&err)
			_, got := client.Read(t.Context())
			if got == nil || got.Error() != err.Error() || exitCode(got) != exitCode(err) {
				t.Errorf("through the socket: got %v with exit code %d, want %v with %d", got, exitCode(got), err, exitCode(err))
			}
		}
	}
}

// serveAgent runs an agent over store until the test ends.
func serveAgent(t *testing.T, store *faulty) *agent.Client {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOST_SYS", dir)
	t.Setenv("HOST_ETC", dir)
	if err := os.WriteFile(filepath.Join(dir, "machine-id"), []byte("00112233445566778899aabbccddeeff\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	params, err := profile.Seed{Profile: "alpha", Members: []string{"one"}, Leaders: 1}.Params()
	if err != nil {
		t.Fatal(err)
	}
	store.Store = memory.New("alpha", params).Store(nil)
	socket := filepath.Join(dir, "sock")
	a, err := agent.Open(agent.Config{Profile: "alpha", UUID: "one", Name: "n1", Store: store, StateDir: filepath.Join(dir, "state"), Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Join(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: got %v, want its context's end", err)
		}
		a.Close()
	})
	for {
		client, err := agent.Dial(socket)
		if err == nil {
			return client
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the agent ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}

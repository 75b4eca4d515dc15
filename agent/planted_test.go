package agent

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
	"muster/profile/memory"
	"muster/steps"
)

func TestStepsRunOnceWhatIsInTheirWayIsGone(t *testing.T) {
	for name, row := range map[string]struct {
		param, wrong string
		mend         func(*profile.Change)
	}{
		"the workflows are malformed": {profile.ParamWorkflows, `["w"]`, func(c *profile.Change) {
			c.Set(profile.At(profile.ParamWorkflows), map[string]string{})
		}},
		"a workflow is of a role that the cluster does not have": {profile.ParamWorkflows, `{"front":"w"}`, func(c *profile.Change) {
			c.Remove(profile.At(profile.ParamWorkflows, "front"))
		}},
		"waits are broken, and a workflow that is not allowed is of a role of others": {profile.ParamEscape, `1`, func(c *profile.Change) {
			c.Remove(profile.At(profile.ParamEscape))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				params, err := profile.Seed{Profile: "alpha", Members: []string{"one"}, Leaders: 1, Workflows: map[string]string{profile.Worker: "w"}}.Params()
				if err != nil {
					t.Fatal(err)
				}
				params[row.param] = json.RawMessage(row.wrong)
				p := memory.New("alpha", params)
				var mu sync.Mutex
				var ran []string
				stop := runsSteps(t, p, func(_ context.Context, s steps.Step, _ profile.Round) error {
					mu.Lock()
					defer mu.Unlock()
					ran = append(ran, s.Name)
					return nil
				})
				defer stop()
				names := func() []string {
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(ran)
				}
				time.Sleep(time.Hour)
				if got := names(); len(got) > 0 {
					t.Errorf("before it was mended ran %q", got)
				}
				c := &profile.Change{}
				row.mend(c)
				if _, err := p.Store(nil).Apply(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Minute)
				if got := names(); !slices.Equal(got, []string{"own"}) {
					t.Errorf("once it was mended ran %q, want the host's own step", got)
				}
			})
		})
	}
}

// runsSteps runs an agent without a socket in a bubble, on a host with the step own.
// What it returns ends the agent.
func runsSteps(t *testing.T, p *memory.Profile, run RunStep) (stop func()) {
	t.Helper()
	a, err := Open(Config{
		Profile: "alpha", UUID: "one", Name: "n1", Store: p.Store(nil), Version: "1", StateDir: filepath.Join(t.TempDir(), "state"),
		Steps: []steps.Step{{Name: "own", Role: profile.Leader}}, RunStep: run,
	})
	if err != nil {
		t.Fatal(err)
	}
	a.clock = bubbleClock{time.Now()}
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := a.Join(ctx, false); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	return func() {
		cancel(errDone)
		if err := <-ended; !errors.Is(err, errDone) {
			t.Errorf("Run: %v", err)
		}
		a.Close()
	}
}

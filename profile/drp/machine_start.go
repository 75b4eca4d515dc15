package drp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"muster/internal/backoff"
	"muster/profile"
)

// Start starts a workflow on the machine, from its beginning. It does so once,
// whatever answers are lost, and outlives an endpoint that is away until ctx ends.
// ErrNotNow: the machine runs a workflow. ErrConflict: somebody else has just
// given it another. ErrUnknownOutcome: it may have been started; with any other
// error it was not.
func (m *Machine) Start(ctx context.Context, workflow string) error {
	now, err := m.look(ctx)
	if err != nil {
		return err
	}
	if !now.Idle() {
		return fmt.Errorf("%w: machine %s is not done with workflow %s", profile.ErrNotNow, m.uuid, now.Workflow)
	}
	if now.Workflow == workflow { // set again to the same it would not begin anew
		if now, err = m.move(ctx, now, ""); err != nil {
			return err
		}
	}
	_, err = m.move(ctx, now, workflow)
	return err
}

// move sets the workflow of the machine as long as that, and the position in it,
// are those of now. Sent again after an answer was lost it cannot take effect
// twice.
func (m *Machine) move(ctx context.Context, now profile.Machine, to string) (profile.Machine, error) {
	patch := []map[string]any{
		{"op": "test", "path": "/Workflow", "value": now.Workflow},
		{"op": "test", "path": "/CurrentTask", "value": now.Task},
		{"op": "replace", "path": "/Workflow", "value": to},
	}
	retry := backoff.New(startPause, startPauseMost, rand.Float64)
	for lost := false; ; {
		var raw json.RawMessage
		_, err := m.client.do(ctx, request{method: http.MethodPatch, path: []string{"machines", m.uuid}, body: patch, auth: m.auth}, &raw)
		switch {
		case err == nil:
			is, err := decodeMachine(raw)
			if err != nil {
				err = m.maybe(to, err)
			}
			return is, err
		case errors.Is(err, profile.ErrUnknownOutcome):
			lost = true
		case lost && errors.Is(err, profile.ErrConflict):
			if is, err := m.look(ctx); err == nil && is.Workflow == to {
				return is, nil // by the one whose answer was lost
			}
			return profile.Machine{}, m.maybe(to, err)
		case lost && !errors.Is(err, profile.ErrUnavailable): // which is said of the later request alone
			return profile.Machine{}, m.maybe(to, err)
		case !errors.Is(err, profile.ErrUnavailable):
			return profile.Machine{}, err
		}
		if backoff.Sleep(ctx, retry.Next()) != nil {
			if lost {
				err = m.maybe(to, err)
			}
			return profile.Machine{}, err
		}
	}
}

// maybe is ErrUnknownOutcome, because of err.
func (m *Machine) maybe(to string, err error) error {
	return fmt.Errorf("%w: workflow %q of machine %s may have been set (%w)", profile.ErrUnknownOutcome, to, m.uuid, err)
}

// look reads the machine as soon as the endpoint is there.
func (m *Machine) look(ctx context.Context) (profile.Machine, error) {
	retry := backoff.New(startPause, startPauseMost, rand.Float64)
	for {
		now, err := m.Read(ctx)
		if !errors.Is(err, profile.ErrUnavailable) {
			return now, err
		}
		if backoff.Sleep(ctx, retry.Next()) != nil {
			return now, err
		}
	}
}

// startPause and startPauseMost are how long an endpoint that is away is left
// alone.
const (
	startPause     = 200 * time.Millisecond
	startPauseMost = 5 * time.Second
)

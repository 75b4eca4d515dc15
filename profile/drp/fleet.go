package drp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"muster/internal/backoff"
	"muster/profile"
)

// Fleet changes machines with a user's credentials. Each change is one patch that
// tests what it was decided on. It is safe for concurrent use.
type Fleet struct {
	Client *Client
	Auth   Auth
	// Show, if it is set, gets each patch in the place of the endpoint.
	Show func(m Listed, patch json.RawMessage) error
}

// fleetTries bounds how often a change of a machine is decided again.
const fleetTries = 20

// Clusters returns of every profile, by name, the cluster that it says it is of:
// "" where it says none. A token that may not list profiles gets an empty list.
func (f Fleet) Clusters(ctx context.Context) (map[string]string, error) {
	var found []struct {
		Name   string
		Params map[string]any
	}
	query := url.Values{"slim": {"Meta"}, "params": {profile.ParamProfile}}
	if _, err := f.Client.do(ctx, request{method: http.MethodGet, path: []string{"profiles"}, query: query, auth: f.Auth}, &found); err != nil {
		return nil, err
	}
	clusters := map[string]string{}
	for _, p := range found {
		clusters[p.Name], _ = p.Params[profile.ParamProfile].(string)
	}
	return clusters, nil
}

// Free returns ErrNotNow if m carries a profile of another cluster than this one:
// a host is of one cluster.
func (m Listed) Free(cluster string, clusters map[string]string) error {
	for _, name := range m.Profiles {
		if of := clusters[name]; name != cluster && of != "" && of != cluster {
			return fmt.Errorf("%w: machine %s (%s) carries profile %s, which is of cluster %s; take that off the machine first, or leave the machine out of the filter", profile.ErrNotNow, m.Name, m.UUID, name, of)
		}
	}
	return nil
}

// Attach has the machine carry the profile of the cluster, behind those that it
// carries, and reports whether it did not before. ErrNotNow: see Free.
func (f Fleet) Attach(ctx context.Context, m Listed, cluster string, clusters map[string]string) (bool, error) {
	return f.change(ctx, m, func(m Listed) ([]map[string]any, error) {
		if slices.Contains(m.Profiles, cluster) {
			return nil, nil
		}
		if err := m.Free(cluster, clusters); err != nil {
			return nil, err
		}
		return []map[string]any{
			{"op": "test", "path": "/Profiles", "value": m.seen.Profiles},
			{"op": "add", "path": "/Profiles/-", "value": cluster},
		}, nil
	})
}

// Detach takes the profile of the cluster off the machine, and reports whether
// it was there.
func (f Fleet) Detach(ctx context.Context, m Listed, cluster string) (bool, error) {
	return f.change(ctx, m, func(m Listed) ([]map[string]any, error) {
		i := slices.Index(m.Profiles, cluster)
		if i < 0 {
			return nil, nil
		}
		at := "/Profiles/" + strconv.Itoa(i)
		return []map[string]any{{"op": "test", "path": at, "value": cluster}, {"op": "remove", "path": at}}, nil
	})
}

// Manage marks the machine as the cluster manager, and reports whether it was
// not. ErrNotNow: it is marked as none. Absence cannot be tested (wire contract,
// fact 2): the last word of two at the same moment counts.
func (f Fleet) Manage(ctx context.Context, uuid string) (bool, error) {
	m, err := f.read(ctx, uuid)
	if err != nil {
		return false, err
	}
	return f.change(ctx, m, func(m Listed) ([]map[string]any, error) {
		switch said, there := m.seen.Params[paramManager]; {
		case m.Manager:
			return nil, nil
		case there && said != nil:
			return nil, fmt.Errorf("%w: param %s of machine %s (%s) is %v: run this on the manager, or set it to true", profile.ErrNotNow, paramManager, m.Name, m.UUID, said)
		}
		return []map[string]any{{"op": "add", "path": "/Params/cluster~1manager", "value": true}}, nil
	})
}

// change sends the patch that plan makes of m, or of the machine as it is by then
// if it changed meanwhile or the answer is lost. No patch is no change.
func (f Fleet) change(ctx context.Context, m Listed, plan func(Listed) ([]map[string]any, error)) (bool, error) {
	wait := backoff.New(20*time.Millisecond, time.Second, mathrand.Float64)
	sent := false
	for try := 1; ; try++ {
		patch, err := plan(m)
		if err != nil || patch == nil {
			return sent && err == nil, err
		}
		if f.Show != nil {
			raw, err := json.Marshal(patch)
			if err != nil {
				return false, err
			}
			return true, f.Show(m, raw)
		}
		_, err = f.Client.do(ctx, request{method: http.MethodPatch, path: []string{"machines", m.UUID}, body: patch, auth: f.Auth}, nil)
		sent = sent || errors.Is(err, profile.ErrUnknownOutcome)
		switch {
		case err == nil:
			return true, nil
		case !errors.Is(err, profile.ErrConflict) && !errors.Is(err, profile.ErrUnknownOutcome), try == fleetTries:
			return false, fmt.Errorf("machine %s: %w", m.Name, err)
		}
		if backoff.Sleep(ctx, wait.Next()) != nil {
			return false, fmt.Errorf("machine %s: %w", m.Name, err)
		}
		if m, err = f.read(ctx, m.UUID); err != nil {
			return false, err
		}
	}
}

func (f Fleet) read(ctx context.Context, uuid string) (Listed, error) {
	var found listed
	if _, err := f.Client.do(ctx, request{method: http.MethodGet, path: []string{"machines", uuid}, auth: f.Auth}, &found); err != nil {
		return Listed{}, err
	}
	return found.machine()
}

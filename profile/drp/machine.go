package drp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/profile"
)

// Machine is one's own machine at the endpoint. It implements
// profile.MachineStore.
type Machine struct {
	client *Client
	uuid   string
	auth   Auth
}

var _ profile.MachineStore = (*Machine)(nil)

// Machine returns the machine of this UUID, reached with auth. It sends nothing.
func (c *Client) Machine(uuid string, auth Auth) *Machine {
	return &Machine{client: c, uuid: uuid, auth: auth}
}

// Read implements profile.MachineStore: one GET, and a second of the current
// job where the endpoint's machines do not tell the state of a job.
func (m *Machine) Read(ctx context.Context) (profile.Machine, error) {
	var raw json.RawMessage
	resp, err := m.client.do(ctx, request{method: http.MethodGet, path: []string{"machines", m.uuid}, auth: m.auth}, &raw)
	if err != nil {
		return profile.Machine{}, err
	}
	machine, err := decodeMachine(raw)
	if err != nil {
		return profile.Machine{}, err
	}
	machine.Version = resp.Header.Get("ETag")
	if machine.JobState == "" && machine.Job != "" && !machine.Runnable {
		var job models.Job
		if _, err := m.client.do(ctx, request{method: http.MethodGet, path: []string{"jobs", machine.Job}, auth: m.auth}, &job); err == nil {
			machine.JobState = job.State
		} // an unreadable job leaves the machine stopped, neither failed nor complete
	}
	return machine, nil
}

// Changed implements profile.MachineStore.
func (m *Machine) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	return m.client.changed(ctx, []string{"machines", m.uuid}, m.auth, since, wait)
}

// NewToken makes another token of the machine, good for life (whole seconds),
// which the endpoint has taken once. ErrNotFound: the endpoint makes none, as
// DRP 3.13 (wire contract, section 1), or there is no such machine.
func (m *Machine) NewToken(ctx context.Context, life time.Duration) (string, error) {
	var answer models.UserToken
	resp, err := m.client.do(ctx, request{
		method: http.MethodGet, path: []string{"machines", m.uuid, "token"},
		query: url.Values{"ttl": {strconv.Itoa(int(life / time.Second))}}, auth: m.auth,
	}, &answer)
	if err != nil {
		if resp != nil && resp.StatusCode == http.StatusNotFound && !errors.Is(err, profile.ErrNotFound) { // a server's page on a route that it has not
			err = fmt.Errorf("%w: the endpoint has no such route", profile.ErrNotFound)
		}
		return "", err
	}
	// A token that the endpoint does not take would be worth less than the old one.
	if _, err := m.client.do(ctx, request{method: http.MethodGet, path: []string{"machines", m.uuid}, auth: Token(answer.Token)}, nil); err != nil {
		return "", fmt.Errorf("try the new token: %w", err)
	}
	return answer.Token, nil
}

// Mark implements profile.MachineStore: one GET and one PATCH.
func (m *Machine) Mark(ctx context.Context, leader bool) error {
	var now struct{ Meta map[string]string }
	if _, err := m.client.do(ctx, request{method: http.MethodGet, path: []string{"machines", m.uuid}, auth: m.auth}, &now); err != nil {
		return err
	}
	patch := []map[string]any{{"op": "add", "path": "/Params/cluster~1leader", "value": leader}}
	set := func(key, value string) {
		patch = append(patch, map[string]any{"op": "add", "path": "/Meta/" + key, "value": value})
	}
	switch icon := now.Meta["icon"]; {
	case leader && icon != profile.LeaderIcon:
		set(profile.KeptIconMeta, icon)
		set("icon", profile.LeaderIcon)
	case !leader && icon == profile.LeaderIcon:
		set("icon", now.Meta[profile.KeptIconMeta])
	}
	_, err := m.client.do(ctx, request{method: http.MethodPatch, path: []string{"machines", m.uuid}, body: patch, auth: m.auth}, nil)
	return err
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/uuid"
	"gitlab.com/rackn/provision/v4/models"

	"muster/profile"
)

// MachineState is what people want to know of a machine.
type MachineState struct {
	Name     string   `json:"name"`
	UUID     string   `json:"uuid"`
	Workflow string   `json:"workflow"`
	Task     int      `json:"task"` // tasks that are done
	Tasks    int      `json:"tasks"`
	State    string   `json:"state"` // idle, running, complete, failed, stopped or removed
	Profiles []string `json:"profiles"`
}

// stateOf tells the state also on 3.13, which has no WorkflowComplete and no JobState.
func stateOf(m *models.Machine) MachineState {
	s := MachineState{
		Name: m.Name, UUID: m.Key(), Workflow: m.Workflow, Task: max(m.CurrentTask, 0), Tasks: len(m.Tasks),
		State: "running", Profiles: m.Profiles,
	}
	switch {
	case len(m.Tasks) == 0:
		s.State = "idle"
	case complete(m):
		s.State = "complete"
	case m.JobState == models.JOB_FAILED:
		s.State = "failed"
	case !m.Runnable:
		s.State = "stopped"
	}
	return s
}

func complete(m *models.Machine) bool { return m.CurrentTask >= len(m.Tasks) }

// AddMachine makes a machine. workflow may be empty.
func (o *Operator) AddMachine(ctx context.Context, name, workflow string, profiles []string, params map[string]any) (MachineState, error) {
	m := &models.Machine{}
	m.Fill()
	m.Name, m.Workflow, m.Profiles = name, workflow, profiles
	m.SetParams(params)
	_, err := o.do(ctx, http.MethodPost, "machines", m, m)
	if err != nil {
		err = fmt.Errorf("machine %s: %w", name, err)
	}
	return stateOf(m), err
}

// Machines lists all machines.
func (o *Operator) Machines(ctx context.Context) ([]MachineState, error) {
	var list []*models.Machine
	if _, err := o.do(ctx, http.MethodGet, "machines?sort=Name&slim=Params,Meta", nil, &list); err != nil {
		return nil, err
	}
	states := make([]MachineState, len(list))
	for i, m := range list {
		states[i] = stateOf(m)
	}
	return states, nil
}

// RemoveMachine deletes the machine with this UUID or name.
func (o *Operator) RemoveMachine(ctx context.Context, machine string) (MachineState, error) {
	m, err := o.machine(ctx, machine)
	if err != nil {
		return MachineState{}, err
	}
	if _, err := o.do(ctx, http.MethodDelete, "machines/"+m.Key(), nil, nil); err != nil {
		return stateOf(m), fmt.Errorf("machine %s: %w", m.Name, err)
	}
	s := stateOf(m)
	s.State = "removed"
	return s, nil
}

// EnsureProfile makes a profile unless it is there. What it makes is fit for a
// cluster: the param cluster/profile names the profile, as DRP's own
// cluster-initialize sets it.
func (o *Operator) EnsureProfile(ctx context.Context, name string) (made bool, err error) {
	p := &models.Profile{Name: name}
	p.Fill()
	p.SetParams(map[string]any{profile.ParamProfile: name})
	return o.ensure(ctx, p)
}

// RemoveProfile deletes a profile that no machine carries.
func (o *Operator) RemoveProfile(ctx context.Context, name string) error {
	_, err := o.do(ctx, http.MethodDelete, "profiles/"+url.PathEscape(name), nil, nil)
	return err
}

// ensure makes an object unless one with its key is there.
func (o *Operator) ensure(ctx context.Context, m models.Model) (made bool, err error) {
	what := m.Prefix() + "/" + url.PathEscape(m.Key())
	switch status, err := o.do(ctx, http.MethodGet, what, nil, nil); {
	case err == nil:
		return false, nil
	case status != http.StatusNotFound:
		return false, err
	}
	if _, err := o.do(ctx, http.MethodPost, m.Prefix(), m, nil); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	return true, nil
}

// machine reads the machine with this UUID or name.
func (o *Operator) machine(ctx context.Context, machine string) (*models.Machine, error) {
	key := url.PathEscape(machine)
	if uuid.Validate(machine) != nil {
		key = "Name:" + key
	}
	m := &models.Machine{}
	if status, err := o.do(ctx, http.MethodGet, "machines/"+key, nil, m); status == http.StatusNotFound {
		return nil, fmt.Errorf("machine %s: there is none with this name or UUID", machine)
	} else if err != nil {
		return nil, fmt.Errorf("machine %s: %w", machine, err)
	}
	if m.Key() == "" {
		return nil, errors.New("the endpoint answers with a machine that has no UUID")
	}
	return m, nil
}

// patchMachine changes a machine, and brings m up to date.
func (o *Operator) patchMachine(ctx context.Context, m *models.Machine, patch ...op) error {
	next := &models.Machine{}
	if _, err := o.do(ctx, http.MethodPatch, "machines/"+m.Key(), patch, next); err != nil {
		return fmt.Errorf("machine %s: %w", m.Name, err)
	}
	*m = *next
	return nil
}

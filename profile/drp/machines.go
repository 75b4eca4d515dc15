package drp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/pborman/uuid"
	"gitlab.com/rackn/provision/v4/models"

	"muster/profile"
)

// Listed is a machine as the cluster manager lists it.
type Listed struct {
	UUID, Name string
	Manager    bool // carries cluster/manager: true
	Profiles   []string

	seen listed
}

// listed is what of a machine is looked at, as the endpoint says it.
type listed struct {
	Uuid, Name string
	Profiles   json.RawMessage
	Params     map[string]any
	Meta       map[string]string
}

func (l listed) machine() (Listed, error) {
	m := Listed{UUID: l.Uuid, Name: l.Name, seen: l}
	m.Manager, _ = l.Params[paramManager].(bool)
	if err := json.Unmarshal(l.Profiles, &m.Profiles); err != nil || m.UUID == "" {
		return m, fmt.Errorf("%w: the answer is no DRP machine: it has no Uuid, or no Profiles", profile.ErrUnavailable)
	}
	return m, nil
}

// paramManager marks the machine that seeds the cluster.
const paramManager = "cluster/manager"

// Machines lists the machines that a filter selects, with a user's credentials.
// Clusters and resource brokers, which DRP keeps among the machines, are none
// (wire contract, section 4).
// A machine or profile token gets an empty list from DRP, without an error
// (wire contract, fact 3): never read that as "none".
func (c *Client) Machines(ctx context.Context, filter url.Values, auth Auth) ([]Listed, error) {
	query := url.Values{"params": {paramManager}}
	for k, v := range filter {
		query[k] = v
	}
	var found []listed
	if _, err := c.do(ctx, request{method: http.MethodGet, path: []string{"machines"}, query: query, auth: auth}, &found); err != nil {
		return nil, err
	}
	machines := []Listed{}
	for _, l := range found {
		if role := l.Meta["machine-role"]; role != "" && role != "machine" {
			continue
		}
		m, err := l.machine()
		if err != nil {
			return nil, err
		}
		machines = append(machines, m)
	}
	return machines, nil
}

// Filter turns drpcli filter words into the query of a list. The only variable
// is $CLUSTER_PROFILE, which stands for the profile's name. Words are pairs
// A=B or triples NAME OPERATOR VALUE.
func Filter(words, cluster string) (url.Values, error) {
	invalid := func(format string, args ...any) (url.Values, error) {
		return nil, fmt.Errorf("%w: filter %q: %s", profile.ErrInvalid, words, fmt.Sprintf(format, args...))
	}
	fields := strings.Fields(words)
	for i, w := range fields {
		w = variable.ReplaceAllLiteralString(w, "")
		if strings.Contains(w, "$") {
			return invalid("$CLUSTER_PROFILE is the only variable that is expanded")
		}
		fields[i] = variable.ReplaceAllLiteralString(fields[i], cluster)
	}
	values := url.Values{}
	for len(fields) > 0 {
		key, value, pair := strings.Cut(fields[0], "=")
		if !pair && (len(fields) < 3 || !operators[fields[1]]) {
			return invalid("expected NAME OPERATOR VALUE (operators Eq Ne Lt Lte Gt Gte Re In Nin Between Except) or NAME=VALUE, found %q", strings.Join(fields[:min(3, len(fields))], " "))
		}
		if key == "" || options[key] {
			return invalid("%q is no property of a machine", key)
		}
		if pair {
			values.Add(key, value)
			fields = fields[1:]
			continue
		}
		if single := fields[1] == "Eq" || fields[1] == "Ne"; single && strings.ContainsAny(fields[2], "(),") {
			return invalid("DRP cannot compare with %q: a value may not hold ( ) or ,", fields[2])
		}
		values.Add(key, fields[1]+"("+fields[2]+")")
		fields = fields[3:]
	}
	if len(values) == 0 {
		return invalid("it is empty: it would select every machine")
	}
	return values, nil
}

// variable is what Filter expands; \b keeps off the start of a longer name.
var variable = regexp.MustCompile(`\$CLUSTER_PROFILE\b|\$\{CLUSTER_PROFILE\}`)

// options change what a list holds of the machines that are selected: with one
// of them in a filter members would be missing, or the manager be one.
var options = map[string]bool{
	"limit": true, "offset": true, "slim": true, "params": true, "range-only": true, "group-by": true, "raw": true,
}

var operators = map[string]bool{
	"Eq": true, "Ne": true, "Lt": true, "Lte": true, "Gt": true, "Gte": true,
	"Re": true, "In": true, "Nin": true, "Between": true, "Except": true,
}

// decodeMachine reads a machine of either kind of endpoint: old ones have no
// WorkflowComplete and no JobState.
func decodeMachine(raw json.RawMessage) (profile.Machine, error) {
	var m models.Machine
	if err := json.Unmarshal(raw, &m); err != nil {
		return profile.Machine{}, fmt.Errorf("%w: the answer is no DRP machine (%v)", profile.ErrUnavailable, err)
	}
	if m.Key() == "" {
		return profile.Machine{}, fmt.Errorf("%w: the answer is no DRP machine: it has no Uuid", profile.ErrUnavailable)
	}
	var has struct{ WorkflowComplete *bool }
	if err := json.Unmarshal(raw, &has); err != nil {
		return profile.Machine{}, fmt.Errorf("%w: the answer is no DRP machine (%v)", profile.ErrUnavailable, err)
	}
	complete := m.WorkflowComplete && m.Workflow != "" // it is true also where nothing was to be done
	if has.WorkflowComplete == nil {
		complete = m.Workflow != "" && m.CurrentTask >= len(m.Tasks) && len(m.Tasks) > 0
	}
	leader, _ := m.Params["cluster/leader"].(bool)
	manager, _ := m.Params["cluster/manager"].(bool)
	job := ""
	if !uuid.Equal(m.CurrentJob, uuid.NIL) && len(m.CurrentJob) > 0 {
		job = m.CurrentJob.String()
	}
	return profile.Machine{
		UUID: m.Key(), Name: m.Name, Address: address(m), Profiles: m.Profiles, Workflow: m.Workflow,
		Complete: complete, Runnable: m.Runnable, Task: m.CurrentTask, Job: job, JobState: m.JobState,
		Leader: leader, Manager: manager,
	}, nil
}

func address(m models.Machine) string {
	if len(m.Address) == 0 || m.Address.IsUnspecified() {
		return ""
	}
	return m.Address.String()
}

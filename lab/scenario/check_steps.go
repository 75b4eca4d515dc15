package scenario

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"muster/coordinator"
	"muster/profile"
	"muster/steps"
)

func (c *checker) roles(keys map[string]roleKeys) {
	c.s.Roles = []Role{{Name: profile.Leader, Slots: 1}}
	for _, role := range slices.Sorted(maps.Keys(keys)) {
		k := keys[role]
		at := k.Slots.place
		if k.TTL.given() && at.line == 0 {
			at = k.TTL.place
		}
		if !name.MatchString(role) || slices.Contains([]string{"all", "any", "worker"}, role) {
			c.fault(at, "roles: expected a name of %s, and not all, any or worker, found %q", nameForm, role)
		}
		r := Role{Name: role, Slots: c.number("slots", k.Slots, 1), TTL: k.TTL.s, OnDemand: c.truth("on_demand", k.OnDemand)}
		if _, err := profile.ParseTTL(r.TTL); err != nil {
			c.fault(k.TTL.place, "%v", err)
		}
		if role == profile.Leader {
			c.s.Roles[0] = r
			if r.OnDemand {
				c.fault(k.OnDemand.place, "on_demand: expected none for leader, which is always raced for")
			}
			continue
		}
		if r.Slots < 1 {
			c.fault(at, "slots: expected 1 or more, found %d", r.Slots)
		}
		c.s.Roles = append(c.s.Roles, r)
	}
}

// role checks a name where a role with slots is expected.
func (c *checker) role(key string, t text) {
	var names []string
	for _, r := range c.s.Roles {
		if r.Name == t.s {
			return
		}
		names = append(names, r.Name)
	}
	c.fault(t.place, "%s: expected one of the roles %s, found %q: add it to `roles`", key, strings.Join(names, ", "), t.s)
}

func (c *checker) workflow(key string, t text) {
	if !slices.Contains(c.s.Workflows, t.s) {
		c.fault(t.place, "%s: expected one of the workflows %q, found %q: add it to `workflows`", key, c.s.Workflows, t.s)
	}
}

func (c *checker) round(k roundKeys) Round {
	r := Round{
		Workflow: k.Workflow.s, FailFast: c.truth("fail_fast", k.FailFast), Deadline: c.duration("deadline", k.Deadline, 0),
		AllowMissing: k.AllowMissing.s, Force: c.truth("force", k.Force),
	}
	if k.Workflow.given() {
		c.workflow("workflow", k.Workflow)
	}
	if k.AllowMissing.given() {
		c.share("allow_missing", k.AllowMissing, 0)
		if r.Deadline == 0 {
			c.fault(k.AllowMissing.place, "allow_missing: expected a deadline beside it: before one nobody is late")
		}
	}
	return r
}

// share checks N or P%.
func (c *checker) share(key string, t text, least int) {
	n, err := strconv.Atoi(strings.TrimSuffix(t.s, "%"))
	if err != nil || n < least || n > 1000000 {
		c.fault(t.place, "%s: expected a number or a share of at least %d, such as 2 or 5%%, found %q", key, least, t.s)
	}
}

func (c *checker) step(k stepKeys) {
	s := Step{
		Name: k.Name.s, Role: k.Role.s, After: k.After.texts(), Workflow: k.Workflow.s, AtOnce: k.AtOnce.s, Lead: k.Lead.s, Command: k.Command.texts(),
		Limit: c.duration("limit", k.Limit, 0), Timeout: c.duration("timeout", k.Timeout, 0), Takes: c.duration("takes", k.Takes, 0),
		MaxFailures: c.number("max_failures", k.MaxFailures, 0), Fails: c.names("fails", k.Fails, nil),
	}
	if s.Role == steps.Any {
		s.Role, k.Role = "", text{}
	}
	if k.File.given() {
		c.stepFile(k, &s)
	} else {
		c.inline(k, s)
	}
	at := k.Name.place
	if at.line == 0 {
		at = k.File.place
	}
	if slices.ContainsFunc(c.s.Steps, func(other Step) bool { return other.Name == s.Name }) {
		c.fault(at, "name: expected another than that of a step before, found %q", s.Name)
	}
	if s.Workflow != "" {
		if k.Workflow.given() {
			at = k.Workflow.place
		}
		c.workflow("workflow", text{s.Workflow, at})
		if k.Takes.given() || k.Fails.given() || k.Command.given() || s.byHand() {
			c.fault(at, "workflow: expected no takes, fails, command, at_once or lead with it")
		}
	}
	if k.Command.given() && (k.Takes.given() || k.Fails.given()) {
		c.fault(k.Command.place, "command: expected none with takes or fails, which are of the command that stands in for it")
	}
	if k.Command.given() && (len(s.Command) == 0 || s.Command[0] == "") {
		c.fault(k.Command.place, "command: expected the words of a command, such as [sh, -c, 'exit 3']")
	}
	c.s.Steps = append(c.s.Steps, s)
}

// inline checks a step that is written in the scenario.
func (c *checker) inline(k stepKeys, s Step) {
	if !steps.ValidName(s.Name) || strings.HasPrefix(s.Name, steps.Planted) {
		c.fault(k.Name.place, "name: expected that of a step, of %s, found %q", nameForm, s.Name)
	}
	for _, gate := range k.After.items {
		if _, err := coordinator.ParseGate(gate.s); err != nil {
			c.fault(gate.place, "after: %v", err)
		}
	}
	if k.Role.given() && s.Role != "worker" {
		c.role("role", k.Role)
	}
	if k.Lead.given() {
		c.role("lead", k.Lead)
	}
	if k.AtOnce.given() {
		c.share("at_once", k.AtOnce, 1)
	}
	switch {
	case k.AtOnce.given() && k.Lead.given():
		c.fault(k.Lead.place, "lead: expected none with at_once: a step is rolling, or under a role")
	case s.byHand() && (k.Role.given() || k.After.given() || k.Limit.given() || k.Timeout.given()):
		c.fault(k.Name.place, "step %s: expected no role, after, limit or timeout with at_once or lead: the timeline says when it runs, by `run`", s.Name)
	case k.MaxFailures.given() && !k.AtOnce.given():
		c.fault(k.MaxFailures.place, "max_failures: expected at_once with it")
	case !s.byHand() && !k.After.given() && !k.Role.given():
		c.fault(k.Name.place, "step %s: expected what it waits for: after, such as [complete], or a role; or at_once or lead, for one that the timeline runs", s.Name)
	}
}

// stepFile takes a step from a file of a host. Its command is not run: it would
// change this host.
func (c *checker) stepFile(k stepKeys, s *Step) {
	if k.Name.given() || k.Role.given() || k.After.given() || k.Limit.given() || k.Timeout.given() || k.Workflow.given() || s.byHand() {
		c.fault(k.File.place, "file: expected beside it only takes, fails or command, which stand in for the command of the file")
	}
	file := k.File.s
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(c.file), file)
	}
	read, err := readStep(file)
	if err != nil {
		c.fault(k.File.place, "file: %v", err)
		return
	}
	s.Name, s.Role, s.After, s.Limit, s.Timeout, s.Workflow = read.Name, read.Role, read.After, read.Limit, read.Timeout, read.Workflow
	if s.Role != "" && s.Role != "worker" {
		c.role("role in "+k.File.s, text{s.Role, k.File.place})
	}
}

// readStep reads a step as the agent does, but for who may write the file: nothing of
// it is run.
func readStep(file string) (steps.Step, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return steps.Step{}, err
	}
	dir, err := os.MkdirTemp("", "muster-step-")
	if err != nil {
		return steps.Step{}, err
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, strings.TrimSuffix(filepath.Base(file), ".yaml")+".yaml")
	if err := os.WriteFile(copied, raw, 0o600); err != nil {
		return steps.Step{}, err
	}
	read, err := steps.Read(dir)
	if err != nil {
		return steps.Step{}, errors.New(strings.ReplaceAll(err.Error(), copied, file))
	}
	if len(read) != 1 {
		return steps.Step{}, errors.New("expected the name of a file that ends in .yaml, found " + file)
	}
	return read[0], nil
}

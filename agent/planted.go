package agent

import (
	"context"
	"slices"

	"github.com/hashicorp/go-hclog"

	"muster/coordinator"
	"muster/profile"
	"muster/steps"
)

// planted returns the workflows that the profile names for roles, as steps in the
// order of the roles' names.
func planted(d *profile.Document) ([]steps.Step, error) {
	workflows, err := d.Workflows()
	if err != nil {
		return nil, err
	}
	var all []steps.Step
	for _, role := range sortedKeys(workflows) {
		if err := d.CheckRole(role); err != nil {
			return nil, err
		}
		all = append(all, steps.Step{Name: steps.Planted + role, Role: role, Workflow: workflows[role]})
	}
	return all, nil
}

// refusal says why this host does not start a workflow that the profile names, or
// "".
func (a *Agent) refusal(workflow string) string {
	switch {
	case !slices.Contains(a.cfg.AllowWorkflows, workflow):
		return "allow_workflows of this host does not name it"
	case a.cfg.Machine == nil:
		return "this host has no machine token"
	}
	return ""
}

// refuse is runStep for a workflow that this host does not start. If it is for this
// member it has failed: the profile says so, but it is not noted here, since it may
// be allowed yet.
func (a *Agent) refuse(ctx context.Context, log hclog.Logger, s steps.Step, round profile.Round) (done bool, err error) {
	passed, err := a.Pass(ctx, Passing{Passage: coordinator.Passage{Role: s.Role, Round: round.N}}, nil)
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case err != nil:
		log.Warn("no step runs in this round any more", "err", err)
		return false, nil
	case !passed.Has:
		return true, nil
	}
	log.Error("the workflow that the profile names is not started, and no step after it runs in this round", "workflow", s.Workflow, "because", a.refusal(s.Workflow))
	refused := profile.Step{Round: round.N, Result: stepFailed, Exit: refusedExit}
	return false, a.insist(ctx, log, func() error {
		return a.record(ctx, s.Name, refused, func(*profile.Document, *profile.Change) error { return nil })
	})
}

// refusedExit is the exit code of usage, configuration or identity.
const refusedExit = 2

package agent

import (
	"context"
	"slices"

	"github.com/hashicorp/go-hclog"

	"muster/coordinator"
	"muster/internal/backoff"
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

// named is planted as soon as the profile says it well: nobody can tell before which
// steps come first. over reports that the round ended meanwhile. The error is ctx's
// cause.
func (a *Agent) named(ctx context.Context, round profile.Round) (all []steps.Step, over bool, err error) {
	var seen uint64
	var told string
	for {
		d, n, err := a.view.Wait(ctx, seen)
		if err != nil || !a.isNow(round) {
			return nil, true, err
		}
		seen = n
		all, err := planted(d)
		if err == nil {
			return all, false, nil
		}
		if text := err.Error(); text != told {
			told = text
			a.log.Named("steps").Error("no step runs until that is mended", "round", round.N, "err", err)
		}
	}
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
	retry := backoff.New(stepPause, stepPauseMost, random)
	for a.isNow(round) {
		if err := a.armed(ctx); err != nil {
			return false, err
		}
		passed, err := a.Pass(ctx, Passing{Passage: coordinator.Passage{Role: s.Role, Round: round.N}}, nil)
		switch {
		case err == nil && passed.Has:
			return false, a.sayRefused(ctx, log, s, round)
		case err == nil:
			return true, nil
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		}
		log.Warn("whether it is for this member is asked again", "err", err)
		if err := backoff.Sleep(ctx, retry.Next()); err != nil {
			return false, err
		}
	}
	return false, nil
}

// sayRefused says that a workflow for this member is not started. Its error is ctx's
// cause.
func (a *Agent) sayRefused(ctx context.Context, log hclog.Logger, s steps.Step, round profile.Round) error {
	log.Error("the workflow that the profile names is not started, and no step after it runs in this round", "workflow", s.Workflow, "because", a.refusal(s.Workflow))
	refused := profile.Step{Round: round.N, Result: stepFailed, Exit: refusedExit}
	return a.insist(ctx, log, func() error {
		return a.record(ctx, s.Name, refused, func(*profile.Document, *profile.Change) error { return nil })
	})
}

// refusedExit is the exit code of usage, configuration or identity.
const refusedExit = 2

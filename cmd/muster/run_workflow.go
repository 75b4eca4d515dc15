package main

import (
	"context"
	"errors"
	"fmt"

	"muster/agent"
	"muster/config"
	"muster/coordinator"
	"muster/profile"
	"muster/profile/drp"
)

// ownMachine returns this host's machine at the endpoint, by its own token.
func (a *app) ownMachine() (*drp.Machine, error) {
	if err := a.cfg.Require("endpoint", "profile", "uuid"); err != nil {
		return nil, err
	}
	if !a.hasMachineToken() {
		return nil, fmt.Errorf("%w: a workflow is started by the machine's own token: write it into machine_token_file (%s): %s", config.ErrInvalid, a.cfg.Origin("machine_token_file"), a.cfg.MachineTokenFile)
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	return client.Machine(a.cfg.UUID, drp.TokenFile(a.cfg.MachineTokenFile)), nil
}

// errIdle ends the watch of a machine.
var errIdle = errors.New("the machine is idle")

// untilIdle waits until the machine runs no workflow, and reports whether it had to.
func (a *app) untilIdle(ctx context.Context, m profile.MachineStore) (waited bool, err error) {
	now, err := m.Read(ctx)
	if err == nil && now.Idle() {
		return false, nil
	}
	if err != nil && !errors.Is(err, profile.ErrUnavailable) {
		return false, fmt.Errorf("own machine: %w", err)
	}
	a.waits(fmt.Sprintf("this machine is not done with workflow %s", now.Workflow))
	watching, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	look := func(ctx context.Context, _ string) error {
		now, err := m.Read(ctx)
		if err == nil && now.Idle() {
			stop(errIdle)
		}
		return err
	}
	err = profile.Follow{Source: m, Since: now.Version, Look: look}.Run(watching)
	if errors.Is(err, errIdle) {
		return true, nil
	}
	return true, err
}

// ready is await, and for a step that starts a workflow it is one of the gates that
// this machine runs none.
func (a *app) ready(ctx context.Context, l agent.Local, s step) (coordinator.Passed, error) {
	for {
		passed, err := a.await(ctx, l, s)
		if err != nil || !passed.Has || s.workflow == "" {
			return passed, err
		}
		if waited, err := a.untilIdle(ctx, s.machine); err != nil || !waited {
			return passed, err
		}
	}
}

// do runs the command of the step, or starts its workflow, and returns the exit
// code, or what stands for it, and why nothing was started: a workflow not even by
// half, unless that is ErrUnknownOutcome.
func (s step) do(ctx context.Context) (int, error) {
	switch {
	case s.root != nil:
		return s.root.execute(ctx)
	case s.workflow == "":
		return s.execute(ctx)
	}
	if s.limit.after > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.limit.after, fmt.Errorf("%w after %s", coordinator.ErrTimeout, s.limit.after))
		defer cancel()
	}
	if err := s.machine.Start(ctx, s.workflow); err != nil {
		if late := context.Cause(ctx); errors.Is(late, coordinator.ErrTimeout) && !errors.Is(err, profile.ErrUnknownOutcome) {
			err = fmt.Errorf("%w: %w", late, err)
		}
		return exitCode(err), fmt.Errorf("start workflow %s: %w", s.workflow, err)
	}
	return exitOK, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"muster/agent"
	"muster/coordinator"
	"muster/internal/backoff"
)

// turnWait bounds how long a command waits for another process of this host
// that is the member: an agent that has not joined yet, or a command.
const turnWait = 30 * time.Second

// turnPoll is how often it looks.
const turnPoll = 100 * time.Millisecond

// local hands do the way to take part on this host: the running agent, or, with
// none, this process as the member. timeout, unless it is 0, also bounds the
// wait for whoever is the member now.
func (a *app) local(ctx context.Context, timeout time.Duration, do func(context.Context, agent.Local) error) error {
	return a.take(ctx, timeout, false, do)
}

// leading is local for commands that deal with slots: without an agent this
// process keeps the slots of the host while do runs.
func (a *app) leading(ctx context.Context, timeout time.Duration, do func(context.Context, agent.Local) error) error {
	return a.take(ctx, timeout, true, do)
}

func (a *app) take(ctx context.Context, timeout time.Duration, leading bool, do func(context.Context, agent.Local) error) error {
	client, member, err := a.turn(ctx, timeout, leading)
	if err != nil {
		return err
	}
	if client != nil {
		return do(ctx, client)
	}
	defer member.Close()
	joining, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if err := member.Join(joining, false); err != nil {
		return err
	}
	return member.Do(ctx, func(ctx context.Context) error { return do(ctx, member) })
}

// turn returns a client of the running agent, or the member that this process
// then is.
func (a *app) turn(ctx context.Context, timeout time.Duration, leading bool) (*agent.Client, *agent.Agent, error) {
	client, err := agent.Dial(a.cfg.Socket)
	if !errors.Is(err, agent.ErrNoAgent) {
		return client, nil, err
	}
	cfg, err := a.agentConfig()
	if err != nil {
		return nil, nil, err
	}
	cfg.OnDemand, cfg.Brief = leading, true
	if timeout <= 0 || timeout > turnWait {
		timeout = turnWait
	}
	bounded, cancel := context.WithTimeoutCause(ctx, timeout, coordinator.ErrTimeout)
	defer cancel()
	said := false
	for {
		member, locked := agent.Open(cfg)
		if !errors.Is(locked, agent.ErrLocked) {
			return nil, member, locked
		}
		if !said {
			fmt.Fprintf(a.stderr, "waiting up to %s for the other process to end, or to serve %s: %v\n", timeout, a.cfg.Socket, locked)
			said = true
		}
		if err := backoff.Sleep(bounded, turnPoll); err != nil {
			if ctx.Err() == nil && timeout == turnWait {
				return nil, nil, fmt.Errorf("%w; after %s it neither ended nor served %s: see what it waits for", locked, timeout, a.cfg.Socket)
			}
			return nil, nil, fmt.Errorf("%w after %s: %w", err, timeout, locked)
		}
		if client, err := agent.Dial(a.cfg.Socket); !errors.Is(err, agent.ErrNoAgent) {
			return client, nil, err
		}
	}
}

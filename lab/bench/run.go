package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"muster/internal/backoff"
)

// Run forms a cluster, measures it and takes it down again. ctx ends it early,
// with an error.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	if cfg.Say == nil {
		cfg.Say = func(string, ...any) {}
	}
	res := Result{
		Kind: cfg.Kind, Members: cfg.Members, Leaders: cfg.Leaders, Compat: cfg.Compat, Facts: cfg.Facts, TTL: cfg.TTL,
		Processes: cfg.Processes,
		CPUs:      runtime.NumCPU(), Load: load(),
	}
	s := &stage{cfg: cfg}
	cfg.Say("setting the stage for %d members", cfg.Members)
	err := s.open(ctx)
	if cfg.Foreign != nil {
		res.Endpoint = s.url
	}
	if err == nil {
		res.ProfileBytes[0], err = s.profileBytes(ctx)
	}
	if err == nil {
		err = s.measure(s.working, &res)
	}
	if err == nil {
		res.ProfileBytes[1], err = s.profileBytes(ctx)
	}
	if err = errors.Join(err, s.close(ctx)); err != nil {
		return Result{}, fmt.Errorf("bench: %w", err)
	}
	return res, nil
}

func (s *stage) measure(ctx context.Context, res *Result) error {
	s.cfg.Say("measuring: %s", s.cfg.Kind)
	switch s.cfg.Kind {
	case Form:
		return s.form(ctx, res)
	case Barrier:
		return s.barrier(ctx, res)
	case Idle:
		return s.idle(ctx, res)
	default:
		return s.failover(ctx, res)
	}
}

// form measures the time until each member has itself seen all members and the
// leaders.
func (s *stage) form(ctx context.Context, res *Result) error {
	before, err := s.read(ctx)
	if err != nil {
		return err
	}
	last, err := s.start(func(ctx context.Context, m worker) error { return m.sees(ctx, s.cfg.Leaders) })
	if err != nil {
		return err
	}
	seconds := time.Since(last).Seconds()
	after, err := s.read(ctx)
	res.between(before, after)
	res.Seconds = seconds
	return err
}

// idle counts what a cluster costs in which nothing happens.
func (s *stage) idle(ctx context.Context, res *Result) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	before, err := s.read(ctx)
	if err != nil {
		return err
	}
	s.cfg.Say("watching for %s", s.cfg.For)
	if err := backoff.Sleep(ctx, s.cfg.For); err != nil {
		return err
	}
	after, err := s.read(ctx)
	res.between(before, after)
	return err
}

// settle starts all members, and leaves them alone for a while once they have
// formed.
func (s *stage) settle(ctx context.Context) error {
	if _, err := s.start(func(context.Context, worker) error { return nil }); err != nil {
		return err
	}
	if err := s.awaitFormed(ctx); err != nil {
		return err
	}
	s.cfg.Say("formed; settling for %s", s.cfg.Settle)
	return backoff.Sleep(ctx, s.cfg.Settle)
}

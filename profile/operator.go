package profile

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"muster/internal/backoff"
)

// Operator writes to the profile as an operator or the cluster manager: every
// change tests and bumps muster/ops in the same patch, as a Member's does its
// own seq. Operators never name a holder.
type Operator struct {
	store Store
	// Random draws from [0, 1) for the jitter of retries; nil takes math/rand/v2.
	Random func() float64
}

// NewOperator returns an operator that writes to store.
func NewOperator(store Store) *Operator { return &Operator{store: store} }

// Write reads the profile, carries plan out and returns the profile right
// after. plan is called again after a conflict or a lost answer, so it must
// return a nil change when it finds its own work done. Errors are as those of
// Member.Write, and ctx bounds the whole.
func (o *Operator) Write(ctx context.Context, plan Plan) (*Document, error) {
	random := o.Random
	if random == nil {
		random = mathrand.Float64
	}
	wait := backoff.New(20*time.Millisecond, 5*time.Second, random)
	sent := map[string]bool{}
	var last, unknown error // unknown: a change of this call may still land
	for conflicts := 0; conflicts <= conflictsMost; {
		d, err := o.store.Read(ctx)
		if err == nil {
			d, err = o.attempt(ctx, d, plan, sent)
		}
		switch {
		case errors.Is(err, ErrConflict):
			conflicts++
		case errors.Is(err, ErrUnknownOutcome):
			unknown = err
		case errors.Is(err, ErrUnavailable):
		case err != nil:
			return d, orUnknown(err, unknown)
		default:
			return d, nil
		}
		if last = err; backoff.Sleep(ctx, wait.Next()) != nil {
			return d, orUnknown(err, unknown)
		}
	}
	return nil, fmt.Errorf("refused %d times though it was read again each time: %w", conflictsMost, last)
}

func (o *Operator) attempt(ctx context.Context, d *Document, plan Plan, sent map[string]bool) (*Document, error) {
	ops, err := d.Ops()
	if err == nil && sent[ops.Write] {
		return d, nil
	}
	change, err := plan(d)
	if err != nil || change == nil {
		return d, err
	}
	id := RandomID()
	sent[id] = true
	if _, planted := d.Params[ParamOps]; planted {
		if ops, err = d.Ops(); err != nil {
			return d, err
		}
		if !change.testsAll() {
			change.TestAsRead(d, At(ParamOps, "n"))
		}
		change.Set(At(ParamOps, "n"), ops.N+1)
		change.Set(At(ParamOps, "write"), id)
	}
	after, err := o.store.Apply(ctx, change)
	if err != nil {
		return d, err
	}
	return after, nil
}

package bench

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"muster/profile"
	"muster/profile/drp"
)

// errCut is why requests of a member fail that is cut off.
var errCut = errors.New("the way to the endpoint is cut")

// way is the way of one member to the endpoint. It is safe for concurrent use.
type way struct {
	open context.Context // until the way is cut
	cut  context.CancelCauseFunc
	// reported is when the member sent its completion, once that has landed.
	reported atomic.Pointer[time.Time]
}

func newWay() *way {
	w := &way{}
	w.open, w.cut = context.WithCancelCause(context.Background())
	return w
}

// bound bounds a request by the way.
func (w *way) bound(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if w.open.Err() != nil {
		cancel(errCut) // AfterFunc would do so in its own time, when the request is perhaps sent
	}
	release := context.AfterFunc(w.open, func() { cancel(errCut) })
	return ctx, func() { release(); cancel(nil) }
}

// wayStore is the profile at the end of a way.
type wayStore struct {
	*drp.Store
	way *way
}

func (s wayStore) Read(ctx context.Context) (*profile.Document, error) {
	ctx, end := s.way.bound(ctx)
	defer end()
	return s.Store.Read(ctx)
}

func (s wayStore) ReadParams(ctx context.Context, names ...string) (profile.Params, error) {
	ctx, end := s.way.bound(ctx)
	defer end()
	return s.Store.ReadParams(ctx, names...)
}

func (s wayStore) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	ctx, end := s.way.bound(ctx)
	defer end()
	sent := time.Now()
	d, err := s.Store.Apply(ctx, c)
	if err == nil && reports(c) {
		s.way.reported.Store(&sent)
	}
	return d, err
}

func (s wayStore) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	ctx, end := s.way.bound(ctx)
	defer end()
	return s.Store.Changed(ctx, since, wait)
}

func (s wayStore) ReadChanged(ctx context.Context, since string, wait time.Duration) (*profile.Document, error) {
	ctx, end := s.way.bound(ctx)
	defer end()
	return s.Store.ReadChanged(ctx, since, wait)
}

// reports reports whether a change records a completion.
func reports(c *profile.Change) bool {
	ops, _ := c.Ops()
	for _, op := range ops {
		parts := op.Path.Parts()
		if op.Op == "add" && len(parts) == 4 && parts[0] == profile.ParamMembers && parts[2] == "results" && string(op.Value) == `"`+profile.Complete+`"` {
			return true
		}
	}
	return false
}

// wayMachine is the own machine at the end of a way.
type wayMachine struct {
	*drp.Machine
	way *way
}

func (m wayMachine) Read(ctx context.Context) (profile.Machine, error) {
	ctx, end := m.way.bound(ctx)
	defer end()
	return m.Machine.Read(ctx)
}

func (m wayMachine) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	ctx, end := m.way.bound(ctx)
	defer end()
	return m.Machine.Changed(ctx, since, wait)
}

func (m wayMachine) Mark(ctx context.Context, leader bool) error {
	ctx, end := m.way.bound(ctx)
	defer end()
	return m.Machine.Mark(ctx, leader)
}

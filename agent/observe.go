package agent

import (
	"context"
	"sync/atomic"
	"time"

	"muster/internal/pulse"
	"muster/profile"
)

// callMost bounds a call of a store, beside its long poll: several requests of
// the time-out of package drp.
const callMost = 40 * time.Second

// health is what is counted while the agent runs.
type health struct {
	read  atomic.Pointer[time.Time] // when the view was last known to be up to date
	waits atomic.Int64              // of commands, under way
}

// seen takes note that the view is up to date.
func (h *health) seen() {
	now := time.Now()
	h.read.Store(&now)
}

// age is how long that was ago. It is known from the joining on.
func (h *health) age() time.Duration { return time.Since(*h.read.Load()) }

// asking reports for the loop that makes a call which takes at most so long.
func asking(ctx context.Context, most time.Duration) (answered func()) {
	l := pulse.From(ctx)
	l.Doing("asking the endpoint", most)
	return l.Working
}

// observedStore reports for the loops that wait.
type observedStore struct{ profile.Store }

func (o observedStore) Read(ctx context.Context) (*profile.Document, error) {
	defer asking(ctx, callMost)()
	return o.Store.Read(ctx)
}

func (o observedStore) ReadParams(ctx context.Context, names ...string) (profile.Params, error) {
	defer asking(ctx, callMost)()
	return o.Store.ReadParams(ctx, names...)
}

func (o observedStore) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	defer asking(ctx, callMost)()
	return o.Store.Apply(ctx, c)
}

func (o observedStore) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	defer asking(ctx, wait+callMost)()
	return o.Store.Changed(ctx, since, wait)
}

func (o observedStore) ReadChanged(ctx context.Context, since string, wait time.Duration) (*profile.Document, error) {
	defer asking(ctx, wait+callMost)()
	return o.Store.ReadChanged(ctx, since, wait)
}

// observedMachine reports for the loops that wait.
type observedMachine struct{ profile.MachineStore }

func (o observedMachine) Read(ctx context.Context) (profile.Machine, error) {
	defer asking(ctx, callMost)()
	return o.MachineStore.Read(ctx)
}

func (o observedMachine) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	defer asking(ctx, wait+callMost)()
	return o.MachineStore.Changed(ctx, since, wait)
}

func (o observedMachine) Mark(ctx context.Context, leader bool) error {
	defer asking(ctx, callMost)()
	return o.MachineStore.Mark(ctx, leader)
}

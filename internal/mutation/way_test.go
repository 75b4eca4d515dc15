package mutation

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"muster/profile"
	"muster/profile/memory"
)

// way is one process's way to the profile.
type way struct {
	*memory.Store
	world *world

	mu   sync.Mutex
	gone bool // the process is: whatever is left of it here has no effect
}

func (w *world) way() *way { return &way{Store: w.Store(nil), world: w} }

func (y *way) dead() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.gone
}

// Apply implements profile.Store.
func (y *way) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	if y.dead() {
		return nil, fmt.Errorf("%w: %w", profile.ErrUnavailable, errGone)
	}
	if !y.world.trail.passes(y.world.by) || y.world.request != nil {
		return y.Store.Apply(ctx, c)
	}
	y.world.request = c
	y.mu.Lock()
	y.gone = true
	y.mu.Unlock()
	y.world.cancel(errGone)
	return nil, fmt.Errorf("%w: %w", profile.ErrUnknownOutcome, errGone)
}

// ReadParams implements profile.Store.
func (y *way) ReadParams(ctx context.Context, names ...string) (profile.Params, error) {
	if y.dead() {
		return nil, fmt.Errorf("%w: %w", profile.ErrUnavailable, errGone)
	}
	return y.Store.ReadParams(ctx, names...)
}

// trail is which functions of the product have made requests.
type trail struct {
	mu   sync.Mutex
	seen map[string]bool
}

// passes takes note of who makes a request, and reports whether the function is
// among them.
func (t *trail) passes(function string) bool {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	t.mu.Lock()
	defer t.mu.Unlock()
	found := false
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if name, ours := strings.CutPrefix(frame.Function, "muster/"); ours {
			name, _, _ = strings.Cut(name, ".func")
			t.seen[name] = true
			found = found || name == function
		}
	}
	return found
}

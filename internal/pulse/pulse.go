// Package pulse tells loops that work from loops that are stuck. Before a loop
// does something that may take long, it says what that is and how long it takes
// at most; whoever keeps the Board finds the loops that are late. What a loop
// calls reports for it, through the context: see Doing.
//
// Guaranteed: a loop that neither goes on nor ends is late, Slack after the most
// that it said. Not guaranteed: that a loop that is not late does anything
// useful; one that goes in circles is alive. Time is counted on the monotonic
// clock, which stands still while the host is suspended.
//
// A nil *Board and a nil *Loop do nothing: what nobody supervises need not know.
package pulse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Slack is added to everything: for hosts under load, and for the work between
// two reports.
const Slack = time.Minute

// IdleEvery is how often a loop that waits for events without a bound says that
// it does.
const IdleEvery = 30 * time.Second

// Board knows what each loop does. It is safe for concurrent use.
type Board struct {
	mu    sync.Mutex
	loops map[string]state
}

type state struct {
	doing string
	since time.Time
	due   time.Time // by when it is to say something else
}

// Loop is one loop of a board. It is safe for concurrent use.
type Loop struct {
	board *Board
	name  string
	outer *Loop // that waits for this one, or nil
}

// Run runs a loop under this name, and takes it off the board when it ends. A
// loop that the context belongs to already waits for this one.
func (b *Board) Run(ctx context.Context, name string, run func(context.Context) error) error {
	if b == nil {
		return run(ctx)
	}
	l := &Loop{board: b, name: name, outer: From(ctx)}
	l.Doing("working", 0)
	defer l.over()
	return run(context.WithValue(ctx, key{}, l))
}

type key struct{}

// From returns the loop that the context belongs to, or nil.
func From(ctx context.Context) *Loop {
	l, _ := ctx.Value(key{}).(*Loop)
	return l
}

// Without returns ctx for what works beside the loop, and must not speak for it.
func Without(ctx context.Context) context.Context {
	if From(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, key{}, (*Loop)(nil))
}

// Doing says what the loop does from now on, and how long that takes at most.
func (l *Loop) Doing(what string, most time.Duration) {
	if l == nil {
		return
	}
	l.outer.Doing(what, most)
	now := time.Now()
	l.board.mu.Lock()
	defer l.board.mu.Unlock()
	if l.board.loops == nil {
		l.board.loops = map[string]state{}
	}
	l.board.loops[l.name] = state{doing: what, since: now, due: now.Add(most + Slack)}
}

// Working says that what was said before is over.
func (l *Loop) Working() { l.Doing("working", 0) }

// Idle says that the loop waits for events, and returns a channel that gets
// something when it is to say so again; nil if it need not.
func (l *Loop) Idle(what string) <-chan time.Time {
	if l == nil {
		return nil
	}
	l.Doing(what, IdleEvery)
	return time.After(IdleEvery)
}

func (l *Loop) over() {
	l.board.mu.Lock()
	defer l.board.mu.Unlock()
	delete(l.board.loops, l.name)
}

// Late returns the loops that are late, with what they do, by name.
func (b *Board) Late() []string {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var late []string
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(b.loops)) {
		if s := b.loops[name]; now.After(s.due) {
			late = append(late, fmt.Sprintf("%s: %s for %s", name, s.doing, now.Sub(s.since).Round(time.Second)))
		}
	}
	return late
}

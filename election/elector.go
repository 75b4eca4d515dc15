// Package election races for the slots of roles. A sticky slot has no failover:
// it is kept, also by a dead holder, until it is given up or an operator frees
// it. It says where something is placed, not that it lives. A slot whose role
// has a TTL is a lease: it must be renewed, and others take it over if it is not.
//
// Guaranteed, given the contract of package profile: a slot has at most one
// holder; a member holds at most one slot of a role; (instance, epoch) of a
// tenure is never reused and epochs of a slot only rise, except after a
// restored backup together with a clock set back; nobody claims while the
// profile is paused, or a role that it is barred from. Leadership of a lease
// has ended before anybody else may hold the slot, as long as the rates of the
// hosts' clocks differ by a factor of less than 9/4 (2 is promised), and as
// long as the process runs: one that is stopped learns of the end when it runs
// again. What must not be done late is fenced: profile.Tenure.Guard.
//
// Not guaranteed: that every slot is held at any moment (a slot of a member
// that is slow to start stays free until others stop waiting for it), that the
// holder of a sticky slot is alive, and that the work done under a tenure is
// over when its context ends: a Use says when it is. Losing a race is a normal
// outcome and no error.
//
// Clocks: a holder counts from before it sent its last renewal, others from
// when they saw the slot change, each on a clock of its own that runs through
// suspend. Nothing depends on the clocks of others agreeing.
//
// How a lease is timed, and who claims when, is decided in
// docs/adr/0006-leases.md.
package election

import (
	"context"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/internal/boottime"
	"muster/internal/pulse"
	"muster/profile"
)

// Config is what an Elector needs.
type Config struct {
	Member *profile.Member
	Store  profile.Store // for a fresh look before a race
	View   *profile.View
	// Machine is marked while the member holds a leader slot; nil without a
	// machine token.
	Machine profile.MachineStore
	// Marked is how the machine was found to be marked.
	Marked bool
	// OnDemand leaves every role alone that nobody asks for, as in a command
	// that is the member only for its time.
	OnDemand bool
	// Clock counts leases; nil takes the host's.
	Clock boottime.Clock
	// Logger may be nil.
	Logger hclog.Logger
	// Random draws from [0, 1); nil takes math/rand/v2.
	Random func() float64
}

// Elector competes for the slots of every role that the profile has. Run works;
// the other methods are safe for concurrent use with it.
type Elector struct {
	cfg    Config
	log    hclog.Logger
	began  time.Duration             // on the clock
	before map[string]profile.Tenure // role → tenure that another process may have led before that
	marked bool
	ways   sync.WaitGroup // the goroutines of leases
	// waits is, by role, since when this member leaves free slots to others, and
	// by "slots of" a role, since when the planting of its slots.
	waits map[string]time.Duration
	// asked is when the own record was last read for the sake of a lifted bar.
	asked   time.Time
	counted time.Time // when records were last read to see who has joined
	seen    sightings
	kicks   chan struct{} // holds one token when there is something to look at

	mu      sync.Mutex
	rest    rest
	led     map[string]*Leadership    // role → leadership, until its slot is given back
	over    map[string]profile.Tenure // role → the tenure whose leadership ended last
	asks    map[string]int            // role → who on this host asks for it
	resigns map[string]string         // role → event for which the slot is to be given up
	cooling map[string]cooling        // role → since when it was resigned
	why     map[string]string         // role → why no slot is held
	pace    map[string]time.Duration  // role → how old a look may be
	placed  map[string]bool           // role → its slots are sticky and held, and none is meant for this member
	begun   chan struct{}             // closed by the next change of led
}

// New returns an elector. Run starts it.
func New(cfg Config) *Elector {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.Random == nil {
		cfg.Random = mathrand.Float64
	}
	if cfg.Clock == nil {
		cfg.Clock = boottime.System
	}
	return &Elector{
		cfg: cfg, log: cfg.Logger, began: cfg.Clock.Now(), before: cfg.Member.State().Tenures, marked: cfg.Marked, waits: map[string]time.Duration{}, seen: sightings{},
		kicks: make(chan struct{}, 1), led: map[string]*Leadership{}, over: map[string]profile.Tenure{}, asks: map[string]int{},
		resigns: map[string]string{}, cooling: map[string]cooling{}, why: map[string]string{}, pace: map[string]time.Duration{}, placed: map[string]bool{},
		begun: make(chan struct{}),
	}
}

// retryEvery is how soon something that failed is tried again, and barredEvery
// how often a barred member looks whether its bar was lifted: records are large,
// and no part of the hot params.
const (
	retryEvery  = 5 * time.Second
	barredEvery = 10 * time.Second
)

// Run competes until ctx ends, and returns its cause; or until the member's
// identity is lost, with profile.ErrTwin or profile.ErrForgotten. When it
// returns, leadership has ended; sticky slots are kept, and leases are given
// back unless something that ran under them may still run.
func (e *Elector) Run(ctx context.Context) error {
	leading, stop := context.WithCancelCause(pulse.Without(ctx))
	err := e.loop(ctx, leading)
	stop(err)
	if ctx.Err() != nil {
		e.leave(context.WithoutCancel(ctx))
	}
	e.ways.Wait()
	return err
}

// loop acts on every state of the profile. Leadership is bounded by leading.
func (e *Elector) loop(ctx, leading context.Context) error {
	var seen uint64
	wake := time.Duration(0)
	said := "" // the trouble that was logged last
	for {
		if err := e.await(ctx, seen, wake); err != nil {
			return err
		}
		var doc *profile.Document
		doc, seen = e.cfg.View.Latest()
		next, err := e.act(ctx, leading, doc)
		switch {
		case errors.Is(err, profile.ErrTwin), errors.Is(err, profile.ErrForgotten):
			return err
		case err != nil && ctx.Err() == nil:
			if text := err.Error(); text != said {
				e.log.Warn("election is held up", "err", err)
				said = text
			}
			next = soonest(next, retryEvery)
			_, seen = e.cfg.View.Latest() // what a failed attempt read by itself is no reason to try at once
		case err == nil:
			said = ""
		}
		wake = next
	}
}

// await blocks until there is a state of the profile after seen, somebody
// kicks, or wake (0: never) has passed. It returns the cause of ctx.
func (e *Elector) await(ctx context.Context, seen uint64, wake time.Duration) error {
	var due <-chan time.Time
	if wake > 0 {
		timer := time.NewTimer(wake)
		defer timer.Stop()
		due = timer.C
	}
	loop := pulse.From(ctx)
	for {
		select {
		case <-loop.Idle("waiting for a change"):
			continue
		case <-e.cfg.View.After(seen):
		case <-e.kicks:
		case <-due:
		case <-ctx.Done():
		}
		break
	}
	loop.Working()
	select {
	case <-e.kicks: // one look serves all that woke it
	default:
	}
	return context.Cause(ctx)
}

// kick makes the loop look again soon.
func (e *Elector) kick() {
	select {
	case e.kicks <- struct{}{}:
	default: // it is about to
	}
}

// act does what the state d of the profile asks for, and says when to look
// again though nothing changes (0: not needed).
func (e *Elector) act(ctx, leading context.Context, d *profile.Document) (time.Duration, error) {
	slots, err := d.Slots()
	if err != nil {
		return 0, err
	}
	now := e.cfg.Clock.Now()
	e.seen.look(slots, now)
	e.mu.Lock()
	e.rest.watch(d, slots, now)
	e.mu.Unlock()
	var wake time.Duration
	var faults []error // of one role, which hold up no other
	for _, role := range slices.Sorted(maps.Keys(slots)) {
		wait, err := e.actRole(ctx, leading, d, role, slots[role])
		if err != nil {
			faults = append(faults, fmt.Errorf("role %s: %w", role, err))
		}
		wake = soonest(wake, wait)
	}
	latest, _ := e.cfg.View.Latest()
	if err := e.mirror(ctx, latest); err != nil {
		faults = append(faults, err)
	}
	return wake, errors.Join(faults...)
}

// actRole does what one role asks for.
func (e *Elector) actRole(ctx, leading context.Context, d *profile.Document, role string, slots map[string]profile.Slot) (time.Duration, error) {
	if err := e.giveBack(ctx, d, role, slots); err != nil {
		return 0, err
	}
	turn, fault := e.grow(ctx, d, role) // which holds up no giving up
	held, wait, err := e.keep(ctx, leading, role)
	if err == nil && !held {
		wait, err = e.compete(ctx, leading, role)
	}
	return soonest(wait, turn), errors.Join(fault, err)
}

// soonest returns the shorter of two waits, of which 0 is none.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// holds reports whether some of the slots of a role names this machine, under
// whatever instance: a member never claims a second one.
func (e *Elector) holds(slots map[string]profile.Slot) bool {
	for _, s := range slots {
		if s.Holder == e.cfg.Member.UUID() {
			return true
		}
	}
	return false
}

package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"muster/endpoint"
	"muster/internal/boottime"
	"muster/internal/lincheck/document"
	"muster/profile"
	"muster/profile/drp"
)

// history records what the members of a crowd see of the profile.
type history struct {
	mu      sync.Mutex
	clients int
	ops     []document.Op
}

// recorded is a member's store that keeps a history.
type recorded struct {
	profile.Store
	in     *history
	client int
}

// answerWait is how long the sender of a write waits for its answer: longer than
// a loaded host takes, as the search of check grows with each one that is lost.
const answerWait = 2 * time.Second

// dial makes stores that are recorded. They give the answer to a write up soon;
// reads, which the test itself needs, have the time that a loaded host takes.
func (h *history) dial(s *site, token string) profile.Store {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	return recorded{s.client(s.URL()).Profile("alpha", drp.Token(token)), h, h.clients}
}

func (r recorded) Read(ctx context.Context) (*profile.Document, error) {
	call := boottime.Now()
	d, err := r.Store.Read(ctx)
	if err == nil {
		r.add(document.Op{Call: call, Seen: d.Params})
	}
	return d, err
}

func (r recorded) ReadParams(ctx context.Context, names ...string) (profile.Params, error) {
	call := boottime.Now()
	params, err := r.Store.ReadParams(ctx, names...)
	if err == nil {
		seen := map[string]json.RawMessage{}
		for _, name := range names {
			if seen[name] = json.RawMessage("null"); params[name] != nil {
				seen[name] = params[name]
			}
		}
		r.add(document.Op{Call: call, Seen: seen})
	}
	return params, err
}

func (r recorded) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	op := document.Op{Call: boottime.Now(), Patch: []document.Step{}}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	d, err := r.Store.Apply(ctx, c)
	ops, _ := c.Ops() // an error of it was returned above, and nothing sent
	for _, o := range ops {
		op.Patch = append(op.Patch, document.Step{Kind: o.Op, Path: o.Path.Parts(), Value: o.Value})
	}
	switch {
	case err == nil:
		op.Seen = d.Params
		r.add(op)
	case errors.Is(err, profile.ErrConflict):
		op.Outcome = document.Refused
		r.add(op)
	case errors.Is(err, profile.ErrUnknownOutcome):
		op.Outcome = document.Unknown
		r.add(op)
	} // else it was surely not applied
	return d, err
}

func (r recorded) add(op document.Op) {
	op.Client, op.Return = r.client, boottime.Now()
	r.in.mu.Lock()
	defer r.in.mu.Unlock()
	r.in.ops = append(r.in.ops, op)
}

// begin forgets what is recorded and returns the profile, at rest.
func (h *history) begin(t *testing.T, s *site) profile.Params {
	t.Helper()
	d, err := s.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = nil
	return d.Params
}

// Members compete for sticky slots and leases, and resign, while requests are
// delayed beyond the time that their sender waits, lost before and after the
// commit, and refused. What they saw is what one document in one order of
// patches shows.
func TestHistoriesOverFaultySocketsAreLinearizable(t *testing.T) {
	const leased = "leased"
	eachCompat(t, func(t *testing.T, compat string) {
		h := &history{}
		c := newCrowd(t, compat, profile.Seed{
			Members: uuids(6), Leaders: 2, Roles: map[string]int{leased: 1}, Options: map[string]profile.RoleOptions{leased: {TTL: "3s"}},
		}, h.dial)
		initial := h.begin(t, c.site)
		c.run()
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		for range proof(15, 100) {
			c.spoil(random, "PATCH", "PATCH", "GET")
			c.disturb(random, leased)
			c.disturb(random, profile.Leader)
		}
		c.ClearAll()
		c.ledger.await(t, profile.Leader, "two lead", func(held map[string]string) bool { return len(held) == 2 })
		c.ledger.await(t, leased, "one holds the lease", func(held map[string]string) bool { return len(held) == 1 })
		c.halt()

		h.check(t, initial, seed)
	})
}

// Members who do not wait for their turn lose many races, and some answers too.
func TestHistoriesOfRacesAreLinearizable(t *testing.T) {
	eachMode(t, func(t *testing.T, compat string) {
		h := &history{}
		c := newCrowd(t, compat, profile.Seed{Members: uuids(proof(20, 50)), Leaders: 3}, h.dial)
		c.ledger.allow(3)
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		for range proof(1, 10) {
			initial := h.begin(t, c.site)
			for range 5 {
				c.spoil(random, "PATCH")
			}
			c.race()
			c.ClearAll()
			h.check(t, initial, seed)
		}
	})
}

// check wants the history to be linearizable. Where so many answers were lost
// that it cannot be decided in time, that is no fault in an ordinary run.
func (h *history) check(t *testing.T, initial profile.Params, seed uint64) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	counts := map[document.Outcome]int{}
	for _, op := range h.ops {
		if op.Patch != nil {
			counts[op.Outcome]++
		}
	}
	begun := time.Now()
	err := document.Check(initial, h.ops, patience)
	t.Logf("seed %d: %d operations; patches: %d applied, %d refused, %d without an answer; decided in %v: %v",
		seed, len(h.ops), counts[document.Applied], counts[document.Refused], counts[document.Unknown], time.Since(begun).Round(time.Millisecond), err)
	if undecided := errors.Is(err, document.ErrUndecided); err != nil && (!undecided || proof(0, 1) == 1) {
		t.Errorf("seed %d: %v", seed, err)
	}
	if counts[document.Unknown] == 0 {
		t.Error("no answer was lost: this was no test")
	}
}

// spoil lets one or two of the next requests with one of these methods go wrong.
func (c *crowd) spoil(random *rand.Rand, methods ...string) {
	c.t.Helper()
	fault := []endpoint.Fault{
		{Kind: endpoint.FaultDelay, Delay: time.Duration((0.25 + 2*random.Float64()) * float64(answerWait))},
		{Kind: endpoint.FaultDropBefore},
		{Kind: endpoint.FaultDropAfter},
		{Kind: endpoint.FaultRefuse, Status: http.StatusServiceUnavailable},
	}[random.IntN(4)]
	fault.Method, fault.Path, fault.Times = methods[random.IntN(len(methods))], "/profiles/*", 1+random.IntN(2)
	if _, err := c.Inject(fault); err != nil {
		c.t.Fatal(err)
	}
}

// disturb makes a holder of role resign, if there is one, and leaves the crowd
// some time.
func (c *crowd) disturb(random *rand.Rand, role string) {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Duration(50+random.IntN(300))*time.Millisecond)
	defer cancel()
	for _, holder := range c.ledger.holders(role) {
		c.fellow(holder).peer.Elector.Resign(ctx, role) // it need not know yet that it holds, nor be done in time
		break
	}
	<-ctx.Done()
}

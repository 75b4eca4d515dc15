package mutation

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"muster/agent"
	"muster/profile"
	"muster/profile/memory"
)

const cluster = "cluster-1"

// errGone is the end of a process whose request is on its way.
var errGone = errors.New("the sender is gone")

// world is one cluster profile in memory, in a synctest bubble, and those who
// write to it.
type world struct {
	*memory.Profile
	t     *testing.T
	dir   string // for state directories
	hosts map[string]*host
	trail *trail

	process *agent.Agent   // the process of u1, where a scenario has a whole agent
	tenure  profile.Tenure // that u1 was told of

	by      string // function whose request is held; "" holds none
	request *profile.Change
	cancel  context.CancelCauseFunc // ends the sender
	before  *profile.Document       // when the request arrives
}

func newWorld(t *testing.T, seed profile.Seed, trail *trail) *world {
	seed.Profile = cluster
	params, err := seed.Params()
	if err != nil {
		t.Fatal(err)
	}
	return &world{Profile: memory.New(cluster, params), t: t, dir: t.TempDir(), hosts: map[string]*host{}, trail: trail}
}

// held lets send make its request, up to the moment at which it is on its way.
func (w *world) held(by string, send func(context.Context)) {
	w.t.Helper()
	ctx, cancel := context.WithCancelCause(w.t.Context())
	defer cancel(nil)
	ctx, late := context.WithTimeout(ctx, 5*time.Minute)
	defer late()
	w.by, w.cancel = by, cancel
	send(ctx)
	w.by = ""
	if w.request == nil {
		w.t.Fatalf("%s made no request", by)
	}
}

// lookFor is how long a sender that looks again goes on: shorter than what is
// wanted stays so, or a lease lasts.
const lookFor = 5 * time.Second

// again lets the sender look again, in a new process, and send what it decides.
func (w *world) again(s sender) {
	for _, h := range w.hosts {
		if h.way.dead() {
			h.boot()
			h.Join(w.t.Context(), h.joining()) // or it is told that it may not
		}
	}
	if w.process != nil {
		w.agent()
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), lookFor)
	defer cancel()
	s.send(ctx, w)
}

// arrive has the request arrive, without the test ops of a path.
func (w *world) arrive(without string) error {
	w.before = w.Document()
	ops, err := w.request.Ops()
	if err != nil {
		w.t.Fatal(err)
	}
	less := &profile.Change{}
	for _, op := range ops {
		switch {
		case tests(op) && place(op) == without:
		case op.Op == profile.OpNames:
			var names []string
			w.must(json.Unmarshal(op.Value, &names))
			d := &profile.Document{Params: profile.Params{}}
			for _, name := range names {
				d.Params[name] = nil
			}
			less.TestNames(d)
		case op.Op == "test":
			less.Test(op.Path, op.Value)
		case op.Op == "remove":
			less.Remove(op.Path)
		default:
			less.Set(op.Path, json.RawMessage(op.Value))
		}
	}
	_, err = w.Store(nil).Apply(w.t.Context(), less)
	return err
}

// verb has an operator carry a plan out.
func (w *world) verb(plan profile.Plan) {
	w.t.Helper()
	if _, err := profile.NewOperator(w.way()).Write(w.t.Context(), plan); err != nil {
		w.t.Fatal(err)
	}
}

// put changes one place by hand, as in DRP's portal.
func (w *world) put(p profile.Pointer, v any) {
	w.t.Helper()
	c := &profile.Change{}
	if c.Set(p, v); v == nil {
		c = &profile.Change{}
		c.Remove(p)
	}
	if _, err := w.Store(nil).Apply(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) slot(role, n string) profile.Slot {
	w.t.Helper()
	slots, err := w.Document().Slots()
	if err != nil {
		w.t.Fatal(err)
	}
	return slots[role][n]
}

func (w *world) round() profile.Round {
	w.t.Helper()
	r, err := w.Document().Round()
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

package profile_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"muster/profile"
	"muster/profile/memory"
)

const cluster = "cluster-1"

// world is a seeded cluster profile in memory. Tests run it in a synctest bubble.
type world struct {
	*memory.Profile
	t *testing.T
}

func seeded(t *testing.T, seed profile.Seed) *world {
	t.Helper()
	seed.Profile = cluster
	params, err := seed.Params()
	if err != nil {
		t.Fatal(err)
	}
	return &world{memory.New(cluster, params), t}
}

// two is a seed of members u1 and u2, and two leader slots.
func two() profile.Seed { return profile.Seed{Members: []string{"u1", "u2"}, Leaders: 2} }

// journal is a profile.Journal that keeps every state as it was saved.
type journal struct {
	mu    sync.Mutex
	saved []string
	fail  error
}

func (j *journal) Save(s profile.State) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	raw, err := json.Marshal(s)
	if err == nil && j.fail == nil {
		j.saved = append(j.saved, string(raw))
	}
	return j.fail
}

// state is what a restart finds: the last state that was saved.
func (j *journal) state(t *testing.T) (s profile.State) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := json.Unmarshal([]byte(j.saved[len(j.saved)-1]), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// host is one machine: its state directory and its way to the profile.
type host struct {
	*world
	journal
	uuid   string
	calls  map[string]int // of the store, by method
	faults func(memory.Call) memory.Fault
	store  profile.Store
	ways   []*memory.Store
	view   *profile.View
	*profile.Member
}

// host boots a machine with no state yet.
func (w *world) host(uuid string) *host {
	h := &host{world: w, uuid: uuid, calls: map[string]int{}}
	h.boot(profile.State{UUID: uuid, Profile: cluster})
	return h
}

// boot starts the member anew, as a process that finds state.
func (h *host) boot(state profile.State) {
	h.t.Helper()
	way := h.Store(func(c memory.Call) memory.Fault {
		h.calls[c.Method]++
		c.N = h.calls[c.Method] - 1
		if h.faults == nil {
			return memory.Fault{}
		}
		return h.faults(c)
	})
	h.ways = append(h.ways, way)
	h.store = way
	h.start(state)
}

// start makes the member over h.store.
func (h *host) start(state profile.State) {
	d, err := profile.ReadToJoin(h.t.Context(), h.Store(func(memory.Call) memory.Fault { return memory.Fault{} }), cluster, state)
	if err != nil {
		h.t.Fatal(err)
	}
	h.view = profile.NewView(d)
	h.Member = profile.NewMember(profile.MemberConfig{Store: h.store, View: h.view, Journal: &h.journal, State: state})
}

// faulty has the next Apply suffer fault, and forgets the calls so far.
func (h *host) faulty(fault memory.Fault) {
	h.calls = map[string]int{}
	h.faults = func(c memory.Call) memory.Fault {
		if c.Method == "Apply" && c.N == 0 {
			return fault
		}
		return memory.Fault{}
	}
}

// settle waits until nothing of this host is on its way any more.
func (h *host) settle() {
	for _, way := range h.ways {
		way.Settle()
	}
}

func (h *host) joining() profile.Joining {
	return profile.Joining{Name: "host " + h.uuid, Address: "10.0.0.1", Version: "v1", Hardware: "hardware of " + h.uuid}
}

// join joins, or fails the test.
func (h *host) join() *profile.Document {
	h.t.Helper()
	d, err := h.Join(h.t.Context(), h.joining())
	if err != nil {
		h.t.Fatalf("join %s: %v", h.uuid, err)
	}
	return d
}

// record returns the member's record as it is in the profile.
func (w *world) record(uuid string) profile.Record {
	w.t.Helper()
	r, _, err := w.Document().Record(uuid)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// edit changes params by hand.
func (w *world) edit(params map[string]any) {
	w.t.Helper()
	all := maps.Clone(w.Document().Params)
	for name, v := range params {
		raw, err := json.Marshal(v)
		if err != nil {
			w.t.Fatal(err)
		}
		all[name] = raw
	}
	w.Replace(all)
}

// put applies one set as somebody else would.
func (w *world) put(p profile.Pointer, v any) {
	w.t.Helper()
	c := &profile.Change{}
	c.Set(p, v)
	if _, err := w.Store(nil).Apply(context.Background(), c); err != nil {
		w.t.Fatal(err)
	}
}

// held returns the numbers of the slots of role that uuid holds.
func (w *world) held(role, uuid string) []string {
	w.t.Helper()
	slots, err := w.Document().Slots()
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(profile.SlotNumbers(slots[role]), func(n string) bool { return slots[role][n].Holder != uuid })
}

// claim returns a plan that goes for the slots of role in this order, one a
// call, until the member holds one.
func (h *host) claim(role string, order ...string) profile.Plan {
	calls := 0
	return func(d *profile.Document) (*profile.Change, error) {
		n := order[min(calls, len(order)-1)]
		calls++
		return profile.Claim(d, profile.Tenure{Role: role, Slot: n, Instance: h.State().Instance}, h.uuid, "")
	}
}

// name returns a plan that sets the member's own name until it is v.
func (h *host) name(v string) profile.Plan {
	return func(d *profile.Document) (*profile.Change, error) {
		if r, _, err := d.Record(h.uuid); err != nil || r.Name == v {
			return nil, err
		}
		c := &profile.Change{}
		c.Set(profile.At(profile.ParamMembers, h.uuid, "name"), v)
		return c, nil
	}
}

func number(i int) string { return strconv.Itoa(i) }

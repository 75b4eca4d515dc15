package election_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/election"
	"muster/internal/backoff"
	"muster/internal/boottime"
	"muster/profile"
	"muster/profile/memory"
)

const cluster = "cluster-1"

// errStopped is the cause with which hosts are stopped.
var errStopped = errors.New("stopped by the test")

// world is a seeded cluster profile in memory, in a synctest bubble. Every
// commit is held to the invariants of slots.
type world struct {
	*memory.Profile
	t     *testing.T
	hosts []*host
}

func seeded(t *testing.T, seed profile.Seed) *world {
	t.Helper()
	seed.Profile = cluster
	params, err := seed.Params()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Profile: memory.New(cluster, params), t: t}
	w.OnCommit(guard(t))
	t.Cleanup(func() {
		for _, h := range w.hosts {
			if h.cancel != nil {
				h.stop()
			}
			for _, way := range h.ways {
				way.Settle()
			}
		}
	})
	return w
}

func members(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("u%02d", i)
	}
	return list
}

// guard returns what checks each commit: no member in two slots of a role, no
// tenure twice, epochs that only rise.
func guard(t *testing.T) func(before, after *profile.Document) {
	used := map[profile.Tenure]bool{}
	return func(before, after *profile.Document) {
		old, err := before.Slots()
		now, errAfter := after.Slots()
		if err != nil || errAfter != nil {
			return // edited by hand
		}
		for role, slots := range now {
			holders := map[string]string{}
			for n, s := range slots {
				was := old[role][n]
				if other := holders[s.Holder]; s.Holder != "" && other != "" {
					t.Errorf("%s holds slots %s and %s of %s", s.Holder, other, n, role)
				}
				holders[s.Holder] = n
				if s.Epoch < was.Epoch {
					t.Errorf("slot %s of %s: epoch %d after %d", n, role, s.Epoch, was.Epoch)
				}
				if s.Holder == was.Holder && s.Instance == was.Instance && s.Epoch == was.Epoch || s.Free() {
					continue
				}
				if !was.Free() {
					t.Errorf("slot %s of %s: taken by %s from %s", n, role, s.Holder, was.Holder)
				}
				tenure := profile.Tenure{Role: role, Slot: n, Instance: s.Instance, Epoch: s.Epoch}
				if used[tenure] {
					t.Errorf("tenure %+v is used again", tenure)
				}
				used[tenure] = true
			}
		}
	}
}

// edit changes params by hand; nil removes one.
func (w *world) edit(params map[string]any) {
	w.t.Helper()
	all := maps.Clone(w.Document().Params)
	for name, v := range params {
		raw, err := json.Marshal(v)
		if err != nil {
			w.t.Fatal(err)
		}
		if all[name] = raw; v == nil {
			delete(all, name)
		}
	}
	w.Replace(all)
}

// put applies sets as somebody else would, in one patch: pointer, value, …
func (w *world) put(pairs ...any) {
	w.t.Helper()
	c := &profile.Change{}
	for pair := range slices.Chunk(pairs, 2) {
		c.Set(pair[0].(profile.Pointer), pair[1])
	}
	way := w.Store(nil)
	if _, err := way.Apply(context.Background(), c); err != nil {
		w.t.Fatal(err)
	}
	way.Settle()
}

// slots returns the slots of role.
func (w *world) slots(role string) map[string]profile.Slot {
	w.t.Helper()
	slots, err := w.Document().Slots()
	if err != nil {
		w.t.Fatal(err)
	}
	return slots[role]
}

// holders returns who holds a slot of role, sorted.
func (w *world) holders(role string) []string {
	w.t.Helper()
	list := []string{}
	for _, s := range w.slots(role) {
		if !s.Free() {
			list = append(list, s.Holder)
		}
	}
	slices.Sort(list)
	return list
}

// host is one machine: its state directory, its way to the profile, its agent.
type host struct {
	*world
	uuid    string
	name    string
	faults  func(memory.Call) memory.Fault
	random  func() float64
	machine profile.MachineStore
	marked  bool
	deaf    bool // no watch: the view does not follow the profile
	newLife bool
	ways    []*memory.Store
	view    *profile.View
	member  *profile.Member
	elector *election.Elector
	rate    float64 // of the host's clock; 0 is 1
	onNow   func()  // called when the elector asks for the time; nil for none
	// suspended is how long, in nanoseconds, the host was suspended in all.
	suspended atomic.Int64
	store     *counting
	log       log
	cancel    context.CancelCauseFunc
	done      chan error

	mu    sync.Mutex // guards saved and dead
	saved profile.State
	dead  bool // crashed: nothing is written any more
}

// Save implements profile.Journal.
func (h *host) Save(s profile.State) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saved = s
	return nil
}

// counting counts the patches of a host, and those that conflicted.
type counting struct {
	profile.Store
	host               *host
	applied, conflicts int
}

func (c *counting) Apply(ctx context.Context, change *profile.Change) (*profile.Document, error) {
	c.host.mu.Lock()
	dead := c.host.dead
	if !dead {
		c.applied++
	}
	c.host.mu.Unlock()
	if dead {
		return nil, profile.ErrRefused
	}
	d, err := c.Store.Apply(ctx, change)
	if errors.Is(err, profile.ErrConflict) {
		c.host.mu.Lock()
		c.conflicts++
		c.host.mu.Unlock()
	}
	return d, err
}

// patches returns how many patches the host has sent.
func (h *host) patches() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.store.applied
}

// log keeps what an elector logs.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// host returns a machine with no state yet.
func (w *world) host(uuid string) *host {
	h := &host{world: w, uuid: uuid, name: "host " + uuid, saved: profile.State{UUID: uuid, Profile: cluster}}
	w.hosts = append(w.hosts, h)
	return h
}

// join boots the host, as a process that finds its state, and joins.
func (h *host) join(ctx context.Context) error {
	h.mu.Lock()
	state := h.saved
	h.mu.Unlock()
	way := h.Store(h.faults)
	h.ways = append(h.ways, way)
	h.store = &counting{Store: way, host: h}
	h.view = profile.NewView(h.Document())
	h.member = profile.NewMember(profile.MemberConfig{Store: h.store, View: h.view, Journal: h, State: state, Random: h.random})
	_, err := h.member.Join(ctx, profile.Joining{
		Name: h.name, Address: "10.0.0.1", Version: "v1", Hardware: "hardware of " + h.uuid, NewLife: h.newLife,
	})
	return err
}

// compete watches the profile and competes for slots until ctx ends.
func (h *host) compete(ctx context.Context) error {
	var watch sync.WaitGroup
	defer watch.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.elector = election.New(election.Config{
		Member: h.member, Store: h.store, View: h.view, Machine: h.machine, Marked: h.marked,
		Clock: asked{h.clock(), h.onNow}, Random: h.random, Logger: hclog.New(&hclog.LoggerOptions{Output: &h.log, Level: hclog.Debug}),
	})
	if !h.deaf {
		watch.Go(func() { profile.Watch{Store: h.store, View: h.view, Pace: h.elector.Pace}.Run(ctx) })
	}
	return h.elector.Run(ctx)
}

// clock returns the host's clock, in simulated time.
func (h *host) clock() boottime.Clock {
	if h.rate == 0 {
		return rated{1, &h.suspended}
	}
	return rated{h.rate, &h.suspended}
}

// asked is a clock that tells when it is asked.
type asked struct {
	boottime.Clock
	now func()
}

func (a asked) Now() time.Duration {
	if a.now != nil {
		a.now()
	}
	return a.Clock.Now()
}

// rated is a clock of the bubble that runs at its own rate, and in suspend,
// when timers do not.
type rated struct {
	rate      float64
	suspended *atomic.Int64
}

var bubble = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when every bubble begins

func (r rated) Now() time.Duration {
	return time.Duration(float64(time.Since(bubble))*r.rate) + time.Duration(r.suspended.Load())
}

func (r rated) Until(ctx context.Context, moment time.Duration) error {
	for {
		left := moment - r.Now()
		if left <= 0 {
			return nil
		}
		if err := backoff.Sleep(ctx, time.Duration(float64(left)/r.rate)+1); err != nil {
			return err
		}
	}
}

// start joins and competes in the background.
func (h *host) start() *host { return h.spawn(h.join) }

// run competes in the background; the host has joined.
func (h *host) run() *host { return h.spawn(func(context.Context) error { return nil }) }

func (h *host) spawn(first func(context.Context) error) *host {
	ctx, cancel := context.WithCancelCause(context.Background())
	h.cancel, h.done = cancel, make(chan error, 1)
	go func() {
		err := first(ctx)
		if err == nil {
			err = h.compete(ctx)
		}
		h.done <- err
	}()
	return h
}

// stop ends the agent and returns what it ended with.
func (h *host) stop() error {
	h.cancel(errStopped)
	h.cancel = nil
	return <-h.done
}

// joined joins, or fails the test.
func (h *host) joined() *host {
	h.t.Helper()
	if err := h.join(h.t.Context()); err != nil {
		h.t.Fatalf("join %s: %v", h.uuid, err)
	}
	return h
}

// pass lets simulated time pass, and everything happen that is due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

const cluster = "cluster-1"

// errStopped is the cause with which hosts are stopped.
var errStopped = errors.New("stopped by the test")

// world is a seeded cluster profile in memory, in a synctest bubble. Every
// commit is held to the invariants of verdicts.
type world struct {
	*memory.Profile
	t     *testing.T
	hosts []*host

	mu       sync.Mutex              // guards what follows
	finished map[string]map[int]bool // UUID → rounds in which its machine really completed
	waitsFor map[string][]string     // barrier → whom it waits for, set before the hosts start; all expected members else
}

func members(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("u%02d", i)
	}
	return list
}

func seeded(t *testing.T, seed profile.Seed) *world {
	t.Helper()
	seed.Profile = cluster
	params, err := seed.Params()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Profile: memory.New(cluster, params), t: t, finished: map[string]map[int]bool{}}
	w.OnCommit(w.guard)
	t.Cleanup(func() {
		for _, h := range w.hosts {
			h.stop()
		}
		for _, h := range w.hosts {
			for _, way := range h.ways {
				way.Settle()
			}
		}
	})
	return w
}

// guard checks each commit: a verdict is written once, and it is "complete"
// only when every machine that is waited for really has completed in that round.
func (w *world) guard(before, after *profile.Document) {
	barriers := func(d *profile.Document) (all map[string]map[string]profile.Barrier) {
		json.Unmarshal(d.Params[profile.ParamBarriers], &all)
		return all
	}
	old := barriers(before)
	for name, rounds := range barriers(after) {
		for round, barrier := range rounds {
			was := old[name][round].Verdict
			if was == barrier.Verdict {
				continue
			}
			if was != "" {
				w.t.Errorf("barrier %s, round %s: verdict %q becomes %q", name, round, was, barrier.Verdict)
			}
			if barrier.Verdict == profile.VerdictComplete && barrier.Criteria.Of != profile.OfArrival {
				w.allCompleted(after, name, round, barrier)
			}
		}
	}
}

func (w *world) allCompleted(d *profile.Document, name, round string, barrier profile.Barrier) {
	expected, err := d.Expected()
	if err != nil {
		w.t.Error(err)
	}
	n, _ := strconv.Atoi(round)
	who, some := w.waitsFor[name]
	if !some {
		who = expected.Members
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, uuid := range who {
		if !w.finished[uuid][n] {
			w.t.Errorf("barrier %s, round %s is complete by %s, but the machine of %s has not completed in it", name, round, barrier.By, uuid)
		}
	}
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

// open opens the round after n.
func (w *world) open(n int, force bool) {
	w.t.Helper()
	way := w.Store(nil)
	if _, err := profile.NewOperator(way).Write(context.Background(), profile.RoundSpec{After: n, Force: force}.Plan); err != nil {
		w.t.Fatal(err)
	}
	way.Settle()
}

func (w *world) round() int {
	w.t.Helper()
	r, err := w.Document().Round()
	if err != nil {
		w.t.Fatal(err)
	}
	return r.N
}

func (w *world) barrier(round int) profile.Barrier {
	w.t.Helper()
	b, _, err := w.Document().Barrier(profile.BarrierComplete, round)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// outcome is that of round 1 with nobody missing.
func (w *world) outcome(verdict string, done, total int) coordinator.Outcome {
	w.t.Helper()
	return coordinator.Outcome{
		Barrier: profile.BarrierComplete, Round: 1, RoundID: w.nth(1).ID, Verdict: verdict, Done: done, Total: total,
		Missing: []string{}, Failed: []string{}, Stopped: []string{}, Waits: []coordinator.Standpoint{},
		Late: []string{}, Departed: []string{}, Renewed: []string{},
	}
}

func (w *world) verdict(round int) string { return w.barrier(round).Verdict }

func (w *world) record(uuid string) profile.Record {
	w.t.Helper()
	r, _, err := w.Document().Record(uuid)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// host is one machine: its runner, its state directory, its way to the profile
// and its agent.
type host struct {
	*world
	uuid      string
	machine   *memory.Machine
	reads     int // of it, while the agent runs
	jobs      int
	faults    func(memory.Call) memory.Fault
	random    func() float64
	noReferee bool
	onSaveRun func(profile.Run) // in the place of a crash
	also      func(context.Context, *host)
	applied   int
	ways      []*memory.Store
	view      *profile.View
	member    *profile.Member
	cancel    context.CancelCauseFunc
	done      chan error

	mu    sync.Mutex // guards what follows: the state directory
	saved profile.State
	run   profile.Run
}

// host returns a machine in the middle of its workflow, with no agent yet.
func (w *world) host(uuid string) *host {
	h := &host{world: w, uuid: uuid, saved: profile.State{UUID: uuid, Profile: cluster}}
	h.machine = memory.NewMachine(profile.Machine{UUID: uuid, Name: "host " + uuid, Workflow: "w", Runnable: true, Task: 1, Job: "job 0"})
	w.hosts = append(w.hosts, h)
	return h
}

// all starts a host for every member.
func (w *world) all(n int) []*host {
	for _, uuid := range members(n) {
		w.host(uuid).start()
	}
	pass(time.Second)
	return w.hosts
}

func (h *host) Save(s profile.State) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saved = s
	return nil
}

func (h *host) LoadRun() (profile.Run, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.run, nil
}

func (h *host) SaveRun(r profile.Run) error {
	h.mu.Lock()
	h.run = r
	h.mu.Unlock()
	if h.onSaveRun != nil {
		h.onSaveRun(r)
	}
	return nil
}

// restart sets the runner to the first task, as a new workflow does.
func (h *host) restart() {
	h.machine.Set(func(m *profile.Machine) {
		h.jobs++
		m.Complete, m.Runnable, m.Task, m.Job, m.JobState = false, true, -1, fmt.Sprintf("job %d", h.jobs), "running"
	})
}

// finish completes the workflow, in a run that began in this round.
func (h *host) finish(round int) {
	h.world.mu.Lock()
	if h.finished[h.uuid] == nil {
		h.finished[h.uuid] = map[int]bool{}
	}
	h.finished[h.uuid][round] = true
	h.world.mu.Unlock()
	h.machine.Set(func(m *profile.Machine) { m.Complete, m.Runnable, m.Task, m.JobState = true, true, 3, "finished" })
}

// fail has the job of now end in this state.
func (h *host) fail(jobState string) {
	h.machine.Set(func(m *profile.Machine) { m.Runnable, m.JobState = false, jobState })
}

// retry has the failed task run again.
func (h *host) retry() {
	h.machine.Set(func(m *profile.Machine) { m.Runnable, m.JobState = true, "running" })
}

// start boots the agent as a process that finds its state directory.
func (h *host) start() *host {
	ctx, cancel := context.WithCancelCause(context.Background())
	h.cancel, h.done = cancel, make(chan error, 1)
	go func() { h.done <- h.serve(ctx) }()
	return h
}

func (h *host) join(ctx context.Context) error {
	h.mu.Lock()
	state := h.saved
	h.mu.Unlock()
	way := h.Store(func(c memory.Call) memory.Fault {
		if c.Method == "Apply" {
			h.applied++
		}
		if h.faults == nil {
			return memory.Fault{}
		}
		return h.faults(c)
	})
	h.ways = append(h.ways, way)
	h.view = profile.NewView(h.Document())
	h.member = profile.NewMember(profile.MemberConfig{Store: way, View: h.view, Journal: h, State: state, Random: h.random})
	_, err := h.member.Join(ctx, profile.Joining{Name: "host " + h.uuid, Address: "10.0.0.1", Version: "v1", Hardware: "hardware of " + h.uuid})
	return err
}

func (h *host) serve(ctx context.Context) error {
	known := coordinator.RoundID(h.Document())
	first, err := h.machine.Read(ctx)
	if err != nil {
		return err
	}
	if err := h.join(ctx); err != nil {
		return err
	}
	_, n := h.view.Latest()
	way := h.ways[len(h.ways)-1]
	found := coordinator.Found{Machine: first, Known: known, Later: n > 1} // joining wrote, and the answer is the second state
	var loops sync.WaitGroup
	defer loops.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	loops.Go(func() { profile.Watch{Store: way, View: h.view}.Run(ctx) })
	if !h.noReferee {
		referee := coordinator.Referee{Member: h.member, Store: way, View: h.view, Logger: hclog.NewNullLogger(), Random: h.random}
		loops.Go(func() { referee.Run(ctx) })
	}
	if h.also != nil {
		loops.Go(func() { h.also(ctx, h) })
	}
	completion := coordinator.Completion{
		Member: h.member, Store: way, View: h.view, Machine: countedMachine{h.machine, h}, Journal: h, Logger: hclog.NewNullLogger(),
	}
	return completion.Run(ctx, found)
}

// countedMachine counts the reads of a machine.
type countedMachine struct {
	*memory.Machine
	host *host
}

func (m countedMachine) Read(ctx context.Context) (profile.Machine, error) {
	m.host.reads++
	return m.Machine.Read(ctx)
}

// stop ends the agent, if it runs, and returns what it ended with.
func (h *host) stop() error {
	if h.cancel == nil {
		return nil
	}
	h.cancel(errStopped)
	h.cancel = nil
	return <-h.done
}

// writes reports whether a change writes at p or below.
func writes(c *profile.Change, p profile.Pointer) bool {
	ops, err := c.Ops()
	return err == nil && slices.ContainsFunc(ops, func(op profile.Op) bool {
		return op.Op != "test" && (op.Path == p || len(op.Path) > len(p) && op.Path[:len(p)+1] == p+"/")
	})
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

// pass lets simulated time pass, and everything happen that is due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// nth is the n-th round as the profile has it now.
func (w *world) nth(n int) profile.Round {
	barrier, _, err := w.Document().Barrier(profile.BarrierComplete, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return profile.Round{N: n, ID: barrier.ID}
}

// see makes d the newest state of a view.
func see(view *profile.View, d *profile.Document) {
	_, now := view.Latest()
	view.Put(d, now)
}

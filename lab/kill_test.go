//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/endpoint"
	"muster/profile"
)

// Three agents of a demo are killed at moments that the seed decides, and
// started again, as a service manager would. With MUSTER_PROOF set it is done
// for twenty seeds in each mode.
func TestAgentsThatAreKilledAtAnyMomentCarryOnAsTheSameMembers(t *testing.T) {
	seeds := 1
	if os.Getenv("MUSTER_PROOF") != "" {
		seeds = 20
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "../cmd/muster", "../cmd/muster-lab")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, compat := range []string{"", "3.13"} {
		for seed := range seeds {
			t.Run(fmt.Sprintf("compat %s, seed %d", compat, seed), func(t *testing.T) {
				cfg := DemoConfig{Members: 3, Leaders: 2, Seed: uint64(seed), Compat: compat, Muster: filepath.Join(bin, "muster"), Lab: filepath.Join(bin, "muster-lab")}
				newRough(t, cfg).form(rand.New(rand.NewPCG(uint64(seed), 1)))
			})
		}
	}
}

// rough is a demo whose agents are killed.
type rough struct {
	*demo
	t      *testing.T
	agents map[string]*Process // by name

	mu      sync.Mutex
	slots   map[string]map[string]profile.Slot
	members map[string]profile.Record
	writes  map[string]bool // every id of a write
	verdict string
	moves   []string // changes of hands
	wrong   []string
	changed chan struct{} // closed by the next commit
}

func newRough(t *testing.T, cfg DemoConfig) *rough {
	t.Helper()
	names, err := cfg.names()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rough") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	r := &rough{
		demo: &demo{cfg: cfg, dir: dir, names: names, procs: NewProcesses(stopWait)}, t: t,
		agents: map[string]*Process{}, writes: map[string]bool{}, changed: make(chan struct{}),
	}
	if r.server, err = endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: cfg.Compat}); err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(serving) }()
	t.Cleanup(func() {
		r.procs.Stop()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(r.procs.Tails())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := r.prepare(within(t)); err != nil {
		t.Fatal(err)
	}
	r.server.OnCommit(r.take)
	return r
}

// form starts the cluster, kills each agent twice on its way to the verdict,
// and runs the gated steps after it.
func (r *rough) form(random *rand.Rand) {
	r.t.Helper()
	begun := time.Now()
	for _, name := range r.names {
		r.startAgent(name)
		_, err := r.procs.Start(r.home(name), "runner", r.musterEnv(name), r.cfg.Lab, "runner",
			"--endpoint", r.server.URL(), "--machine", r.uuids[name], "--ca-file", filepath.Join(r.dir, "ca.pem"),
			"--token-file", filepath.Join(r.home(name), "machine.token"), "--dir", r.runDir(name))
		if err != nil {
			r.t.Fatal(err)
		}
	}
	for _, k := range r.kills(random) {
		<-time.After(time.Until(begun.Add(k.at)))
		r.kill(k.name)
		<-time.After(k.pause)
		r.startAgent(k.name)
	}
	r.awaitVerdict()
	took := time.Since(begun)
	r.check(took)
	for _, name := range r.names {
		step := exec.CommandContext(within(r.t), r.cfg.Muster, "run", "--after", "complete", "--name", "demo", "--", r.cfg.Lab, "note", r.note(name))
		step.Env = r.musterEnv(name)
		err := await(within(r.t), func() bool { _, err := os.Stat(r.socket(name)); return err == nil })
		if out, runErr := step.CombinedOutput(); err != nil || runErr != nil {
			r.t.Errorf("the gated step of %s: %v, %v\n%s", name, err, runErr, out)
		}
	}
	r.t.Logf("verdict after %v; slots: %s", took.Round(time.Millisecond), strings.Join(r.moves, ", "))
}

func (r *rough) awaitVerdict() {
	r.t.Helper()
	for late := time.After(generous); ; {
		r.mu.Lock()
		verdict, changed := r.verdict, r.changed
		r.mu.Unlock()
		if verdict != "" {
			return
		}
		select {
		case <-changed:
		case <-late:
			r.t.Fatalf("no verdict within %s after the last kill", generous)
		}
	}
}

// killing is one kill, and how long the agent is away after it.
type killing struct {
	name      string
	at, pause time.Duration
}

// kills are two of each agent, in the time that forming takes, by time.
func (r *rough) kills(random *rand.Rand) []killing {
	var list []killing
	for range 2 {
		for _, name := range r.names {
			list = append(list, killing{name, time.Duration(random.Float64() * float64(5*time.Second)), time.Duration(random.Float64() * float64(200*time.Millisecond))})
		}
	}
	slices.SortFunc(list, func(a, b killing) int { return int(a.at - b.at) })
	return list
}

func (r *rough) startAgent(name string) {
	r.t.Helper()
	agent, err := r.procs.Start(r.home(name), "agent", r.musterEnv(name), r.cfg.Muster, "agent")
	if err != nil {
		r.t.Fatal(err)
	}
	r.agents[name] = agent
}

func (r *rough) kill(name string) {
	r.t.Helper()
	agent := r.agents[name]
	select {
	case <-agent.ended:
		r.t.Errorf("it was not killed: %v", agent.Fault())
	default:
	}
	if err := agent.cmd.Process.Kill(); err != nil {
		r.t.Error(err)
	}
	<-agent.ended
}

// check says what is wrong with what came of it.
func (r *rough) check(took time.Duration) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, what := range r.wrong {
		r.t.Error(what)
	}
	if r.verdict != profile.VerdictComplete || took > time.Minute {
		r.t.Errorf("the verdict is %q after %v, want %q within a minute", r.verdict, took, profile.VerdictComplete)
	}
	for name, uuid := range r.uuids {
		if r.members[uuid].Life == "" {
			r.t.Errorf("%s (%s) has no record", name, uuid)
		}
	}
	if len(r.members) != len(r.uuids) {
		r.t.Errorf("%d records, want %d: %v", len(r.members), len(r.uuids), slices.Collect(maps.Keys(r.members)))
	}
}

// take holds a commit to what a killed member may never do.
func (r *rough) take(c endpoint.Commit) {
	if c.Prefix != "profiles" || c.Key != demoProfile {
		return
	}
	var object struct{ Params profile.Params }
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := json.Unmarshal(c.Object, &object); err != nil {
		r.fault("%v", err)
		return
	}
	d := &profile.Document{Name: c.Key, Params: object.Params}
	slots, err := d.Slots()
	if err != nil {
		r.fault("%v", err)
		return
	}
	members, err := d.Members()
	if err != nil {
		r.fault("%v", err)
		return
	}
	r.takeSlots(slots)
	r.takeMembers(members)
	if b, ok, err := d.Barrier(profile.BarrierComplete, 1); ok && err == nil {
		r.verdict = b.Verdict
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *rough) takeSlots(slots map[string]map[string]profile.Slot) {
	for role, all := range slots {
		holders := map[string]string{}
		for n, s := range all {
			was := r.slots[role][n]
			if s.Free() {
				if !was.Free() {
					r.fault("%s gave up sticky slot %s/%s", was.Holder, role, n)
				}
				continue
			}
			if other, two := holders[s.Holder]; two {
				r.fault("%s holds %s/%s and %s/%s", s.Holder, role, n, role, other)
			}
			holders[s.Holder] = n
			if s.Holder != was.Holder || s.Epoch != was.Epoch || s.Instance != was.Instance {
				if !was.Free() {
					r.fault("%s/%s went from %s to %s", role, n, was.Holder, s.Holder)
				}
				r.moves = append(r.moves, fmt.Sprintf("%s/%s to %s", role, n, s.Holder))
			}
		}
	}
	r.slots = slots
}

func (r *rough) takeMembers(members map[string]profile.Record) {
	for uuid, now := range members {
		was := r.members[uuid]
		if was.Life != "" && (now.Life != was.Life || now.Instance != was.Instance) {
			r.fault("%s: life %.8s and instance %.8s became %.8s and %.8s", uuid, was.Life, was.Instance, now.Life, now.Instance)
		}
		if now.Write == was.Write && now.Seq == was.Seq {
			continue
		}
		if now.Seq <= was.Seq || r.writes[now.Write] {
			r.fault("%s: write %.8s with seq %d after seq %d", uuid, now.Write, now.Seq, was.Seq)
		}
		r.writes[now.Write] = true
	}
	r.members = members
}

func (r *rough) fault(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

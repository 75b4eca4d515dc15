package coordinator_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/coordinator"
	"muster/election"
	"muster/profile"
	"muster/profile/memory"
)

// The simulation: agents that elect, complete, judge and wait through two
// rounds, on a store that is slow, loses and delays until it is calm again.
const (
	simAgents = 20
	simRounds = 2
	calmAfter = 5 * time.Minute
)

// simSeeds keeps the race detector's share short; runs without it can afford
// hundreds.
var simSeeds = flag.Int("seeds", 8, "seeds of the simulation")

// sim is one simulated cluster. What it draws comes from the seed.
type sim struct {
	*world
	seed uint64
	calm time.Time
	used map[profile.Tenure]bool
	// opened are closed when the round is open.
	opened [simRounds + 1]chan struct{}

	mu       sync.Mutex // guards verdicts
	verdicts [simRounds + 1]map[string]string
}

func TestAFaultyClusterKeepsItsInvariantsAndGetsThere(t *testing.T) {
	for seed := range uint64(*simSeeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

func simulate(t *testing.T, seed uint64) {
	slots := map[string]int{profile.Leader: 5, "db": 3}
	s := &sim{
		world: seeded(t, profile.Seed{Members: members(simAgents), Leaders: slots[profile.Leader], Roles: map[string]int{"db": slots["db"]}}),
		seed:  seed, calm: time.Now().Add(calmAfter), used: map[profile.Tenure]bool{},
	}
	for round := range s.opened {
		s.opened[round] = make(chan struct{})
	}
	close(s.opened[1])
	s.OnCommit(func(before, after *profile.Document) {
		s.guard(before, after)
		s.guardSlots(before, after)
	})
	unknown := map[profile.Pointer]string{
		profile.At("site/unknown"):                                  `{"a":[1,2.50,"x"]}`,
		profile.At(profile.ParamSlots, profile.Leader, "1", "note"): `"ours"`,
		profile.At(profile.ParamMembers, "u03", "later"):            `{"b":true}`,
	}
	for p, v := range unknown {
		s.put(p, rawJSON(v))
	}
	var machines sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); machines.Wait() }()
	for i, uuid := range members(simAgents) {
		h := s.agent(uuid, s.random(uint64(i)))
		machines.Go(func() { s.work(ctx, h, s.random(uint64(1000+i))) })
	}
	s.crash(s.random(2000))
	for round := 1; round <= simRounds; round++ { // each has its verdict in the end
		for waited := time.Duration(0); s.verdict(round) == ""; waited += 5 * time.Second {
			if waited > time.Hour {
				tally, err := coordinator.Count(s.Document(), round)
				t.Fatalf("round %d has no verdict: %+v, %v", round, tally, err)
			}
			time.Sleep(5 * time.Second)
		}
		if round < simRounds {
			s.open(round, false)
			close(s.opened[round+1])
		}
	}
	machines.Wait()
	time.Sleep(time.Until(s.calm))
	pass(3 * time.Minute) // the longest that a look can be behind
	for role, n := range slots {
		if got := s.held(role); got != n {
			t.Errorf("%d slots of %s are held, want %d", got, role, n)
		}
	}
	for round := 1; round <= simRounds; round++ {
		want := map[string]string{}
		for _, uuid := range members(simAgents) {
			want[uuid] = s.verdict(round)
		}
		if diff := cmp.Diff(want, s.verdicts[round]); diff != "" {
			t.Errorf("verdicts of round %d (-want +got):\n%s", round, diff)
		}
	}
	for p, want := range unknown {
		if got, _ := s.Document().Lookup(p); string(got) != want {
			t.Errorf("%s is %s, want %s", p, got, want)
		}
	}
}

type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func (s *sim) random(stream uint64) *mathrand.Rand {
	return mathrand.New(mathrand.NewPCG(s.seed, stream))
}

// agent starts a host that does everything that an agent does.
func (s *sim) agent(uuid string, random *mathrand.Rand) *host {
	h := s.host(uuid)
	h.faults = func(memory.Call) memory.Fault {
		if time.Now().After(s.calm) {
			return memory.Fault{}
		}
		fault := memory.Fault{Delay: time.Duration(random.ExpFloat64() * float64(200*time.Millisecond))}
		switch p := random.Float64(); {
		case p < 0.03:
			fault.LoseRequest = true
		case p < 0.08:
			fault.LoseReply = true
		case p < 0.11: // lands after it was given up
			fault.Delay += memory.Timeout + time.Duration(random.IntN(30))*time.Second
		}
		return fault
	}
	h.also = func(ctx context.Context, h *host) {
		var loops sync.WaitGroup
		loops.Go(func() {
			elector := election.New(election.Config{Member: h.member, Store: h.ways[len(h.ways)-1], View: h.view})
			if err := elector.Run(ctx); errors.Is(err, profile.ErrTwin) || errors.Is(err, profile.ErrForgotten) {
				s.t.Errorf("%s: election: %v", uuid, err)
			}
		})
		loops.Go(func() {
			for round := 1; round <= simRounds; round++ {
				s.wait(ctx, h, round)
			}
		})
		loops.Wait()
	}
	return h.start()
}

// wait waits for the verdict of a round as a local command would, and notes it.
func (s *sim) wait(ctx context.Context, h *host, round int) {
	for seen := uint64(0); ; { // a round that is not known yet cannot be waited for
		d, n, err := h.view.Wait(ctx, seen)
		if err != nil {
			return
		}
		if now, err := d.Round(); err == nil && now.N >= round {
			break
		}
		seen = n
	}
	out, err := coordinator.Wait(ctx, h.view, s.nth(round), nil)
	if ctx.Err() != nil && out.Verdict == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.verdicts[round] == nil {
		s.verdicts[round] = map[string]string{}
	}
	if was, known := s.verdicts[round][h.uuid]; known && was != out.Verdict || out.Verdict == "" {
		s.t.Errorf("%s: round %d: verdict %q, before it %q, error %v", h.uuid, round, out.Verdict, was, err)
	}
	s.verdicts[round][h.uuid] = out.Verdict
}

// work is the runner of one machine: a run in every round, some of which fail
// and are tried again.
func (s *sim) work(ctx context.Context, h *host, random *mathrand.Rand) {
	some := func(most time.Duration) { time.Sleep(time.Duration(random.Int64N(int64(most)))) }
	for round := 1; round <= simRounds; round++ {
		select {
		case <-s.opened[round]:
		case <-ctx.Done():
			return
		}
		for round > 1 && s.record(h.uuid).Results[strconv.Itoa(round-1)] != profile.Complete {
			if time.Sleep(5 * time.Second); ctx.Err() != nil {
				return
			}
		}
		some(time.Minute)
		if round > 1 {
			h.restart()
		}
		some(time.Minute)
		if random.IntN(5) == 0 {
			h.fail([]string{"failed", ""}[random.IntN(2)])
			some(time.Minute)
			h.retry()
			some(10 * time.Second)
		}
		h.finish(round)
		// A run that nobody saw may have ended before the round was opened, and
		// does not count: an operator then runs the workflow again.
		for waited := 0; s.record(h.uuid).Results[strconv.Itoa(round)] != profile.Complete; waited++ {
			if time.Sleep(10 * time.Second); ctx.Err() != nil {
				return
			}
			if waited == 60 {
				waited = 0
				h.restart()
				some(time.Minute)
				h.finish(round)
			}
		}
	}
}

// crash stops agents at any moment, and starts them again with their state.
func (s *sim) crash(random *mathrand.Rand) {
	for range simAgents {
		time.Sleep(time.Duration(random.IntN(20)) * time.Second)
		h := s.hosts[random.IntN(len(s.hosts))]
		if err := h.stop(); errors.Is(err, profile.ErrTwin) || errors.Is(err, profile.ErrForgotten) {
			s.t.Errorf("%s ended with %v", h.uuid, err)
		}
		time.Sleep(time.Duration(random.IntN(5)) * time.Second)
		h.start()
	}
}

// guardSlots checks each commit: no member in two slots of a role, no slot taken
// from its holder, no tenure twice, epochs that only rise.
func (s *sim) guardSlots(before, after *profile.Document) {
	old, err := before.Slots()
	if err != nil {
		s.t.Error(err)
	}
	now, err := after.Slots()
	if err != nil {
		s.t.Error(err)
	}
	for role, slots := range now {
		holders := map[string]bool{}
		for n, slot := range slots {
			was := old[role][n]
			if slot.Epoch < was.Epoch {
				s.t.Errorf("slot %s of %s: epoch %d after %d", n, role, slot.Epoch, was.Epoch)
			}
			if slot.Free() {
				continue
			}
			if holders[slot.Holder] {
				s.t.Errorf("%s holds two slots of %s", slot.Holder, role)
			}
			holders[slot.Holder] = true
			tenure := profile.Tenure{Role: role, Slot: n, Instance: slot.Instance, Epoch: slot.Epoch}
			switch {
			case slot.Holder == was.Holder && slot.Instance == was.Instance && slot.Epoch == was.Epoch:
			case !was.Free():
				s.t.Errorf("slot %s of %s: %s takes it from %s", n, role, slot.Holder, was.Holder)
			case s.used[tenure]:
				s.t.Errorf("tenure %+v is used again", tenure)
			}
			s.used[tenure] = true
		}
	}
}

// held counts the slots of role that are held by a tenure that their holder knows.
func (s *sim) held(role string) int {
	n := 0
	for _, h := range s.hosts {
		if _, held := h.member.Tenure(s.Document(), role); held {
			n++
		}
	}
	return n
}

//go:build linux

// Package soak runs a cluster for a long time under churn of all kinds, over real
// connections to an endpoint in a process of its own, and looks for what only time
// shows: a broken promise, a leaked goroutine or descriptor, memory that grows. The
// agents are whole ones (agent.Agent), in this process. `make soak` runs it at length,
// the ordinary tests for a few seconds. It is all tests.
package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"muster/endpoint"
	"muster/internal/backoff"
	"muster/internal/leaktest"
	"muster/lab"
	"muster/profile"
	"muster/profile/drp"
)

var (
	flagFor     = flag.Duration("soak.for", 3*time.Second, "how long to keep the churn up")
	flagMembers = flag.Int("soak.members", 8, "members")
	flagSeed    = flag.Uint64("soak.seed", 0, "decides what happens when, as far as the host lets it; 0 draws one")
)

const (
	profileName = "soak"
	workflow    = "soak"
	leaseRole   = "runner"
	leaseTTL    = "6s"
	tokenLife   = 24 * time.Hour
	rolling     = "roll" // name of the rolling step
	atOnce      = 3
	// A connection that came too late for the end of its client stays open while it
	// idles, for 90 s.
	idleMost = 2 * time.Minute
)

func TestMain(m *testing.M) { os.Exit(leaktest.Run(m)) }

// soak is one run.
type soak struct {
	t        *testing.T
	dir      string
	served   *lab.Served
	ca       []byte
	operator *lab.Operator
	admin    *drp.Client
	store    *drp.Store
	book     book
	judge    *judge
	seats    seats

	joins sync.RWMutex // held for reading while a member joins for the first time

	mu      sync.Mutex
	random  *rand.Rand
	members []*member
	counts  map[string]int
	faults  map[string]int
}

func TestSoak(t *testing.T) {
	seed := *flagSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	s := &soak{
		t: t, book: book{now: map[string]*command{}}, judge: newJudge(), random: rand.New(rand.NewPCG(seed, seed)), counts: map[string]int{}, faults: map[string]int{},
	}
	s.open()
	before := descriptors()
	memory := s.run(*flagFor)
	s.admin.Close()
	s.operator.Close()
	left := descriptors()
	for end := time.Now().Add(idleMost); len(left) > len(before) && time.Now().Before(end); left = descriptors() {
		time.Sleep(50 * time.Millisecond)
	}
	if len(left) > len(before) {
		s.fail("descriptors: %d before, %d after: %q", len(before), len(left), left)
	}
	if memory.grows() {
		s.fail("memory grows: %v", memory)
	}
	for _, fault := range slices.Sorted(maps.Keys(s.faults)) {
		t.Errorf("%d times: %s", s.faults[fault], fault)
	}
	if s.counts["rounds"] == 0 || s.judge.looks == 0 || s.seats.turns == 0 {
		t.Error("some of it never happened")
	}
	fmt.Printf("soak: %d violations, %d members for %s, seed %d: %d looks, %d commands under leases, %d rolling turns, %v; %v; %d descriptors before, %d after\n",
		len(s.faults), *flagMembers, *flagFor, seed, s.judge.looks, s.book.runs, s.seats.turns, s.counts, memory, len(before), len(left))
}

// fail notes a violation; the same one again is only counted.
func (s *soak) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if s.faults[text]++; s.faults[text] == 1 {
		s.t.Logf("violation: %s", text)
	}
}

// count counts something that happened.
func (s *soak) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

// draw draws a time.
func (s *soak) draw(least, most time.Duration) time.Duration {
	return least + time.Duration(s.chance()*float64(most-least))
}

func (s *soak) chance() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.Float64()
}

// some returns so many members, in any order.
func (s *soak) some(n int) []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.members)
	s.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

// all returns all members.
func (s *soak) all() []*member { return s.some(1 << 30) }

// each does something for every member, a few at a time.
func each(members []*member, do func(m *member) error) error {
	var g errgroup.Group
	g.SetLimit(4)
	for _, m := range members {
		g.Go(func() error { return do(m) })
	}
	return g.Wait()
}

// open starts the endpoint and adds members to it, whose agents do not run yet.
func (s *soak) open() {
	t, ctx := s.t, s.t.Context()
	s.dir = t.TempDir()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", s.dir, "muster/cmd/muster-lab")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.served, err = lab.ServeEndpoint(ctx, filepath.Join(s.dir, "muster-lab"), s.dir, "", func(error) {})
	must(err)
	t.Cleanup(s.served.Stop)
	s.ca, err = os.ReadFile(s.served.CAFile)
	must(err)
	s.operator, err = lab.NewOperator(lab.OperatorConfig{Endpoint: s.served.URL, CAFile: s.served.CAFile})
	must(err)
	s.admin, err = drp.New(drp.Config{Endpoint: s.served.URL, CA: s.ca})
	must(err)
	s.store = s.admin.Profile(profileName, drp.Basic(endpoint.DefaultUser, endpoint.DefaultPassword))
	must(s.operator.AddWorkflow(ctx, workflow))
	_, err = s.operator.EnsureProfile(ctx, profileName)
	must(err)
	seed := profile.Seed{
		Profile: profileName, Leaders: 3, Roles: map[string]int{leaseRole: 2},
		Options: map[string]profile.RoleOptions{leaseRole: {TTL: leaseTTL}}, Workflow: workflow,
	}
	for i := range *flagMembers {
		m, err := s.add(ctx, fmt.Sprintf("node-%03d", i+1))
		must(err)
		m.leads = i%4 == 0
		s.members, seed.Members = append(s.members, m), append(seed.Members, m.uuid)
	}
	_, err = profile.NewOperator(s.store).Write(ctx, seed.Plan)
	must(err)
}

// run keeps the churn up for a while, and ends all agents.
func (s *soak) run(length time.Duration) trend {
	ctx := s.t.Context()
	for _, m := range s.members {
		if err := m.start(ctx); err != nil {
			s.t.Fatal(err)
		}
	}
	// What is complete before an agent has ever joined does not count.
	if err := each(s.members, func(m *member) error { _, err := m.dial(ctx); return err }); err != nil {
		s.t.Fatal(err)
	}
	churning, calm := context.WithTimeout(ctx, length)
	defer calm()
	looking, leave := context.WithCancel(ctx)
	var work, looks sync.WaitGroup
	var memory []sample
	looks.Go(func() { s.judge.watch(looking, s) })
	work.Go(func() { memory = sampleMemory(churning, max(length/120, 100*time.Millisecond)) })
	work.Go(func() { s.churn(churning) })
	work.Go(func() {
		for err := error(nil); err == nil && churning.Err() == nil; {
			if err = s.round(ctx); err != nil {
				s.fail("%v", err)
			}
		}
	})
	work.Wait()
	if err := each(s.all(), func(m *member) error { m.stop(errStopped); return nil }); err != nil {
		s.t.Error(err)
	}
	leave()
	looks.Wait()
	return trendOf(memory[len(memory)/2:])
}

// insist does something at the endpoint, which may be away for a moment.
func insist(ctx context.Context, do func() error) error {
	var err error
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		if err = do(); err == nil || ctx.Err() != nil {
			break
		}
		if backoff.Sleep(ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	return errors.Join(err, context.Cause(ctx))
}

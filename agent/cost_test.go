package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/agent"
	"muster/coordinator"
	"muster/profile"
	"muster/profile/drp"
	"muster/profile/memory"
)

// mayCost is how many requests n members may make that wait so long in all: 6
// each and one each 10 s, or each 5 s where the endpoint has to be polled. Where
// it need not be polled, and they wait for less than a minute or come ever more
// rarely, so that most looks are at the last of them, it may be three more (ADR 16).
func mayCost(n int, waited time.Duration, polled, last bool) float64 {
	every := 10 * time.Second
	if polled {
		every = 5 * time.Second
	}
	each := 6.0
	if last && !polled {
		each = 9
	}
	return each*float64(n) + float64(waited)/float64(every)
}

// counting counts the requests of a machine.
type counting struct {
	*memory.Machine
	requests *atomic.Int64
	unversed bool
}

func (c counting) Read(ctx context.Context) (profile.Machine, error) {
	c.requests.Add(1)
	m, err := c.Machine.Read(ctx)
	if c.unversed {
		m.Version = ""
	}
	return m, err
}

func (c counting) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	if c.unversed {
		c.requests.Add(1)
		return "", nil
	}
	version, err := c.Machine.Changed(ctx, since, wait)
	c.requests.Add(1) // counted when it is answered, as at the endpoint
	return version, err
}

// toil is members that wait for one another to complete, in simulated time.
type toil struct {
	*memory.Profile
	requests atomic.Int64
	waited   time.Duration
	late     []time.Duration // between the verdict and the ends of the waits
}

// run lets a member for each of these times complete its workflow at that time, and
// all of them wait for that.
func (to *toil) run(t *testing.T, at []time.Duration, unversed bool) {
	fellows, machines, end := to.start(t, len(at), unversed)
	to.wait(t, fellows, machines, at)
	end()
}

// start lets so many members work until end is called, which waits for that.
func (to *toil) start(t *testing.T, n int, unversed bool) (fellows []*fellow, machines []*memory.Machine, end func()) {
	members := uuids(n)
	params, err := profile.Seed{Profile: "alpha", Members: members, Leaders: 1}.Params()
	if err != nil {
		t.Fatal(err)
	}
	to.Profile = memory.New("alpha", params)
	if unversed {
		to.WithoutVersions()
	}
	ctx, stop := context.WithCancelCause(t.Context())
	var ended sync.WaitGroup
	for _, uuid := range members {
		m := memory.NewMachine(profile.Machine{UUID: uuid, Workflow: "w", Runnable: true, Job: "j1"})
		store := to.Store(func(memory.Call) memory.Fault { to.requests.Add(1); return memory.Fault{} })
		f := &fellow{uuid: uuid, store: store}
		if err := f.join(ctx, filepath.Join(t.TempDir(), uuid)); err != nil {
			t.Fatal(err)
		}
		own := counting{m, &to.requests, unversed}
		first, _ := own.Read(ctx)
		f.peer = agent.NewPeer(agent.PeerConfig{Member: f.member, Store: f.store, View: f.view, Runs: f.dir, Machine: own, First: coordinator.Found{Machine: first}, Clock: bubble{}, Logger: hclog.NewNullLogger()})
		ended.Go(func() {
			if err := f.peer.Run(ctx); !errors.Is(err, errEnough) {
				t.Errorf("%s: %v", f.uuid, err)
			}
		})
		machines, fellows = append(machines, m), append(fellows, f)
	}
	time.Sleep(time.Minute) // claims and joins are over
	return fellows, machines, func() {
		stop(errEnough)
		ended.Wait()
		for _, f := range fellows {
			f.dir.Close()
		}
	}
}

func (to *toil) wait(t *testing.T, fellows []*fellow, machines []*memory.Machine, at []time.Duration) {
	to.requests.Store(0)
	begun := time.Now()
	times := make([]time.Duration, len(fellows))
	var all sync.WaitGroup
	for i, f := range fellows {
		time.AfterFunc(at[i], func() { machines[i].Set(func(m *profile.Machine) { m.Complete = true }) })
		all.Go(func() {
			if out, err := f.peer.Wait(t.Context(), agent.Waiting{}, func(coordinator.Outcome) {}); err != nil {
				t.Errorf("outcome %+v, error %v", out, err)
			}
			times[i] = time.Since(begun)
		})
	}
	all.Wait()
	for _, d := range times {
		to.waited += d
		to.late = append(to.late, d-slices.Max(at))
	}
}

// spread are n times that draw returns, in seconds.
func spread(n int, draw func(r *rand.Rand) float64) []time.Duration {
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = time.Duration(max(0, draw(r)) * float64(time.Second))
	}
	return list
}

// within are n times that are anywhere in the first so many seconds.
func within(n int, seconds float64) []time.Duration {
	return spread(n, func(r *rand.Rand) float64 { return seconds * r.Float64() })
}

// lateOnes is how they end so that one is missing for long: who is waited for alone
// is seen at once.
const lateOnes = "three of them late"

// lastLooks are those at which the last of them need the most looks.
var lastLooks = []string{"within 20 s", "ever more rarely"}

// endings are how the workflows of n members end; more of them in a proof.
func endings(n int) map[string][]time.Duration {
	few := map[string][]time.Duration{
		"within a minute": within(n, 60),
		lateOnes:          append(within(n-3, 10), time.Minute, 90*time.Second, 2*time.Minute),
	}
	if proof(0, 1) == 0 {
		return few
	}
	few["within 20 s"] = within(n, 20)
	few["within five minutes"] = within(n, 300)
	few["within half an hour"] = within(n, 1800)
	few["all about five minutes later"] = spread(n, func(r *rand.Rand) float64 { return 300 + 5*r.NormFloat64() })
	few["ever more rarely"] = spread(n, func(r *rand.Rand) float64 { return 30 * r.ExpFloat64() })
	return few
}

func TestFiftyMembersThatWaitCostFewRequests(t *testing.T) {
	t.Parallel()
	const n = 50
	for name, at := range endings(n) {
		for _, unversed := range []bool{false, true} {
			if name == lateOnes && unversed && proof(0, 1) == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s, polled %v", name, unversed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var to toil
					to.run(t, at, unversed)
					holdToCost(t, n, to.requests.Load(), to.waited, unversed, slices.Contains(lastLooks, name))
					t.Logf("released after %s", times(to.late))
					if latest := slices.Max(to.late); latest > 25*time.Second || name == lateOnes && !unversed && latest > time.Second {
						t.Errorf("released %s after the last completion", latest)
					}
				})
			})
		}
	}
}

// holdToCost wants n members that waited so long in all to have made few requests.
func holdToCost(t *testing.T, n int, requests int64, waited time.Duration, polled, last bool) {
	t.Helper()
	cost, most := float64(requests), mayCost(n, waited, polled, last)
	each, mean := float64(n), (waited / time.Duration(n)).Round(100*time.Millisecond)
	t.Logf("waited %s: %.1f requests a member, may be %.1f", mean, cost/each, most/each)
	if cost > most {
		t.Errorf("%.1f requests a member that waited %s, want at most %.1f", cost/each, mean, most/each)
	}
}

// Fifty members with both of their tokens, over real sockets: agents from when
// their waits begin, commands on hosts without an agent from their start to their
// exit.
func TestFiftyMembersThatWaitCostTheEndpointFewRequests(t *testing.T) {
	if proof(0, 1) == 0 {
		t.Skip("takes a minute and a half: only with MUSTER_PROOF; TestFiftyMembersThatWaitCostFewRequests is the same in simulated time")
	}
	t.Parallel()
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprintf("without agents %v", alone), func(t *testing.T) {
			t.Parallel()
			eachCompat(t, func(t *testing.T, compat string) { costOverSockets(t, compat, alone) })
		})
	}
}

func costOverSockets(t *testing.T, compat string, alone bool) {
	const n = 50
	members := uuids(n)
	s := newSiteOf(t, compat, profile.Seed{Members: members, Leaders: 1})
	s.post("tasks", map[string]any{"Name": "t1"})
	s.post("stages", map[string]any{"Name": "s1", "Tasks": []string{"t1"}})
	s.post("workflows", map[string]any{"Name": "w1", "Stages": []string{"s1"}})
	waits, jobs := make([]func() error, n), make([]string, n)
	for i, uuid := range members {
		s.post("machines", map[string]any{"Name": uuid, "Uuid": uuid, "Profiles": []string{"alpha"}, "Workflow": "w1", "Runnable": true})
		cfg := s.memberConfig(uuid)
		jobs[i] = s.beginJob(uuid)
		if alone {
			waits[i] = func() error { return waitAlone(t.Context(), cfg) }
			continue
		}
		r := run(t, cfg)
		waits[i] = func() error {
			_, err := r.Wait(t.Context(), agent.Waiting{}, func(coordinator.Outcome) {})
			return err
		}
	}
	time.Sleep(5 * time.Second) // claims and mirrors; what is late counts
	before, begun := s.Counts().Requests, time.Now()
	lasted := make(chan time.Duration, n)
	for i, wait := range waits {
		go func() {
			if err := wait(); err != nil {
				t.Errorf("%s: %v", members[i], err)
			}
			lasted <- time.Since(begun)
		}()
	}
	at := within(n, 60)
	for _, i := range byTime(at) {
		time.Sleep(time.Until(begun.Add(at[i])))
		s.endJob(jobs[i], members[i])
	}
	var waited time.Duration
	for range waits {
		waited += receive(t, "the wait ends", lasted)
	}
	holdToCost(t, n, s.Counts().Requests-before-2*n, waited, compat != "", false)
}

// memberConfig is that of a host with both tokens of a member.
func (s *site) memberConfig(uuid string) agent.Config {
	s.t.Helper()
	cfg, file := s.config(s.URL())
	cfg.UUID = uuid
	token, err := s.MachineToken(uuid, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	client := s.client(s.URL())
	cfg.Store, cfg.Machine = client.Profile("alpha", drp.TokenFile(file)), client.Machine(uuid, drp.Token(token))
	return cfg
}

// waitAlone is what `muster wait complete` does on a host without an agent.
func waitAlone(ctx context.Context, cfg agent.Config) error {
	cfg.Brief = true
	a, err := agent.Open(cfg)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Join(ctx, false); err != nil {
		return err
	}
	return a.Do(ctx, func(ctx context.Context) error {
		_, err := a.Wait(ctx, agent.Waiting{}, func(coordinator.Outcome) {})
		return err
	})
}

// byTime returns the indexes of at in the order of its times.
func byTime(at []time.Duration) []int {
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return int(at[i] - at[j]) })
	return order
}

// beginJob runs the first task of the machine's workflow, and returns its job.
func (s *site) beginJob(uuid string) string {
	var job struct{ Uuid string }
	if err := json.Unmarshal(s.do("POST", "jobs", fmt.Sprintf(`{"Machine":%q}`, uuid)), &job); err != nil {
		s.t.Fatal(err)
	}
	s.do("PATCH", "jobs/"+job.Uuid, `[{"op":"replace","path":"/State","value":"running"}]`)
	return job.Uuid
}

// endJob ends the job, and with it the machine's workflow, in two requests.
func (s *site) endJob(job, uuid string) {
	s.do("PATCH", "jobs/"+job, `[{"op":"replace","path":"/State","value":"finished"}]`)
	s.do("POST", "jobs", fmt.Sprintf(`{"Machine":%q}`, uuid))
}

// do makes one request with the powers of an administrator, and returns the answer.
func (s *site) do(method, path, body string) []byte {
	s.t.Helper()
	status, answer := s.send(method, path, strings.NewReader(body))
	if status >= 300 {
		s.t.Fatalf("%s %s: status %d: %s", method, path, status, answer)
	}
	return answer
}

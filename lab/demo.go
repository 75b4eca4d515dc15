package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"muster/endpoint"
	"muster/profile"
)

// DemoConfig says what cluster to form.
type DemoConfig struct {
	Members int    // machines beside the manager
	Leaders int    // slots of role leader
	Seed    uint64 // decides how long the workflows take
	Compat  string // of the endpoint: "" or "3.13"
	Fail    string // name of the machine whose workflow fails; "" is none
	Muster  string // path of the muster program
	Lab     string // path of the muster-lab program
	// Told, which may be nil, is told of every change of the cluster, one call
	// after the other.
	Told func(Cluster)
	// Formed, which may be nil, is called when every step has ended, with the
	// cluster still running; Demo goes on when it returns.
	Formed func(ctx context.Context, access Access, result Result)
}

// ErrConfig is returned by Demo, before anything is started, for a configuration
// or a host on which no demo can run.
var ErrConfig = errors.New("demo: configuration")

// names are the machines' names, beside the manager's.
func (c DemoConfig) names() ([]string, error) {
	if c.Members < 1 || c.Leaders < 0 {
		return nil, fmt.Errorf("%w: expected at least 1 member and no negative number of leaders, found %d and %d", ErrConfig, c.Members, c.Leaders)
	}
	names := make([]string, c.Members)
	for i := range names {
		names[i] = fmt.Sprintf("node-%02d", i+1)
	}
	if c.Fail != "" && !slices.Contains(names, c.Fail) {
		return nil, fmt.Errorf("%w: no machine is called %q; expected one of %s to %s", ErrConfig, c.Fail, names[0], names[len(names)-1])
	}
	return names, nil
}

// Access is how to look at a running demo.
type Access struct {
	Endpoint string
	User     string
	Password string
	Profile  string
	Dir      string // holds the members' configurations and logs, and ca.pem
}

// Result is what a demo found. Names are machines' names; counts are the
// endpoint's, from the start of the first agent to the end of the last step.
type Result struct {
	Members    int                        `json:"members"`
	Leaders    []string                   `json:"leaders"`
	Slots      map[string]string          `json:"slots"` // ROLE/NUMBER → holder
	Facts      map[string]json.RawMessage `json:"facts"` // name → sheet
	Verdict    string                     `json:"verdict"`
	Failed     []string                   `json:"failed"`
	Missing    []string                   `json:"missing"`
	StepsRun   int                        `json:"steps_run"`
	StepsEarly int                        `json:"steps_early"` // started before the last completion was committed
	ReleaseMS  Quantiles                  `json:"release_ms"`  // from that commit to the start of the step
	Requests   int64                      `json:"requests"`
	Writes     int64                      `json:"writes"`    // committed changes of the profile
	Conflicts  int64                      `json:"conflicts"` // 409s on patches of the profile
	Bytes      int64                      `json:"bytes_to_clients"`
	Seconds    float64                    `json:"seconds"`
}

// Quantiles of times in milliseconds; 0 without any.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// demoProfile is the name of the demo's cluster profile.
const demoProfile = "demo"

// Demo forms a cluster of real processes around an embedded endpoint, waits
// until every gated step has run or was refused, and takes everything down
// again. ctx ends it early, with an error. The error says what did not work;
// a failed verdict is a result, not an error.
func Demo(ctx context.Context, cfg DemoConfig) (Result, error) {
	names, err := cfg.names()
	if err != nil {
		return Result{}, err
	}
	dir, err := os.MkdirTemp("", "muster-demo-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(dir)
	d := &demo{cfg: cfg, dir: dir, names: names, procs: NewProcesses(stopWait)}
	if socket := runnerSocket(d.runDir(names[len(names)-1])); len(socket) > maxSocketPath {
		return Result{}, fmt.Errorf("%w: the path of the temporary directory is too long for sockets such as %s; set TMPDIR", ErrConfig, socket)
	}

	d.server, err = endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: cfg.Compat})
	if err != nil {
		return Result{}, err
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.server.Serve(serving) }()
	defer func() {
		stop()
		<-served
	}()
	defer d.procs.Stop()
	return d.run(ctx)
}

type demo struct {
	cfg    DemoConfig
	dir    string
	server *endpoint.Server
	names  []string
	uuids  map[string]string // name → UUID
	procs  *Processes
	tower  *tower
}

func (d *demo) run(ctx context.Context) (Result, error) {
	if err := d.prepare(ctx); err != nil {
		return Result{}, fmt.Errorf("demo: set the stage: %w", err)
	}
	d.tower = watch(d.server, d.uuids, d.cfg.Told)
	defer d.tower.close()

	began, before := time.Now(), d.server.Counts()
	forming, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	if err := d.launch(lost); err != nil {
		return Result{}, err
	}
	if err := d.steps(forming); ctx.Err() != nil {
		return Result{}, fmt.Errorf("demo: ended early: %w", context.Cause(ctx))
	} else if err != nil {
		return Result{}, fmt.Errorf("%w\n%s", err, d.procs.Tails())
	}
	seconds, after := time.Since(began).Seconds(), d.server.Counts()
	d.tower.drain()

	result, err := d.result(ctx)
	if err != nil {
		return result, err
	}
	result.Seconds = seconds
	result.Requests = after.Requests - before.Requests
	result.Writes = after.ProfileWrites - before.ProfileWrites
	result.Conflicts = after.ProfileConflicts - before.ProfileConflicts
	result.Bytes = after.BytesToClients - before.BytesToClients
	if d.cfg.Formed != nil {
		d.cfg.Formed(ctx, d.access(), result)
	}
	return result, nil
}

func (d *demo) access() Access {
	return Access{Endpoint: d.server.URL(), User: endpoint.DefaultUser, Password: endpoint.DefaultPassword, Profile: demoProfile, Dir: d.dir}
}

// launch starts the agents, all at once, and then the runners. lost is told of
// one that ends: without it the others would wait for ever.
func (d *demo) launch(lost func(error)) error {
	for _, name := range d.names {
		if err := d.procs.serve(lost, d.home(name), "agent", d.musterEnv(name), d.cfg.Muster, "agent"); err != nil {
			return err
		}
	}
	for _, name := range d.names {
		err := d.procs.serve(lost, d.home(name), "runner", d.musterEnv(name), d.cfg.Lab, "runner",
			"--endpoint", d.server.URL(), "--machine", d.uuids[name], "--ca-file", filepath.Join(d.dir, "ca.pem"),
			"--token-file", filepath.Join(d.home(name), "machine.token"), "--dir", d.runDir(name))
		if err != nil {
			return err
		}
	}
	return nil
}

// steps has every machine wait behind the gate with a step that notes when it
// ran, and waits until each has ended.
func (d *demo) steps(ctx context.Context) error {
	var steps []*Process
	for _, name := range d.names {
		if err := await(ctx, func() bool { _, err := os.Stat(d.socket(name)); return err == nil }); err != nil {
			return fmt.Errorf("demo: the agent of %s did not join: %w", name, err)
		}
		step, err := d.procs.Start(d.home(name), "step", d.musterEnv(name), d.cfg.Muster,
			"run", "--after", "complete", "--name", "demo", "--", d.cfg.Lab, "note", d.note(name))
		if err != nil {
			return err
		}
		steps = append(steps, step)
	}
	for i, step := range steps {
		if err := step.Wait(ctx); err != nil {
			return fmt.Errorf("demo: the step of %s did not end: %w", d.names[i], err)
		}
		if step.err != nil && d.cfg.Fail == "" {
			return fmt.Errorf("demo: %w", step.Fault())
		}
	}
	return nil
}

// result reads what the cluster came to: the profile at the endpoint, and the
// notes of the steps.
func (d *demo) result(ctx context.Context) (Result, error) {
	doc, err := d.readProfile(ctx)
	if err != nil {
		return Result{}, err
	}
	r := Result{Members: len(d.names), Leaders: []string{}, Slots: map[string]string{}, Facts: map[string]json.RawMessage{}}
	byUUID := map[string]string{}
	for name, uuid := range d.uuids {
		byUUID[uuid] = name
	}
	slots, err := doc.Slots()
	if err != nil {
		return r, err
	}
	for role, of := range slots {
		for _, n := range profile.SlotNumbers(of) {
			holder := byUUID[of[n].Holder]
			r.Slots[role+"/"+n] = holder
			if role == profile.Leader && holder != "" {
				r.Leaders = append(r.Leaders, holder)
			}
		}
	}
	sheets, err := doc.Facts()
	if err != nil {
		return r, err
	}
	for uuid, sheet := range sheets {
		r.Facts[byUUID[uuid]] = sheet
	}
	barrier, _, err := doc.Barrier(profile.BarrierComplete, 1)
	if err != nil {
		return r, err
	}
	r.Verdict, r.Failed, r.Missing = barrier.Verdict, namesOf(barrier.Failed, byUUID), namesOf(barrier.Missing, byUUID)
	last, all := d.tower.lastCompletion()
	var releases []time.Duration
	for _, name := range d.names {
		at, err := readNote(d.note(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return r, err
		}
		r.StepsRun++
		if !all || at < last {
			r.StepsEarly++
			continue
		}
		releases = append(releases, at-last)
	}
	r.ReleaseMS = quantiles(releases)
	return r, nil
}

func namesOf(uuids []string, byUUID map[string]string) []string {
	names := make([]string, len(uuids))
	for i, uuid := range uuids {
		names[i] = byUUID[uuid]
	}
	slices.Sort(names)
	return names
}

func quantiles(times []time.Duration) Quantiles {
	if len(times) == 0 {
		return Quantiles{}
	}
	slices.Sort(times)
	at := func(share float64) float64 {
		i := max(0, int(math.Ceil(share*float64(len(times))))-1) // the nearest rank
		return float64(times[i].Microseconds()) / 1000
	}
	return Quantiles{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// workSeconds is how long the work of each machine takes: 0.2 to 3 s.
func (d *demo) workSeconds() map[string]string {
	random := rand.New(rand.NewPCG(d.cfg.Seed, 0))
	seconds := map[string]string{}
	for _, name := range d.names {
		seconds[name] = fmt.Sprintf("%.2f", 0.2+2.8*random.Float64())
	}
	return seconds
}

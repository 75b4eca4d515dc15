package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"muster/lab/bench"
)

// plan is what to run.
type plan struct {
	small, middle, large int // members
	leaders              int
	runs, largeRuns      int
	ttl                  string // of the leases
	within, settle, idle time.Duration
	program              string   // a muster-lab
	hot                  []string // packages with benchmarks of hot paths
	say                  func(format string, args ...any)
}

var usual = plan{
	small: 10, middle: 100, large: 1000, leaders: 3, ttl: "15s", within: 10 * time.Second, settle: 2 * time.Minute, idle: 2 * time.Minute, hot: hot,
}

// compats are the kinds of endpoints: the present one, and the last public server.
var compats = []string{"", "3.13"}

// what says which bench a result is of.
type what struct {
	Kind      string
	Compat    string
	Members   int
	Lease     bool
	Processes bool
}

func (w what) String() string {
	s := fmt.Sprintf("%s, %d members", w.Kind, w.Members)
	if w.Lease {
		s += ", a lease"
	}
	if w.Processes {
		s += ", in processes"
	}
	if w.Compat != "" {
		s += ", " + w.Compat
	}
	return s
}

// results are those of all runs.
type results []ran

type ran struct {
	What what
	Runs []bench.Result
}

// of returns the runs of one bench.
func (rs results) of(w what) []bench.Result {
	i := slices.IndexFunc(rs, func(r ran) bool { return r.What == w })
	return rs[i].Runs // all that is asked for was planned
}

// run runs one bench after the other, but for those in which next to nothing happens:
// they run at once, and one time.
func (p plan) run(ctx context.Context) (results, error) {
	var found results
	for _, members := range p.sizes() {
		runs := p.runs
		if members == p.large {
			runs = p.largeRuns
		}
		for _, compat := range compats {
			for _, kind := range []string{bench.Form, bench.Barrier} {
				w := what{Kind: kind, Compat: compat, Members: members}
				done := ran{What: w}
				for i := range runs {
					r, err := p.one(ctx, w)
					if err != nil {
						return nil, err
					}
					p.say("%v, run %d of %d: %.2f s, %.2f requests a member", w, i+1, runs, r.Seconds, each(r, r.Requests))
					done.Runs = append(done.Runs, r)
				}
				found = append(found, done)
			}
		}
	}
	rest, err := p.rest(ctx)
	return append(found, rest...), err
}

func (p plan) sizes() []int { return []int{p.small, p.middle, p.large} }

// rest runs the benches that mostly wait: at once, but for the one in processes, of
// which the start alone keeps all cores busy.
func (p plan) rest(ctx context.Context) (results, error) {
	var list []what
	for _, compat := range compats {
		list = append(list,
			what{Kind: bench.Idle, Compat: compat, Members: p.middle},
			what{Kind: bench.Idle, Compat: compat, Members: p.middle, Lease: true},
			what{Kind: bench.Failover, Compat: compat, Members: p.middle, Lease: true})
	}
	found, err := p.atOnce(ctx, list)
	if err != nil {
		return nil, err
	}
	processes, err := p.atOnce(ctx, []what{{Kind: bench.Idle, Members: p.middle, Processes: true}})
	return append(found, processes...), err
}

func (p plan) atOnce(ctx context.Context, list []what) (results, error) {
	p.say("next to nothing happens in %d benches at once", len(list))
	found := make(results, len(list))
	g, ctx := errgroup.WithContext(ctx)
	for i, w := range list {
		g.Go(func() error {
			r, err := p.one(ctx, w)
			if err == nil {
				p.say("%v: %.2f requests a member and minute", w, perMinute(r))
				found[i] = ran{What: w, Runs: []bench.Result{r}}
			}
			return err
		})
	}
	return found, g.Wait()
}

// one runs one bench in a process of its own.
func (p plan) one(ctx context.Context, w what) (r bench.Result, err error) {
	args := []string{
		"bench", w.Kind, "-o", "json", "--members", strconv.Itoa(w.Members), "--leaders", strconv.Itoa(p.leaders),
		"--within", p.within.String(), "--settle", p.settle.String(), "--for", p.idle.String(),
	}
	if w.Compat != "" {
		args = append(args, "--compat", w.Compat)
	}
	if w.Lease {
		args[slices.Index(args, "--leaders")+1] = "1" // the goal is of one lease
		args = append(args, "--ttl", p.ttl)
	}
	if w.Processes {
		args = append(args, "--processes")
	}
	var errs strings.Builder
	cmd := exec.CommandContext(ctx, p.program, args...)
	cmd.Stderr = &errs
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it takes its processes down
	cmd.WaitDelay = 30 * time.Second
	cmd.Env = append(os.Environ(), "RS_ENDPOINT=")
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		return r, fmt.Errorf("%v: %w\n%s", w, err, errs.String())
	}
	return r, nil
}

// each is what of n one member has.
func each(r bench.Result, n int64) float64 { return float64(n) / float64(r.Members) }

// median is that of a figure over the runs.
func (rs results) median(w what, figure func(bench.Result) float64) float64 {
	runs := rs.of(w)
	list := make([]float64, len(runs))
	for i, r := range runs {
		list[i] = figure(r)
	}
	slices.Sort(list)
	if n := len(list); n%2 == 0 {
		return (list[n/2-1] + list[n/2]) / 2
	}
	return list[len(list)/2]
}

// hot are the packages whose benchmarks are of hot paths.
var hot = []string{"./profile/...", "./endpoint/...", "./election", "./facts", "./internal/rawjson"}

// micro runs Go's own benchmarks, and returns their lines.
func (p plan) micro(ctx context.Context) (string, error) {
	if p.hot == nil {
		return "", nil
	}
	p.say("benchmarks of hot paths")
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-run", "^$", "-bench", ".", "-benchmem"}, p.hot...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var lines strings.Builder
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") {
			lines.WriteString(line)
		}
	}
	return strings.TrimRight(lines.String(), "\n"), err
}

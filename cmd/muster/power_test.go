package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"muster/profile"
)

// power is a host with one step, whose power fails.
type power struct {
	*hosts
	host  *host
	round int
}

func newPower(t *testing.T, compat string) *power {
	t.Helper()
	p := &power{hosts: newHosts(t, compat, 1), round: 1}
	p.host = p.hosts.hosts[0]
	dir := filepath.Join(p.host.home, "steps.d")
	p.write(filepath.Join(dir, "10-tally.yaml"), "name: tally\nafter: ['param:cluster/profile=alpha']\ncommand: [sh, -c, 'echo did it >>deeds; sync deeds; sleep 0.3']\n")
	p.host.environ = append(p.host.environ, "MUSTER_STEPS_DIR="+dir)
	return p
}

// did is how often the command has done its deed: it writes a line.
func (p *power) did() int { return strings.Count(read(filepath.Join(p.host.home, "deeds")), "\n") }

// next opens a round, and starts the agent in it.
func (p *power) next() {
	p.t.Helper()
	if _, err := profile.NewOperator(p.store).Write(p.t.Context(), profile.RoundSpec{After: p.round, Force: true}.Plan); err != nil {
		p.t.Fatal(err)
	}
	p.round++
	p.host.begin("agent", "agent")
}

// result waits for what the profile says of the step in the present round.
func (p *power) result() profile.Step {
	p.t.Helper()
	for late := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		d, err := p.store.Read(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		record, _, err := d.Record(p.host.uuid)
		if err != nil {
			p.t.Fatal(err)
		}
		if step := record.Steps["tally"]; step.Round == p.round {
			return step
		}
		if time.Now().After(late) {
			p.t.Fatalf("no result in round %d:\n%s", p.round, p.logs())
		}
	}
}

// cut kills the agent and all that it has started at one moment: whatever runs is
// stopped until nothing is left that could start more.
func (p *power) cut() {
	p.t.Helper()
	tree := map[int]bool{}
	for before := -1; before < len(tree); {
		before = len(tree)
		p.stop(p.host.started["agent"].Process.Pid, tree)
	}
	for _, pid := range slices.Sorted(maps.Keys(tree)) {
		syscall.Kill(pid, syscall.SIGKILL) // one that has ended is a zombie of a stopped parent
	}
	p.host.kill("agent")
}

// stop stops a process and those below it.
func (p *power) stop(pid int, tree map[int]bool) {
	p.t.Helper()
	tree[pid] = true
	syscall.Kill(pid, syscall.SIGSTOP)
	for late := time.Now().Add(patience); !strings.ContainsAny(p.state(pid), "TtZX"); <-time.After(time.Millisecond) {
		if time.Now().After(late) {
			p.t.Fatalf("process %d does not stop: %s", pid, p.state(pid))
		}
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, file := range files {
		for _, word := range strings.Fields(read(file)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				p.t.Fatal(err)
			}
			p.stop(child, tree)
		}
	}
}

// state is that of /proc/PID/stat; Z also if there is no such process any more.
func (p *power) state(pid int) string {
	_, rest, found := strings.Cut(read(fmt.Sprintf("/proc/%d/stat", pid)), ") ")
	if !found {
		return "Z"
	}
	return rest[:1]
}

// The power of a host fails at a random moment between the start of its agent and
// somewhat after the end of its step.
func TestAStepOfAHostThatLosesPowerRunsOnceOrIsUnknownAndNeverTwice(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			t.Parallel()
			p := newPower(t, compat)
			var span time.Duration
			for range 2 { // undisturbed
				began := time.Now()
				p.next()
				if step := p.result(); step.Result != "done" {
					t.Fatalf("undisturbed: %+v\n%s", step, p.logs())
				}
				span = time.Since(began)
				p.cut()
			}
			points, ran := proof(5, 50), 0
			ends := map[string]int{}
			for range points {
				before := p.did()
				p.next()
				at := time.Duration(rand.Float64() * 1.1 * float64(span))
				<-time.After(at)
				p.cut()
				p.host.begin("agent", "agent")
				step := p.result()
				p.cut()
				did := p.did() - before
				ran += did
				ends[fmt.Sprintf("%s, did it %d times", step.Result, did)]++
				if step.Result == "done" && did != 1 || step.Result != "done" && step.Result != "unknown" || did > 1 {
					t.Errorf("round %d, power lost %v after the start: %+v, and the command did its deed %d times", p.round, at, step, did)
				}
			}
			if ran < proof(0, 40) {
				t.Errorf("the step ran at %d of %d points, want at least 40", ran, points)
			}
			t.Logf("%d points within %v: %v", points, span, ends)
		})
	}
}

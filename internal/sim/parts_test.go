package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
	"time"
)

var (
	flagPart  = flag.String("sim.part", "", "where one of several processes that simulate leaves its sum")
	flagScene = flag.String("sim.scene", "", "meetings or crowd: draw seeds as TestMeetings or TestCrowds does")
	flagStep  = flag.Uint64("sim.step", 1, "how many seeds are from one to the next")
)

// TestPart is what each process does that share starts.
func TestPart(t *testing.T) {
	if *flagPart == "" {
		t.Skip("is started by TestSimulation")
	}
	if scene(*flagScene) == crowd {
		debug.SetGCPercent(100) // memory is what a crowd has too little of
	}
	sum := newSum()
	for i := range uint64(*flagSeeds) {
		seed := *flagFirst + i**flagStep
		sum.add(seed, simulate(t, drawn(seed)))
	}
	raw, err := json.Marshal(sum)
	if err == nil {
		err = os.WriteFile(*flagPart, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// drawn is the plan of a seed, of the scene that was asked for.
func drawn(seed uint64) *plan {
	switch scene(*flagScene) {
	case meetings:
		return newMeeting(seed)
	case crowd:
		return newCrowd(seed)
	}
	return newPlan(seed)
}

// share has n processes simulate so many seeds, each with one processor: what goes on at one
// moment then goes on in the same order nearly always, so that a seed replays.
func share(t *testing.T, n, seeds int, more ...string) *sum {
	all := newSum()
	var parts sync.WaitGroup
	var mu sync.Mutex // guards all
	for i := range n {
		out := filepath.Join(t.TempDir(), fmt.Sprint(i))
		seeds := (seeds + n - 1 - i) / n
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPart$", "-test.timeout="+untilDeadline(t).String(), "-sim.part="+out,
			fmt.Sprintf("-sim.first=%d", *flagFirst+uint64(i)), fmt.Sprintf("-sim.step=%d", n), fmt.Sprintf("-sim.seeds=%d", seeds))
		c.Args = append(c.Args, more...)
		c.Env = append(os.Environ(), "GOMAXPROCS=1")
		parts.Go(func() {
			said, err := c.CombinedOutput()
			raw, errFile := os.ReadFile(out)
			mu.Lock()
			defer mu.Unlock()
			part := newSum()
			if err == nil && errFile == nil {
				err = json.Unmarshal(raw, part)
			}
			if err != nil || errFile != nil {
				t.Errorf("part %d of %d: %v, %v\n%s", i, n, err, errFile, said)
				return
			}
			all.merge(part)
		})
	}
	parts.Wait()
	return all
}

// untilDeadline is the time that the test has left, 0 for any.
func untilDeadline(t *testing.T) time.Duration {
	end, bounded := t.Deadline()
	if !bounded {
		return 0
	}
	return max(time.Second, time.Until(end)-time.Second)
}

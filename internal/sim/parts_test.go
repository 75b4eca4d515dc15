package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var (
	flagPart = flag.String("sim.part", "", "where one of several processes that simulate leaves its sum")
	flagStep = flag.Uint64("sim.step", 1, "how many seeds are from one to the next")
)

// TestPart is what each process does that share starts.
func TestPart(t *testing.T) {
	if *flagPart == "" {
		t.Skip("is started by TestSimulation")
	}
	sum := newSum()
	for i := range uint64(*flagSeeds) {
		seed := *flagFirst + i**flagStep
		sum.add(seed, simulate(t, newPlan(seed)))
	}
	raw, err := json.Marshal(sum)
	if err == nil {
		err = os.WriteFile(*flagPart, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// share has n processes simulate, each with one processor: what goes on at one
// moment then goes on in the same order nearly always, so that a seed replays.
func share(t *testing.T, n int) *sum {
	all := newSum()
	var parts sync.WaitGroup
	var mu sync.Mutex // guards all
	for i := range n {
		out := filepath.Join(t.TempDir(), fmt.Sprint(i))
		seeds := (*flagSeeds + n - 1 - i) / n
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPart$", "-test.timeout="+untilDeadline(t).String(), "-sim.part="+out,
			fmt.Sprintf("-sim.first=%d", *flagFirst+uint64(i)), fmt.Sprintf("-sim.step=%d", n), fmt.Sprintf("-sim.seeds=%d", seeds))
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

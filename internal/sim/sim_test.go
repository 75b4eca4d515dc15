package sim

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestSimulation simulates -sim.seeds seeds from -sim.first on, as many at a
// time as there are processors, and prints what they came to in one line.
func TestSimulation(t *testing.T) {
	first, n := *flagFirst, uint64(*flagSeeds)
	if *flagSeed >= 0 {
		first, n = uint64(*flagSeed), 1
	}
	sum := &sum{tally: newTally(), began: time.Now()}
	seeds := make(chan uint64)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := range seeds {
				sum.add(t, seed, simulate(t, newPlan(seed)))
			}
		})
	}
	for seed := first; seed < first+n; seed++ {
		seeds <- seed
	}
	close(seeds)
	workers.Wait()
	for p := range sum.tally.calls {
		if !slices.Contains(awaitPoints, p) {
			t.Errorf("await point %s is not listed in awaitPoints: no seed looks for faults there", p)
		}
	}
	sum.tally.everyTestOpHasItsScenario(t)
	if testing.Verbose() {
		t.Logf("await points:\n%s", sum.tally)
	}
	fmt.Println(sum)
}

// sum is what all seeds of a run came to.
type sum struct {
	began time.Time
	tally *tally

	mu                                     sync.Mutex // guards what follows
	seeds, operations, tenures, violations int
	lived                                  time.Duration
}

func (s *sum) add(t *testing.T, seed uint64, r result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.add(r.tally)
	s.seeds++
	s.operations += r.operations
	s.tenures += r.tenures
	s.lived += r.lived
	s.violations += len(r.violations)
	if *flagSeed >= 0 { // so that two replays can be compared
		t.Logf("seed %d: what was committed when: %016x", seed, r.commits)
	}
	for _, v := range r.violations {
		t.Errorf("seed %d: %s", seed, v)
	}
	if len(r.violations) > 0 {
		t.Logf("replay: go test ./internal/sim -run TestSimulation -sim.seed=%d", seed)
	}
}

// String is the closing line.
func (s *sum) String() string {
	least, rarest := s.tally.least()
	return fmt.Sprintf("simulation: seeds=%d simulated_hours=%.1f operations=%d tenures=%d faults=%d violations=%d await_points=%d pairs=%d least_hits=%d rarest=%s/%s seconds=%.0f",
		s.seeds, s.lived.Hours(), s.operations, s.tenures, s.tally.faults, s.violations, len(s.tally.calls), len(pairs()), least, rarest.kind, rarest.point, time.Since(s.began).Seconds())
}

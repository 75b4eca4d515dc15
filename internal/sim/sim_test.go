package sim

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSimulation simulates -sim.seeds seeds from -sim.first on, in as many
// processes as there are processors, and prints what they came to in one line.
func TestSimulation(t *testing.T) {
	if *flagSeed >= 0 {
		alone(t, uint64(*flagSeed))
		return
	}
	sum := share(t, runtime.NumCPU(), *flagSeeds)
	for _, v := range sum.Violations {
		t.Error(v)
	}
	for _, p := range slices.Sorted(maps.Keys(sum.Tally.Calls)) {
		if !slices.Contains(awaitPoints, p) {
			t.Errorf("await point %s is not listed in awaitPoints: no seed looks for faults there", p)
		}
	}
	sum.Tally.everyTestOpHasItsScenario(t)
	if testing.Verbose() {
		t.Logf("await points:\n%s", sum.Tally)
	}
	for _, lack := range sum.lacks() {
		t.Error(lack)
	}
	fmt.Println(sum)
}

// alone simulates one seed, several times if that is asked for, and tells by a
// hash whether the same happened.
func alone(t *testing.T, seed uint64) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // as in the run that the seed is from
	for range *flagTries {
		r := simulate(t, drawn(seed))
		t.Logf("seed %d: what happened when: %016x", seed, r.events)
		for _, v := range r.violations {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
}

// sum is what all seeds of a run came to, or those of one process.
type sum struct {
	Tally                      *tally
	Seeds, Operations, Tenures int
	Lived                      time.Duration // of all members together
	Violations                 []string
	Met                        met
	began                      time.Time
}

func newSum() *sum {
	return &sum{Tally: newTally(), Met: met{Verdicts: map[string]int{}}, began: time.Now()}
}

func (s *sum) add(seed uint64, r result) {
	s.Tally.add(r.tally)
	s.Seeds++
	s.Operations += r.operations
	s.Tenures += r.tenures
	s.Lived += r.lived
	s.Met.add(r.met)
	for _, v := range r.violations {
		s.Violations = append(s.Violations, fmt.Sprintf("seed %d: %s", seed, v))
	}
	if len(r.violations) > 0 {
		s.Violations = append(s.Violations, fmt.Sprintf("replay: go test ./internal/sim -run TestSimulation -args -sim.seed=%d -sim.scene=%s", seed, *flagScene))
	}
}

// merge adds the sum of another process.
func (s *sum) merge(other *sum) {
	s.Tally.add(other.Tally)
	s.Seeds += other.Seeds
	s.Operations += other.Operations
	s.Tenures += other.Tenures
	s.Lived += other.Lived
	s.Met.add(other.Met)
	s.Violations = append(s.Violations, other.Violations...)
}

// A full run, and the least that proves anything about a part of one.
const (
	fullSeeds  = 10_000
	sliceLeast = 500
)

// lacks says what a run has too little of to prove what it is for. A full one
// has 100,000 tenures, a year of members' hours (8,760), a fault in each of
// their minutes, and each kind of fault 100 times at each await point; a part of
// it has its share of these, and every kind of fault at every await point.
func (s *sum) lacks() (list []string) {
	if s.Seeds < sliceLeast {
		return nil
	}
	lack := func(what string, is, want float64) {
		if is < want {
			list = append(list, fmt.Sprintf("%s: %.2f, want at least %.2f in %d seeds", what, is, want, s.Seeds))
		}
	}
	share := float64(s.Seeds) / fullSeeds
	least, rarest := s.Tally.least()
	hits := 1.0
	if s.Seeds >= fullSeeds {
		hits = 100
	}
	lack("tenures", float64(s.Tenures), 100_000*share)
	lack("members' hours", s.Lived.Hours(), 8760*share)
	lack("faults in a member's minute", s.faultsPerMinute(), 1)
	lack(fmt.Sprintf("%s at %s", rarest.kind, rarest.point), float64(least), hits)
	return list
}

// violations counts them: with each seed comes a line that says how to replay it.
func (s *sum) violations() int {
	return len(slices.DeleteFunc(slices.Clone(s.Violations), func(v string) bool { return strings.HasPrefix(v, "replay:") }))
}

func (s *sum) faultsPerMinute() float64 { return float64(s.Tally.Faults) / s.Lived.Minutes() }

// String is the closing line. simulated_hours are those of all members together.
func (s *sum) String() string {
	least, rarest := s.Tally.least()
	return fmt.Sprintf("simulation: seeds=%d simulated_hours=%.1f operations=%d tenures=%d faults=%d violations=%d faults_per_member_minute=%.2f await_points=%d pairs=%d least_hits=%d rarest=%s/%s seconds=%.0f",
		s.Seeds, s.Lived.Hours(), s.Operations, s.Tenures, s.Tally.Faults, s.violations(), s.faultsPerMinute(), len(s.Tally.Calls), len(pairs()), least, rarest.kind, rarest.point, time.Since(s.began).Seconds())
}

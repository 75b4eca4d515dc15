package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var flagCrowds = flag.Int("sim.crowds", 0, "how many seeds of TestCrowds are simulated: minutes and some GB each")

// newCrowd is the plan of a thousand members, who suffer for a minute.
func newCrowd(seed uint64) *plan {
	p := newPlan(seed)
	p.scene, p.members, p.storm = crowd, 1000, time.Minute
	p.rates = rates(p.stream("crowd"), p.members, p.wild)
	return p
}

// TestCrowds simulates a few seeds of a thousand members, one after the other.
func TestCrowds(t *testing.T) {
	if *flagCrowds == 0 {
		t.Skip("takes minutes: make sim")
	}
	sum := share(t, 1, *flagCrowds, "-sim.scene="+string(crowd))
	for _, v := range sum.Violations {
		t.Error(v)
	}
	fmt.Printf("crowds: members=1000 seeds=%d simulated_hours=%.1f operations=%d tenures=%d faults=%d violations=%d\n",
		sum.Seeds, sum.Lived.Hours(), sum.Operations, sum.Tenures, sum.Tally.Faults, sum.violations())
}

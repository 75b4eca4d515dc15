package sim

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestAThousandMembers simulates the largest clusters that Muster is for: few,
// since one costs what a thousand small ones do.
func TestAThousandMembers(t *testing.T) {
	if os.Getenv("MUSTER_PROOF") == "" {
		t.Skip("takes many minutes: part of make proof")
	}
	sum := newSum()
	for seed := range uint64(2) {
		p := newPlan(seed)
		p.members = 1000
		p.rates = rates(p.stream("thousand"), p.members, false)
		p.wild = false
		p.storm = 2 * time.Minute
		sum.add(seed, simulate(t, p))
	}
	for _, v := range sum.Violations {
		t.Error(v)
	}
	fmt.Println(sum)
}

package sim

import (
	"flag"
	"runtime"
	"testing"
)

var flagReplays = flag.Int("sim.replays", 12, "how many seeds are simulated twice, to see whether the same happens")

// TestAReplayIsTheSame simulates seeds twice and wants the same to happen at the
// same moments in nearly all of them: where several goroutines of one host go on
// at one moment the runtime decides, and a select of two things that are ready
// draws by itself.
func TestAReplayIsTheSame(t *testing.T) {
	if raced {
		t.Skip("the race detector shuffles goroutines")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	same := 0
	for i := range *flagReplays {
		seed := *flagFirst + uint64(i)
		if a, b := simulate(t, newPlan(seed)), simulate(t, newPlan(seed)); a.events == b.events {
			same++
		} else {
			t.Logf("seed %d differs", seed)
		}
	}
	t.Logf("replays=%d same=%d", *flagReplays, same)
	if same < *flagReplays*3/4 {
		t.Errorf("the same happened in %d of %d seeds, want three quarters at least", same, *flagReplays)
	}
}

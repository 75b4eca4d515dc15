package election_test

import (
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
	"muster/profile/memory"
)

func TestSlotsOfAHigherCountArePlantedByFewAndNotByEverybodyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(40), Leaders: 1})
		w.follow(profile.Leader)
		for _, uuid := range members(40) {
			h := w.host(uuid)
			h.faults = func(c memory.Call) memory.Fault {
				return memory.Fault{Late: time.Duration(len(c.Method)) * 50 * time.Millisecond} // answers take their time
			}
			h.start()
		}
		pass(20 * time.Second)
		before := w.conflicts()
		w.put(profile.At(profile.ParamLeaderCount), 2)
		pass(20 * time.Second)
		conflicts := w.conflicts() - before
		if got := w.leading(profile.Leader); len(got) != 2 || conflicts > 5 {
			t.Errorf("%v lead after %d conflicts, want two leaders and hardly a conflict", got, conflicts)
		}
	})
}

// conflicts is how many patches of all hosts conflicted.
func (w *world) conflicts() int {
	sum := 0
	for _, h := range w.hosts {
		h.mu.Lock()
		sum += h.store.conflicts
		h.mu.Unlock()
	}
	return sum
}

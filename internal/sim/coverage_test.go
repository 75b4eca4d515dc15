package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// pair is a kind of fault at an await point.
type pair struct {
	kind
	point
}

// tally counts what a run of the simulation has seen. It is safe for
// concurrent use, once it is made.
type tally struct {
	mu     sync.Mutex
	Calls  map[point]int
	Hits   map[point]map[kind]int
	Tests  map[testOp]int
	Faults int
}

func newTally() *tally {
	return &tally{Calls: map[point]int{}, Hits: map[point]map[kind]int{}, Tests: map[testOp]int{}}
}

func (t *tally) call(p point) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Calls[p]++
}

// hit counts a fault at an await point. A window in which all calls suffer is
// one fault, but hits every point in it.
func (t *tally) hit(k kind, p point, fault bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hitLocked(k, p, 1)
	if fault {
		t.Faults++
	}
}

func (t *tally) hitLocked(k kind, p point, n int) {
	if t.Hits[p] == nil {
		t.Hits[p] = map[kind]int{}
	}
	t.Hits[p][k] += n
}

// add adds the counts of another tally.
func (t *tally) add(other *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, n := range other.Calls {
		t.Calls[p] += n
	}
	for p, kinds := range other.Hits {
		for k, n := range kinds {
			t.hitLocked(k, p, n)
		}
	}
	for op, n := range other.Tests {
		t.Tests[op] += n
	}
	t.Faults += other.Faults
}

// String is a table of await points and kinds of faults, with their hits.
func (t *tally) String() string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(t.Calls)) {
		fmt.Fprintf(&b, "%-60s calls %d", p, t.Calls[p])
		for _, k := range kinds {
			if k.hits(p) {
				fmt.Fprintf(&b, " %s=%d", k, t.Hits[p][k])
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// least returns how often the rarest pair of the declared await points was hit.
func (t *tally) least() (int, pair) {
	least, rarest := -1, pair{}
	for _, want := range pairs() {
		if n := t.Hits[want.point][want.kind]; least < 0 || n < least {
			least, rarest = n, want
		}
	}
	return least, rarest
}

// pairs are all that can be: seeds prefer one after the other.
func pairs() []pair {
	var all []pair
	for _, p := range awaitPoints {
		for _, k := range kinds {
			if k.hits(p) {
				all = append(all, pair{k, p})
			}
		}
	}
	return all
}

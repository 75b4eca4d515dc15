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
// concurrent use.
type tally struct {
	mu     sync.Mutex
	calls  map[point]int
	hits   map[pair]int
	tests  map[testOp]int
	faults int
}

func newTally() *tally {
	return &tally{calls: map[point]int{}, hits: map[pair]int{}, tests: map[testOp]int{}}
}

func (t *tally) call(p point) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[p]++
}

// hit counts a fault at an await point. A window in which all calls suffer is
// one fault, but hits every point in it.
func (t *tally) hit(k kind, p point, fault bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hits[pair{k, p}]++
	if fault {
		t.faults++
	}
}

// add adds the counts of another tally.
func (t *tally) add(other *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, n := range other.calls {
		t.calls[p] += n
	}
	for p, n := range other.hits {
		t.hits[p] += n
	}
	for op, n := range other.tests {
		t.tests[op] += n
	}
	t.faults += other.faults
}

// String is a table of await points and kinds of faults, with their hits.
func (t *tally) String() string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(t.calls)) {
		fmt.Fprintf(&b, "%-60s calls %d", p, t.calls[p])
		for _, k := range kinds {
			if k.hits(p) {
				fmt.Fprintf(&b, " %s=%d", k, t.hits[pair{k, p}])
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
		if n := t.hits[want]; least < 0 || n < least {
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

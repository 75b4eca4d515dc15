package sim

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"muster/profile"
	"muster/profile/memory"
)

var (
	flagMutate = flag.Int("sim.mutate", 0, "how many seeds are tried to catch each test op that is taken away")
	flagOnly   = flag.String("sim.only", "", "take away only test ops whose name contains this")
)

// testOp is a kind of test op: who makes the patch, and what it tests.
type testOp struct{ site, path string }

func (k testOp) String() string { return k.site + " " + k.path }

// testOps are the kinds that a run has seen.
type testOps struct {
	mu   sync.Mutex
	seen map[testOp]int
}

// variable are the parts of a path that name one of many.
var variable = regexp.MustCompile(`^(u?\d+|leader|db)$`)

func normalized(p profile.Pointer) string {
	parts := p.Parts()
	for i := range parts {
		if i > 0 && variable.MatchString(parts[i]) {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, " ")
}

// mutated is c without the test ops of the kind that the plan takes away. It
// notes the kinds that c has.
func (w *world) mutated(site string, c *profile.Change) *profile.Change {
	if w.tests == nil {
		return c
	}
	ops, err := c.Ops()
	if err != nil {
		return c
	}
	less := &profile.Change{}
	for _, op := range ops {
		kind := testOp{site, normalized(op.Path)}
		switch {
		case op.Op == "test":
			w.tests.mu.Lock()
			w.tests.seen[kind]++
			w.tests.mu.Unlock()
			if kind != w.without {
				less.Test(op.Path, op.Value)
			}
		case op.Op == "remove":
			less.Remove(op.Path)
		default:
			less.Set(op.Path, json.RawMessage(op.Value))
		}
	}
	return less
}

// TestEveryTestOpIsNeeded takes the test ops of each kind away, one kind after
// the other, and wants the simulation to notice: by what happens, since the
// histories that are judged are those without the op.
func TestEveryTestOpIsNeeded(t *testing.T) {
	if *flagMutate == 0 {
		t.Skip("takes minutes: asked for by -sim.mutate=SEEDS")
	}
	all := &testOps{seen: map[testOp]int{}}
	for seed := range uint64(40) {
		p := newPlan(seed)
		p.tests = all
		simulate(t, p)
	}
	kinds := slices.SortedFunc(maps.Keys(all.seen), func(a, b testOp) int { return strings.Compare(a.String(), b.String()) })
	for _, kind := range kinds {
		if strings.Contains(kind.String(), *flagOnly) {
			t.Run(kind.String(), func(t *testing.T) { t.Parallel(); mutate(t, kind) })
		}
	}
}

// mutate tries seeds until one shows that a test op is gone.
func mutate(t *testing.T, op testOp) {
	for seed := range uint64(*flagMutate) {
		p := newPlan(seed)
		p.tests, p.without = &testOps{seen: map[testOp]int{}}, op
		p.members, p.prefers = min(p.members, 8), nil
		p.rates = p.rates[:p.members]
		for _, k := range []kind{slow, late, twice, lostReply, pauseBefore, pauseAfter, killAfter, restore} {
			p.prefers = append(p.prefers, pair{k, point(op.site)})
		}
		if r := simulate(t, p); len(r.violations) > 0 {
			first, _, _ := strings.Cut(r.violations[0], "\n")
			fmt.Printf("| `%s` | %s | %d | %s |\n", op.site, op.path, seed, first)
			return
		}
	}
	fmt.Printf("| `%s` | %s | - | NOT CAUGHT in %d seeds |\n", op.site, op.path, *flagMutate)
	t.Errorf("%s: not noticed in %d seeds", op, *flagMutate)
}

// recorded is a store whose changes the judge takes note of: the operators'.
type recorded struct {
	world *world
	*memory.Store
	does string // what the operator is doing
}

func (r *recorded) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	return r.world.applied(r.Store, ctx, r.world.mutated("operator: "+r.does, c), false)
}

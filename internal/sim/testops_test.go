package sim

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"muster/profile"
	"muster/profile/memory"
)

// testOp is a kind of test op: which patch has it, and what it tests, as in
// docs/mutations.md.
type testOp struct{ patch, path string }

// MarshalText and UnmarshalText let it be a key in JSON.
func (op testOp) MarshalText() ([]byte, error) { return []byte(op.patch + "\t" + op.path), nil }

func (op *testOp) UnmarshalText(text []byte) error {
	op.patch, op.path, _ = strings.Cut(string(text), "\t")
	return nil
}

// patches are who makes which patch of docs/mutations.md. What operators do that
// is not here, no code of the product does.
var patches = map[string]string{
	"profile.(*Member).Join":       "join",
	"profile.(*Member).Write":      "set under a tenure", // which the simulation does itself
	"election.(*Elector).claim":    "claim",
	"election.(*Elector).release":  "release",
	"election.(*Elector).giveBack": "giving back of a slot that nobody remembers",
	"election.attempt":             "renewal",
	"election.(*Elector).plantBar": "bar for a new role",
	"election.(*Elector).grow":     "slots of a role that grew",
	"election.(*Elector).mirror":   "entry in `cluster/leaders`",
	"coordinator.Record":           "result of a run",
	"coordinator.Judge":            "verdict",
	"transfer":                     "transfer",
	"evict":                        "eviction",
	"force":                        "eviction",
	"allow":                        "allowance",
	"pause":                        "pause",
	"resume":                       "pause",
	"scale":                        "scaling",
	"round":                        "round",
}

// variable are the parts of a path that name one of many.
var variable = regexp.MustCompile(`^(u?\d+|leader|db|complete)$`)

// test counts the test ops of a change that somebody makes.
func (t *tally) test(maker string, c *profile.Change) {
	ops, err := c.Ops()
	if err != nil {
		return // never sent
	}
	patch, known := patches[maker]
	if !known && strings.Contains(maker, ".") {
		patch = maker // which has no row
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, op := range ops {
		if op.Op != "test" {
			continue
		}
		parts := op.Path.Parts()
		for i := range parts {
			if i > 0 && variable.MatchString(parts[i]) {
				parts[i] = "*"
			}
		}
		t.Tests[testOp{patch, strings.Join(parts, " ")}]++
	}
}

// everyTestOpHasItsScenario wants each test op that a patch of the simulation
// had to be one that internal/mutation shows the use of.
func (t *tally) everyTestOpHasItsScenario(test *testing.T) {
	table, err := os.ReadFile(filepath.Join("..", "..", "docs", "mutations.md"))
	if err != nil {
		test.Fatal(err)
	}
	for op := range t.Tests {
		row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(op.patch) + "(, [^|]*)? \\| `" + regexp.QuoteMeta(op.path) + "` ")
		if op.patch != "" && !row.Match(table) {
			test.Errorf("%s tests %s, for which internal/mutation has no scenario", op.patch, op.path)
		}
	}
}

// recorded is a store whose changes the judge takes note of: the operators'.
type recorded struct {
	world *world
	*memory.Store
	does string // what the operator is doing
}

func (r *recorded) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	r.world.tally.test(r.does, c)
	return r.world.applied(r.Store, ctx, c, false)
}

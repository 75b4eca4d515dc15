package mutation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

// sender is one way to come to a patch.
type sender struct {
	patch string              // what the patch is, for people
	when  string              // in which of its variants; "" is the usual one
	by    string              // function of the product that makes the request
	seed  func(*profile.Seed) // of members u1, u2, u3 and one slot of leader and db; nil leaves it so
	given func(*world)        // what was before; nil is nothing
	// send runs the product's code that decides and sends, until ctx ends.
	send  func(ctx context.Context, w *world)
	cases []scenario // what happens while the request is on its way
}

// scenario is what another actor does while a request is on its way, and what
// goes wrong without one of the request's test ops.
type scenario struct {
	path      string // of the test op, normalized
	meanwhile string // what happens, for people
	do        func(*world)
	// wrong says what went wrong, or "".
	wrong func(*world) string
	// late: it is wrong only because the sender has not looked since. One that
	// looks again may do the same.
	late bool
}

// senders are all of them.
func senders() []sender {
	var all []sender
	for _, some := range [][]sender{joiners(), holders(), furnishers(), coordinators(), rolling(), commands(), operators(), data()} {
		all = append(all, some...)
	}
	return all
}

// variable are the parts of a path that name one of many.
var variable = regexp.MustCompile(`^(u?\d+|leader|db|web|complete|meet)$`)

// normalized is the path of a test op with a * for each part that names one of many.
func normalized(p profile.Pointer) string {
	if p == "" {
		return "(the whole profile)"
	}
	parts := p.Parts()
	for i := range parts {
		if i > 0 && variable.MatchString(parts[i]) {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, " ")
}

func tests(op profile.Op) bool { return op.Op == "test" || op.Op == profile.OpNames }

// place is what a test op is about, normalized.
func place(op profile.Op) string {
	if op.Op == profile.OpNames {
		return pathNames
	}
	return normalized(op.Path)
}

// kind is a test op of a kind of patch.
type kind struct{ patch, path string }

func (k kind) String() string { return k.patch + ": " + k.path }

// TestEveryTestOpIsNeeded takes away the test ops of every kind, one kind after
// the other.
func TestEveryTestOpIsNeeded(t *testing.T) {
	trail := &trail{seen: map[string]bool{}}
	found, caught := map[kind]bool{}, map[kind]bool{}
	var rows []string
	all := 0
	for _, s := range senders() {
		all += len(s.cases)
		t.Run(s.name(), func(t *testing.T) {
			for _, path := range s.undisturbed(t, trail) {
				found[kind{s.patch, path}] = true
			}
			for _, c := range s.cases {
				t.Run(c.path, func(t *testing.T) {
					s.disturbed(t, trail, c)
					wrong := s.without(t, trail, c)
					caught[kind{s.patch, c.path}] = true
					if c.late {
						wrong = "late: " + wrong
					}
					rows = append(rows, fmt.Sprintf("| %s | `%s` | %s | %s |\n", s.name(), c.path, c.meanwhile, wrong))
				})
			}
		})
	}
	t.Logf("%d kinds of test ops, %d caught, by %d scenarios", len(found), len(caught), len(rows))
	if len(rows) < all {
		return // some failed, or -run chose some
	}
	everyKindIsCaught(t, found, caught)
	everySourceIsReached(t, trail)
	table(t, len(found), rows)
}

// everyKindIsCaught wants the test ops that patches have and those that
// scenarios are about to be the same.
func everyKindIsCaught(t *testing.T, found, caught map[kind]bool) {
	t.Helper()
	for _, k := range slices.SortedFunc(maps.Keys(found), func(a, b kind) int { return strings.Compare(a.String(), b.String()) }) {
		if !caught[k] {
			t.Errorf("%s: no scenario shows what this test op is for", k)
		}
	}
	for k := range caught {
		if !found[k] {
			t.Errorf("%s: there is a scenario, but no patch has this test op", k)
		}
	}
}

func (s sender) name() string {
	if s.when == "" {
		return s.patch
	}
	return s.patch + ", " + s.when
}

// request lets everything happen up to the moment when the request is on its way.
func (s sender) request(t *testing.T, trail *trail) *world {
	seed := profile.Seed{Members: []string{"u1", "u2", "u3"}, Leaders: 1, Roles: map[string]int{"db": 1}}
	if s.seed != nil {
		s.seed(&seed)
	}
	w := newWorld(t, seed, trail)
	if s.given != nil {
		s.given(w)
	}
	w.held(s.by, func(ctx context.Context) { s.send(ctx, w) })
	return w
}

// undisturbed wants the request to land when nothing comes before it, and
// returns the paths of its test ops.
func (s sender) undisturbed(t *testing.T, trail *trail) (paths []string) {
	synctest.Test(t, func(t *testing.T) {
		w := s.request(t, trail)
		ops, err := w.request.Ops()
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range ops {
			if tests(op) {
				paths = append(paths, place(op))
			}
		}
		if err := w.arrive(""); err != nil {
			t.Errorf("nothing came before the request, but it does not land: %v", err)
		}
	})
	return paths
}

// disturbed wants the whole request refused, and nothing to go wrong, also when
// the sender looks again.
func (s sender) disturbed(t *testing.T, trail *trail, c scenario) {
	synctest.Test(t, func(t *testing.T) {
		w := s.request(t, trail)
		c.do(w)
		if err := w.arrive(""); !errors.Is(err, profile.ErrConflict) {
			t.Errorf("the request ends with %v, want %v", err, profile.ErrConflict)
		}
		if diff := cmp.Diff(w.before.Params, w.Document().Params); diff != "" {
			t.Errorf("changed (-before +after):\n%s", diff)
		}
		if wrong := c.wrong(w); wrong != "" {
			t.Errorf("though the request has all its test ops: %s", wrong)
		}
		w.again(s)
		if wrong := c.wrong(w); (wrong != "") != c.late {
			t.Errorf("late is %v, but of a sender that looks again it is said %q", c.late, wrong)
		}
	})
}

// without wants something to go wrong without the test op, and returns what.
func (s sender) without(t *testing.T, trail *trail, c scenario) (wrong string) {
	synctest.Test(t, func(t *testing.T) {
		w := s.request(t, trail)
		c.do(w)
		if err := w.arrive(c.path); err != nil {
			t.Fatalf("the request is refused without this test op too: %v", err)
		}
		if wrong = c.wrong(w); wrong == "" {
			t.Errorf("nothing goes wrong without this test op")
		}
	})
	return wrong
}

// table compares docs/mutations.md with what was found.
func table(t *testing.T, kinds int, rows []string) {
	text := fmt.Sprintf(head, kinds) + strings.Join(rows, "")
	file := filepath.Join("..", "..", "docs", "mutations.md")
	if *flagUpdate && !t.Failed() {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(there), text); diff != "" && !t.Failed() {
		t.Errorf("%s is not what was found; -update writes it (-there +found):\n%s", file, diff)
	}
}

const head = `# What every test op is for

Written by ` + "`go test ./internal/mutation -update`" + `, and checked by ` + "`internal/mutation` `TestEveryTestOpIsNeeded`" + `: a stale table fails.

A patch names in ` + "`test`" + ` ops what it was decided on. Here each of them is taken away in turn (%d kinds, found at run time), and
something breaks. In each row somebody has sent the patch and is gone; while it is on its way another does what the third column
says; then it arrives. With all its test ops the patch is refused, the profile stays as it is, and a sender that looks again does
no such thing. Where the fourth column begins with "late" it may, having seen what is there now: wrong is that nobody has looked.
Where the other is somebody in DRP's portal, it is a hand edit of that one place: whatever does more is caught by several test ops.

One row runs by its first two columns: ` + "`go test ./internal/mutation -run 'TestEveryTestOpIsNeeded/^claim$/muster/paused'`" + `.

| patch | test op | meanwhile | without the test op |
|---|---|---|---|
`

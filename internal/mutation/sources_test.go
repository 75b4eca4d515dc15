package mutation

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sources are the functions of the product that put test ops into patches, and
// how many calls they have that do so: some behind a condition.
var sources = map[string]int{
	"agent.Observer.breakOut":          1,
	"agent.plantRole":                  1,
	"coordinator.Record":               1,
	"coordinator.Report":               2,
	"coordinator.judgeChange":          5,
	"coordinator.testMissing":          1,
	"coordinator.reportRunning":        1,
	"election.(*Elector).grow":         2,
	"election.(*Elector).mirrorChange": 2,
	"election.(*Elector).plantBar":     1,
	"election.enlist":                  3,
	"election.unlist":                  1,
	"profile.(*Change).TestAsRead":     1,
	"profile.(*Change).plantRecords":   1,
	"profile.(*Change).testSlot":       1,
	"profile.(*Change).testValue":      1,
	"profile.(*Change).unlist":         1,
	"profile.(*Change).vacateSeats":    1,
	"profile.ContinueStep.Plan":        1,
	"profile.RollingSpec.Begin":        2,
	"profile.RollingStep.Rise":         2,
	"profile.Sit":                      3,
	"profile.(*Lease).Renew":           2,
	"profile.(*Member).joinChange":     2,
	"profile.(*Member).joinExpected":   1,
	"profile.(*Member).joinRoles":      1,
	"profile.(*Member).send":           1,
	"profile.(*Operator).attempt":      1,
	"profile.Allow.Plan":               1,
	"profile.Claim":                    4,
	"profile.Edit.guard":               3,
	"profile.Edit.underTenure":         1,
	"profile.Evict.Plan":               2,
	"profile.Pause":                    1,
	"profile.Release":                  1,
	"profile.RoundSpec.Plan":           3,
	"profile.BarrierSpec.Open":         2,
	"profile.Scale.Plan":               2,
	"profile.Seed.Plan":                1,
	"profile.Tenure.Guard":             2,
	"profile.Transfer.Plan":            5,
	"profile.Update.expected":          1,
	"profile.departure.empty":          1,
	"profile.departure.expected":       1,
	"profile.departure.priorities":     1,
	"profile.departure.slots":          1,
	"profile.probeOnce":                1,
}

// unsent are functions that look like writers to the profile, and why no
// scenario is about what they write.
var unsent = map[string]string{
	"agent.(*Agent).intend":  "a preview: it shows the patch and sends none",
	"agent.(*Peer).waiter":   "it hands on the plan of a barrier, which is a scenario",
	"agent.Observer.watch":   "likewise",
	"muster.(*app).write":    "it hands on the plans of operators, which are scenarios",
	"muster.(*sowing).write": "it hands on plans of seeds, updates and departures, which are scenarios",
	"profile.probeOnce":      "it is a race by itself, and profile's TestAProbeFindsWritesThatAreNotGuarded takes its test away",
}

// A patch that no scenario makes, and a test op behind a condition that none
// meets, would be missed by looking at what the scenarios send.
func everySourceIsReached(t *testing.T, trail *trail) {
	t.Helper()
	tests, writers := map[string]int{}, []string{}
	for _, pkg := range []string{"agent", "cmd/muster", "coordinator", "election", "lab", "profile"} {
		each(t, filepath.Join("..", "..", pkg), func(function string, call *ast.CallExpr, method string) {
			function = pkg[strings.LastIndex(pkg, "/")+1:] + "." + function
			switch {
			case slices.Contains([]string{"Test", "TestAsRead", "TestNames", "testValue", "testSlot", "Guard"}, method):
				tests[function]++
			case slices.Contains([]string{"Write", "Apply"}, method) && len(call.Args) == 2 && isContext(call.Args[0]):
				writers = append(writers, function)
			}
		})
	}
	if diff := cmp.Diff(sources, tests); diff != "" {
		t.Errorf("test ops are made elsewhere than the scenarios know: give each that is new its scenario, then correct sources (-known +found):\n%s", diff)
	}
	for _, function := range writers {
		if _, known := unsent[function]; known == trail.seen[function] {
			t.Errorf("%s writes to the profile: in a scenario: %v, said to be in none: %v; want one of the two", function, trail.seen[function], known)
		}
	}
}

func isContext(arg ast.Expr) bool {
	name, ok := arg.(*ast.Ident)
	return ok && name.Name == "ctx"
}

// each calls see with the calls of methods in a folder's product code, and the
// functions that they are in.
func each(t *testing.T, folder string, see func(function string, call *ast.CallExpr, method string)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", folder, len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				ast.Inspect(f, func(n ast.Node) bool {
					if call, ok := n.(*ast.CallExpr); ok {
						if s, ok := call.Fun.(*ast.SelectorExpr); ok {
							see(named(f), call, s.Sel.Name)
						}
					}
					return true
				})
			}
		}
	}
}

// named is how the runtime names a function in its package.
func named(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	switch of := f.Recv.List[0].Type.(type) {
	case *ast.StarExpr:
		return "(*" + of.X.(*ast.Ident).Name + ")." + f.Name.Name
	case *ast.Ident:
		return of.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

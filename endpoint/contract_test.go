package endpoint_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/endpoint"
)

var update = flag.Bool("update", false, "write docs/endpoint.md anew")

const contractFile = "../docs/endpoint.md"

// contractRow is one row of docs/endpoint.md.
type contractRow struct {
	// what is a request with its answer, as "GET /{type}?sort,limit 200", or for
	// what no single request shows a text in small letters.
	what string
	// does says what the endpoint does, or "left out: " and why.
	does string
	// test shows it: a name in this package, or PACKAGE.NAME. Empty if left out.
	test string
}

// request returns the parts of a row that is a request.
func (r contractRow) request() (want endpoint.Shown, ok bool) {
	parts := strings.Fields(r.what)
	if len(parts) != 3 || strings.ToUpper(parts[0]) != parts[0] {
		return want, false
	}
	route, options, _ := strings.Cut(parts[1], "?")
	want = endpoint.Shown{Method: parts[0], Route: route}
	if options != "" {
		want.Options = strings.Split(options, ",")
	}
	var err error
	want.Status, err = strconv.Atoi(parts[2])
	return want, err == nil
}

// routeMatches reports whether a route of the server is one that a row means,
// where {type} stands for every type of objects.
func routeMatches(row, route string) bool {
	rest, ok := strings.CutPrefix(row, "/{type}")
	if !ok {
		return row == route
	}
	prefix, after, found := strings.Cut(strings.TrimPrefix(route, "/"), "/")
	if found {
		after = "/" + after
	}
	after = strings.Replace(after, "/{key...}", "/{key}", 1)
	return slices.Contains(endpoint.Types(), prefix) && after == rest
}

func shownIn(want endpoint.Shown, shown []endpoint.Shown) bool {
	return slices.ContainsFunc(shown, func(got endpoint.Shown) bool {
		for _, option := range want.Options {
			if !slices.Contains(got.Options, option) {
				return false
			}
		}
		return got.Method == want.Method && got.Status == want.Status && routeMatches(want.Route, got.Route)
	})
}

func TestContractTableIsUpToDate(t *testing.T) {
	var doc bytes.Buffer
	doc.WriteString(contractIntro)
	for _, section := range contract {
		fmt.Fprintf(&doc, "\n## %s\n\n| what | the endpoint | shown by |\n|---|---|---|\n", section.title)
		for _, row := range section.rows {
			what, test := strings.ReplaceAll(row.what, "|", "\\|"), "–"
			if _, ok := row.request(); ok {
				what = "`" + what + "`"
			}
			if row.test != "" {
				test = "`" + row.test + "`"
			}
			fmt.Fprintf(&doc, "| %s | %s | %s |\n", what, strings.ReplaceAll(row.does, "|", "\\|"), test)
		}
	}
	if *update {
		if err := os.WriteFile(contractFile, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(contractFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(doc.String(), string(have)); diff != "" {
		t.Errorf("%s is not what the rows say; run `go test ./endpoint -run TestContractTable -update`:\n%s", contractFile, diff)
	}
}

func TestContractRowsAreShownByTestsThatExist(t *testing.T) {
	tests := map[string]bool{}
	for pkg, dir := range map[string]string{"": ".", "lab.": "../lab", "muster-lab.": "../cmd/muster-lab"} {
		for _, name := range testsIn(t, dir) {
			tests[pkg+name] = true
		}
	}
	for _, section := range contract {
		for _, row := range section.rows {
			if left := strings.HasPrefix(row.does, "left out: "); left != (row.test == "") {
				t.Errorf("row %q: left out is %v, and its test %q", row.what, left, row.test)
			}
			if row.test != "" && !tests[row.test] {
				t.Errorf("row %q: there is no test %s", row.what, row.test)
			}
		}
	}
}

func testsIn(t *testing.T, dir string) (names []string) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("tests in %s: %v, %v", dir, files, err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

func TestEveryRouteHasARow(t *testing.T) {
	s := start(t, "")
	for _, route := range s.Routes() {
		method, path, _ := strings.Cut(route, " ")
		found := false
		for _, section := range contract {
			for _, row := range section.rows {
				want, ok := row.request()
				found = found || ok && want.Method == method && routeMatches(want.Route, path)
			}
		}
		if !found {
			t.Errorf("%s has no row", route)
		}
	}
}

// contractFaults says which rows that are requests were not shown by their tests.
// It is for the end of a run of all tests.
func contractFaults() (faults []string) {
	for _, section := range contract {
		for _, row := range section.rows {
			want, ok := row.request()
			if !ok || row.test == "" || strings.Contains(row.test, ".") {
				continue
			}
			if !shownIn(want, endpoint.ShownBy(row.test)) {
				faults = append(faults, fmt.Sprintf("%s does not show %s", row.test, row.what))
			}
		}
	}
	return faults
}

package archtest_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the module's folder, seen from this package's.
const root = "../.."

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list",
		"-json=ImportPath,Dir,Imports,Deps,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsFollowTheArrows(t *testing.T) {
	for _, p := range packages(t) {
		for _, wrong := range check(p) {
			t.Error(wrong)
		}
	}
}

func TestEveryPackageHasExactlyOneComment(t *testing.T) {
	for _, p := range packages(t) {
		files, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		onlyTests := len(p.GoFiles)+len(p.CgoFiles) == 0
		var commented []string
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") != onlyTests {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Doc != nil {
				commented = append(commented, filepath.Base(file))
			}
		}
		if len(commented) != 1 {
			t.Errorf("%s has %d package comments %v, want one", p.folder(), len(commented), commented)
		}
	}
}

func TestArchitectureListsEveryFolder(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatalf("ARCHITECTURE.md must list every folder with Go files in a table: %v", err)
	}
	var table strings.Builder
	for line := range strings.Lines(string(document)) {
		if strings.HasPrefix(line, "|") {
			table.WriteString(line)
		}
	}
	for _, p := range packages(t) {
		names := []string{"`" + p.folder() + "/`", "`" + p.folder() + "`"}
		if match("internal/...", p.folder()) {
			names = append(names, "`internal/…`")
		}
		if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(table.String(), name) }) {
			t.Errorf("no table row of ARCHITECTURE.md has %s", names[0])
		}
	}
}

func TestForbiddenImportsAreRefusedWithAReason(t *testing.T) {
	for _, c := range []struct {
		from, imported string
		allowed        bool
	}{
		{"election", "muster/profile", true},
		{"election", "muster/coordinator", false},
		{"coordinator", "muster/election", false},
		{"coordinator", "muster/profile/drp", false},
		{"agent", "muster/election", true},
		{"agent", "muster/config", false},
		{"lab", "muster/agent", false},
		{"lab", "muster/endpoint", true},
		{"cmd/muster", "muster/agent", true},
		{"cmd/muster", "muster/lab", false},
		{"profile", "muster/internal/redact", true},
		{"profile", "encoding/json", true},
		{"profile", "github.com/hashicorp/go-hclog", false},
		{"profile/memory", "muster/profile", true},
		{"profile/memory", "muster/profile/drp", false},
		{"facts", "github.com/shirou/gopsutil/v3/cpu", true},
		{"agent", "github.com/shirou/gopsutil/v3/cpu", false},
		{"profile/drp", "gitlab.com/rackn/provision/v4/models", true},
		{"cmd/muster", "gitlab.com/rackn/provision/v4/models", false},
		{"cmd/muster-lab", "github.com/spf13/cobra", true},
		{"agent", "github.com/spf13/cobra", false},
		{"endpoint", "github.com/gorilla/websocket", true},
		{"profile/drp", "github.com/gorilla/websocket", false},
		{"internal/backoff", "muster/profile", false},
		{"somewhere/new", "fmt", false},
	} {
		wrong := check(pkg{ImportPath: module + c.from, Imports: []string{c.imported}})
		if allowed := len(wrong) == 0; allowed != c.allowed {
			t.Errorf("%s imports %s: allowed is %v, want %v (%q)", c.from, c.imported, allowed, c.allowed, wrong)
		}
	}
	if wrong := check(pkg{ImportPath: "muster/cmd/muster", Deps: []string{"muster/agent", "muster/endpoint"}}); len(wrong) != 1 {
		t.Errorf("a dependency on the endpoint through others gives %q", wrong)
	}
	for _, a := range arrows {
		if a.why == "" {
			t.Errorf("the rule for %s has no reason", a.from)
		}
	}
}

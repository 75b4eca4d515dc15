package archtest_test

import (
	"fmt"
	"slices"
	"strings"
)

// module is the import path that ours begin with.
const module = "muster/"

// arrow says what else of this module a package may import; internal/... is open to all.
type arrow struct {
	from string // a folder, or "x/..." for x and all below it
	to   []string
	why  string
}

// arrows has every package of the module. The first match counts.
var arrows = []arrow{
	{"cmd/muster", []string{"agent", "config", "coordinator", "election", "facts", "guard", "install", "packaging", "profile", "profile/drp", "rootstep", "steps"},
		"muster goes on every host: what only developers need stays in muster-lab"},
	{"cmd/muster-lab", []string{"config", "endpoint/...", "lab/...", "profile", "profile/drp"},
		"muster-lab runs real muster processes, so it never needs their insides"},
	{"agent", []string{"coordinator", "election", "facts", "profile", "steps"},
		"agent composes the parts over the contract; cmd reads the config and picks the store"},
	{"election", []string{"profile"},
		"election is about slots alone: agent composes it with the rest, and slot primitives that others need live in profile"},
	{"coordinator", []string{"profile"},
		"coordinator is about meeting alone: agent composes it with the rest, and slot primitives that others need live in profile"},
	{"steps", []string{"coordinator"},
		"steps reads files of this host, in the language of gates; agent and cmd run them"},
	{"rootstep", []string{"guard", "steps"},
		"rootstep runs as root what a file says: the less it knows, the less can be asked of it"},
	{"facts", nil,
		"facts reads a host and knows no cluster; agent publishes what it read"},
	{"guard", nil,
		"guard keeps processes to deadlines and knows no cluster; cmd hands it the moments"},
	{"profile", nil,
		"profile is the contract that everything rests on, so it rests on nothing"},
	{"profile/...", []string{"profile"},
		"a store implements the contract and knows none of its users"},
	{"config", []string{"profile"},
		"config is plain values that cmd hands on; it starts nothing"},
	{"install", nil,
		"install puts files and a service in place; cmd hands it their content"},
	{"endpoint/...", []string{"endpoint/..."},
		"endpoint stands in for a foreign server: code shared with the members would share their mistakes"},
	{"lab/bench", []string{"agent", "coordinator", "endpoint", "facts", "lab", "profile", "profile/drp"},
		"lab/bench runs a thousand members in one process, so it puts them together itself"},
	{"lab/bench/performance", []string{"lab/bench"},
		"lab/bench/performance runs muster-lab from outside, and knows only what it prints"},
	{"lab/scenario", []string{"coordinator", "endpoint", "lab", "profile", "steps"},
		"lab/scenario checks gates and steps of a file before anything is started, and else runs real muster processes from outside"},
	{"lab/soak", []string{"agent", "endpoint", "lab", "profile", "profile/drp"},
		"lab/soak runs whole agents in one process, so that it sees what they leave behind"},
	{"lab/...", []string{"config", "endpoint/...", "lab/...", "profile", "profile/drp"},
		"lab runs real muster processes from outside, as an operator would"},
	{"packaging/...", nil,
		"packaging is data"},
	{"internal/lincheck", []string{"profile"},
		"lincheck judges histories of profile's changes, for the tests of whoever makes them"},
	{"internal/...", nil,
		"internal packages are small helpers that anybody can use, so they use nobody"},
}

// fence says who may import a foreign module.
type fence struct {
	module string
	only   []string
	why    string
}

var fences = []fence{
	{"gitlab.com/rackn", []string{"profile/drp", "endpoint/...", "lab/..."},
		"the DRP library is large and fixed to one version: everything else works over profile's contract"},
	{"github.com/shirou/gopsutil", []string{"facts"},
		"moving to its next major version must change one package"},
	{"github.com/spf13/cobra", []string{"cmd/..."},
		"only commands know that there is a command line"},
	{"github.com/gorilla", []string{"endpoint/..."},
		"members need no websocket: they poll"},
	{"github.com/anishathalye/porcupine", []string{"internal/lincheck/..."},
		"only tests check histories, and all by one model"},
	{"github.com/kardianos/service", []string{"install"},
		"the host's service manager is the installer's business"},
}

// absent says what a package must not depend on, not even through others.
type absent struct {
	from, to, why string
}

var absents = []absent{
	{"cmd/muster", "internal/lincheck", "muster goes on every host, so it stays small: histories are checked by tests"},
	{"cmd/muster", "endpoint", "muster goes on every host, so it stays small: the embedded endpoint is for muster-lab"},
	{"cmd/muster", "lab", "muster goes on every host, so it stays small: demos and benchmarks are for muster-lab"},
}

// pkg is what `go list -json` says of one package.
type pkg struct {
	ImportPath   string
	Dir          string
	Imports      []string
	Deps         []string
	GoFiles      []string
	CgoFiles     []string
	TestGoFiles  []string
	XTestGoFiles []string
}

func (p pkg) folder() string { return strings.TrimPrefix(p.ImportPath, module) }

// check returns what is wrong with the imports of a package, with the reasons.
func check(p pkg) []string {
	var wrong []string
	folder := p.folder()
	i := slices.IndexFunc(arrows, func(a arrow) bool { return match(a.from, folder) })
	if i < 0 {
		return []string{fmt.Sprintf("%s is in no rule: add it to arrows with what it may import, and why", folder)}
	}
	for _, imported := range p.Imports {
		if ours, ok := strings.CutPrefix(imported, module); ok {
			if !matchAny(arrows[i].to, ours) && !match("internal/...", ours) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", folder, ours, arrows[i].why))
			}
			continue
		}
		for _, f := range fences {
			if (imported == f.module || strings.HasPrefix(imported, f.module+"/")) && !matchAny(f.only, folder) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", folder, imported, f.why))
			}
		}
		if folder == "profile" && foreign(imported) {
			wrong = append(wrong, fmt.Sprintf("profile imports %s: the contract needs the standard library only", imported))
		}
	}
	for _, a := range absents {
		if folder == a.from && slices.ContainsFunc(p.Deps, func(dep string) bool {
			dep, ours := strings.CutPrefix(dep, module)
			return ours && (dep == a.to || strings.HasPrefix(dep, a.to+"/"))
		}) {
			wrong = append(wrong, fmt.Sprintf("%s depends on %s: %s", folder, a.to, a.why))
		}
	}
	return wrong
}

// foreign tells a module's import path from one of the standard library: its first element has a dot.
func foreign(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

func match(pattern, folder string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return folder == tree || strings.HasPrefix(folder, tree+"/")
	}
	return folder == pattern
}

func matchAny(patterns []string, folder string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, folder) })
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdGolden runs muster, which must succeed, and wants its standard output to
// be JSON of the shape in testdata/golden/FILE: the same keys, in the same
// order, and the same values but for what differs from run to run.
func cmdGolden(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) > 1, "golden FILE ARG...")
	p := s.begin(ts, "golden", args[1:])
	s.started["golden"] = p
	code, out, errs := s.finish(ts, args[1:], p)
	if code != 0 || !json.Valid([]byte(out)) {
		ts.Fatalf("muster %s: exit code %d, want 0 and JSON\nstdout: %s\nstderr: %s", strings.Join(args[1:], " "), code, out, errs)
	}
	got := steady(out)
	file := filepath.Join(s.golden, args[0])
	if *update {
		ts.Check(os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	ts.Check(err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		ts.Fatalf("muster %s: output differs from %s (-want +got); if that is meant, run the test with -update:\n%s", strings.Join(args[1:], " "), file, diff)
	}
}

var varying = []struct{ found, put string }{
	{`"facts": \{(?s:.*?)\n    \}`, `"facts": {…}`},
	{`"(instance|id|round_id)": "[0-9a-f]{32}"`, `"$1": "…"`},
	{`"(epoch|since|at)": [1-9]\d*`, `"$1": 1`},
	{`"(version|go|address)": "[^"]+"`, `"$1": "…"`},
}

// steady returns out without what differs from run to run.
func steady(out string) string {
	for _, v := range varying {
		out = regexp.MustCompile(v.found).ReplaceAllString(out, v.put)
	}
	return out
}

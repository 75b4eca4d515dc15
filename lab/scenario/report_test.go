package scenario

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJUnitHasACaseForEachExpectationAndOneForARunThatEndedEarly(t *testing.T) {
	r := Report{
		Scenario: "a & b", File: "a.yaml", Error: "a.yaml:7: kill: nobody", Seconds: 3.5,
		Expectations: []Finding{
			{Line: 3, Expected: "one", Result: Passed, Seen: "it", At: 1, Seconds: 0.25},
			{Line: 5, Expected: "two <2>", Result: Failed, Seen: "none", At: 1.25, Seconds: 2},
			{Line: 9, Expected: "three", Result: Skipped},
		},
	}
	var b strings.Builder
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="a &amp; b" tests="4" failures="1" errors="1" skipped="1" time="3.500">
    <testcase classname="a &amp; b" name="line 3: one" time="0.250"></testcase>
    <testcase classname="a &amp; b" name="line 5: two &lt;2&gt;" time="2.000">
      <failure message="seen: none">a.yaml:5&#xA;expected: two &lt;2&gt;&#xA;seen: none&#xA;after 2.000 s, at 3.250 s</failure>
    </testcase>
    <testcase classname="a &amp; b" name="line 9: three" time="0.000">
      <skipped message="the run ended before"></skipped>
    </testcase>
    <testcase classname="a &amp; b" name="the run" time="3.500">
      <error message="a.yaml:7: kill: nobody"></error>
    </testcase>
  </testsuite>
</testsuites>
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("JUnit (-want +got):\n%s", diff)
	}
	if failed := r.Failures(); len(failed) != 1 || failed[0].Line != 5 {
		t.Errorf("failures: %+v", failed)
	}
}

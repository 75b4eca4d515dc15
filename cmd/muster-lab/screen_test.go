package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/lab"
)

// forming is how a cluster of two forms.
var forming = []lab.Cluster{
	{Members: []lab.Member{{Name: "node-01", Joined: true}, {Name: "node-02", Tasks: 4}}},
	{Members: []lab.Member{{Name: "node-01", Joined: true, Slot: "leader/1"}, {Name: "node-02", Joined: true, Task: 3, Tasks: 4}}},
	{Members: []lab.Member{{Name: "node-01", Joined: true, Slot: "leader/1", Result: "complete"}, {Name: "node-02", Joined: true, Task: 3, Tasks: 4, Result: "failed"}}},
	{Verdict: "failed", Members: []lab.Member{{Name: "node-01", Joined: true, Result: "complete", Step: "done"}, {Name: "node-02", Joined: true, Task: 3, Tasks: 4, Result: "failed"}}},
}

func TestWithoutATerminalEachThingThatHappensIsALineOnce(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, 2, terminalRows(&out))
	for _, c := range forming {
		s.show(c)
		s.show(c)
	}
	want := `node-01  joined
node-01  holds leader/1
node-02  joined
node-01  workflow complete
node-02  workflow failed
node-01  step done
verdict  failed
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines differ (-want +got):\n%s", diff)
	}
}

// Redrawing goes up by exactly the lines that the last drawing took.
func TestOnATerminalTheTableIsRedrawnInPlace(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, 2, 24)
	for _, c := range forming {
		s.show(c)
	}
	frames := strings.Split(out.String(), "\x1b[4A\x1b[J")
	if len(frames) != len(forming) {
		t.Fatalf("got %d frames, want %d:\n%q", len(frames), len(forming), out.String())
	}
	for i, frame := range frames {
		if lines := strings.Count(frame, "\n"); lines != 4 || strings.Contains(frame, "\x1b") {
			t.Errorf("frame %d has %d lines, want 4: %q", i, lines, frame)
		}
	}
	want := `MACHINE  MEMBER  WORKFLOW  SLOT  RESULT    STEP
node-01  joined  0/0             complete  done
node-02  joined  3/4             failed    
barrier: failed
`
	if diff := cmp.Diff(want, frames[len(frames)-1]); diff != "" {
		t.Errorf("the last frame differs (-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(frames[0], "\nbarrier: open\n") {
		t.Errorf("the first frame ends otherwise: %q", frames[0])
	}
}

func TestTableIsDrawnOnlyWhereItFits(t *testing.T) {
	for rows, want := range map[int]bool{0: false, 6: false, 7: false, 8: true, 50: true} {
		if got := newScreen(nil, 5, rows).live; got != want {
			t.Errorf("5 members on %d rows: table is %v, want %v", rows, got, want)
		}
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got := terminalRows(file); got != 0 {
		t.Errorf("a file has %d rows, want 0", got)
	}
}

func TestSummaryNamesWhoFailedAndWhoIsMissing(t *testing.T) {
	var out bytes.Buffer
	r := lab.Result{
		Members: 4, Leaders: []string{"node-01", "node-03"}, Verdict: "failed", Failed: []string{"node-02"}, Missing: []string{"node-04"},
		Requests: 30, Writes: 10, Conflicts: 1, Bytes: 2_500_000, Seconds: 1.25, ReleaseMS: lab.Quantiles{P50: 12, P99: 30.4, Max: 31},
	}
	if err := summarize(&out, "table", r); err != nil {
		t.Fatal(err)
	}
	want := `members      4
leaders      2: node-01, node-03
fact sheets  0
verdict      failed
failed       node-02
missing      node-04
steps        0 run, 0 early
release      p50 12 ms, p99 30 ms, max 31 ms after the last completion
endpoint     30 requests, 10 profile writes (2.50 a member), 1 conflicts, 2.5 MB to clients
time         1.2 s
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("summary differs (-want +got):\n%s", diff)
	}
}

package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// judge watches one expectation until it is decided.
type judge struct {
	*Expectation              // with members in the place of labels
	written      *Expectation // as it is in the file
	inverted     bool
	told         bool // to who follows the run
	decided      chan struct{}

	// Guarded by the world until decided is closed.
	open   bool
	result Finding
}

// Results of expectations.
const (
	Passed  = "passed"
	Failed  = "failed"
	Skipped = "skipped" // the run ended before
)

// Finding is what came of an expectation.
type Finding struct {
	Line     int     `json:"line"`
	Expected string  `json:"expected"`
	Result   string  `json:"result"` // passed, failed or skipped
	Seen     string  `json:"seen"`   // what decided it
	At       float64 `json:"at"`     // seconds after the start, when it began to be watched
	Seconds  float64 `json:"seconds"`
}

func newJudge(written, resolved *Expectation, inverted bool) *judge {
	j := &judge{Expectation: resolved, written: written, inverted: inverted, decided: make(chan struct{}), open: true}
	j.result = Finding{Line: written.Line, Expected: written.words(inverted), Result: Skipped}
	return j
}

// bound is how long it may take to be decided; 0 is until the end of the run.
func (j *judge) bound() time.Duration {
	if j.Rest {
		return 0
	}
	return max(j.Within, j.For)
}

// take looks at the state, which has changed. What comes true decides an expectation
// that waits for it, and what does not hold any more one that needs it all the time.
func (j *judge) take(s *state, now time.Duration) {
	if !j.open {
		return
	}
	is, seen := j.look(s)
	j.result.Seen = seen
	switch {
	case j.Within > 0 && is == holds:
		j.decide(true, now)
	case j.Within > 0 && is == never, j.Within == 0 && is != holds:
		j.decide(false, now)
	}
}

// late ends an expectation that nothing has decided: what was waited for did not
// come, and what had to hold did.
func (j *judge) late(now time.Duration) {
	if j.open {
		j.decide(j.Within == 0, now)
	}
}

func (j *judge) decide(held bool, now time.Duration) {
	j.open = false
	j.result.Result = Failed
	if held != j.inverted {
		j.result.Result = Passed
	}
	j.result.Seconds = now.Seconds() - j.result.At
	close(j.decided)
}

// wait blocks until the expectation is decided, or ctx ends.
func (w *world) wait(ctx context.Context, j *judge) {
	bound := time.NewTimer(j.bound())
	defer bound.Stop()
	select {
	case <-j.decided:
	case <-bound.C:
		w.do(func(*state) { j.late(w.since()) })
	case <-ctx.Done():
	}
}

// words says what is expected.
func (e *Expectation) words(inverted bool) string {
	var b strings.Builder
	if inverted {
		b.WriteString("not: ")
	}
	switch e.About {
	case aboutHolders:
		fmt.Fprintf(&b, "holders of %s: ", e.Of)
	case aboutRunning:
		fmt.Fprintf(&b, "members that run %s: ", e.Of)
	case aboutBegan:
		fmt.Fprintf(&b, "members that have begun %s: ", e.Of)
	case aboutEnded:
		fmt.Fprintf(&b, "members that have ended %s: ", e.Of)
	case aboutMembers:
		fmt.Fprintf(&b, "members %s: ", e.Of)
	case aboutVerdict:
		fmt.Fprintf(&b, "barrier %s is %s", e.Barrier, e.Of)
		listed(&b, ", failed: ", e.Failed)
		listed(&b, ", missing: ", e.Missing)
	case aboutOrder:
		b.WriteString("order: " + strings.Join(e.Order, " before "))
	}
	b.WriteString(strings.Join(e.numbers(), ", "))
	if e.Round > 0 {
		fmt.Fprintf(&b, ", round %d", e.Round)
	}
	switch {
	case e.Rest:
		b.WriteString("; from here to the end")
	case e.For > 0:
		fmt.Fprintf(&b, "; for %s", e.For)
	default:
		fmt.Fprintf(&b, "; within %s", e.Within)
	}
	return b.String()
}

// numbers says how many or who.
func (e *Expectation) numbers() []string {
	var parts []string
	for _, n := range []struct {
		form string
		n    int
	}{{"exactly %d", e.Exactly}, {"at most %d", e.AtMost}, {"at least %d", e.AtLeast}} {
		if n.n >= 0 {
			parts = append(parts, fmt.Sprintf(n.form, n.n))
		}
	}
	if len(e.Who) > 0 {
		parts = append(parts, "with "+strings.Join(e.Who, " and "))
	}
	if len(e.Not) > 0 {
		parts = append(parts, "without "+strings.Join(e.Not, " and "))
	}
	return parts
}

func listed(b *strings.Builder, what string, names []string) {
	switch {
	case names == nil:
	case len(names) == 0:
		b.WriteString(what + "nobody")
	default:
		b.WriteString(what + strings.Join(names, " and "))
	}
}

package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"muster/profile"
)

// stateJoined is the state of a member whose agent has joined.
const stateJoined = "joined"

// state is all that expectations are about, at one moment.
type state struct {
	round   int
	id      string                             // of the round
	joined  []string                           // members
	results map[string]string                  // member → result of its machine's run in the present round
	holders map[string]map[string]string       // role → slot → member
	barrier map[string]map[int]profile.Barrier // name → round; with members' names
	runs    []*run
}

// run is one command of a member, from its beginning until nothing of it is alive.
type run struct {
	step, member string
	round        int
	began        time.Duration // after the start of the timeline
	ended        time.Duration // -1 while it runs
}

func (r *run) over() bool { return r.ended >= 0 }

// verdictWord is what a scenario calls a verdict.
func verdictWord(v string) string {
	if v == "" {
		return verdictOpen
	}
	return v
}

// outcome is what an expectation looks like at one moment.
type outcome int

const (
	notYet outcome = iota
	holds
	never // it does not hold, and cannot any more
)

// look judges an expectation at one moment. seen says in words what there is.
func (e *Expectation) look(s *state) (is outcome, seen string) {
	switch e.About {
	case aboutVerdict:
		return e.lookVerdict(s)
	case aboutOrder:
		return e.lookOrder(s)
	}
	set := e.set(s)
	seen = fmt.Sprintf("%d: %s", len(set), strings.Join(set, ", "))
	if len(set) == 0 {
		seen = "none"
	}
	has := func(member string) bool { return slices.Contains(set, member) }
	lacks := func(member string) bool { return !has(member) }
	if e.Exactly >= 0 && len(set) != e.Exactly || e.AtMost >= 0 && len(set) > e.AtMost || len(set) < e.AtLeast ||
		slices.ContainsFunc(e.Who, lacks) || slices.ContainsFunc(e.Not, has) {
		return notYet, seen
	}
	return holds, seen
}

// set returns the members that the expectation is about, sorted. Of running steps it
// has a member as often as it runs one of them.
func (e *Expectation) set(s *state) []string {
	var set []string
	round := e.Round
	if round == 0 {
		round = s.round
	}
	switch e.About {
	case aboutHolders:
		for _, member := range s.holders[e.Of] {
			set = append(set, member)
		}
	case aboutMembers:
		set = slices.Clone(s.joined)
		if e.Of != stateJoined {
			set = slices.DeleteFunc(set, func(m string) bool { return s.results[m] != e.Of })
		}
	case aboutRunning:
		for _, r := range s.runs {
			if slices.Contains(e.AnyOf, r.step) && !r.over() && (e.Round == 0 || r.round == e.Round) {
				set = append(set, r.member)
			}
		}
	default:
		for _, r := range s.runs {
			if r.step == e.Of && r.round == round && (e.About == aboutBegan || r.over()) && !slices.Contains(set, r.member) {
				set = append(set, r.member)
			}
		}
	}
	slices.Sort(set)
	return set
}

// lookVerdict: a verdict that is recorded never changes.
func (e *Expectation) lookVerdict(s *state) (outcome, string) {
	round := e.Round
	if round == 0 {
		round = s.round
	}
	b, there := s.barrier[e.Barrier][round]
	if !there {
		return notYet, fmt.Sprintf("no barrier %s in round %d", e.Barrier, round)
	}
	is := verdictWord(b.Verdict)
	seen := fmt.Sprintf("%s in round %d", is, round)
	if len(b.Failed) > 0 {
		seen += ", failed: " + strings.Join(b.Failed, ", ")
	}
	if len(b.Missing) > 0 {
		seen += ", missing: " + strings.Join(b.Missing, ", ")
	}
	fits := is == e.Of && (e.Failed == nil || sameMembers(e.Failed, b.Failed)) && (e.Missing == nil || sameMembers(e.Missing, b.Missing))
	switch {
	case fits:
		return holds, seen
	case b.Verdict == "":
		return notYet, seen
	}
	return never, seen
}

func sameMembers(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// lookOrder: every run of a step is over before the first of the next begins.
func (e *Expectation) lookOrder(s *state) (outcome, string) {
	round := e.Round
	if round == 0 {
		round = s.round
	}
	is, before := holds, (*run)(nil) // the last to end of the step before
	for i, step := range e.Order {
		var last *run
		for _, r := range s.runs {
			if r.step != step || r.round != round {
				continue
			}
			if i > 0 && (before == nil || !before.over() || r.began < before.ended) {
				return never, fmt.Sprintf("%s began on %s when %s had not ended", step, r.member, unfinished(before, e.Order[i-1]))
			}
			if last == nil || !r.over() || last.over() && r.ended > last.ended {
				last = r
			}
			if !r.over() {
				is = notYet
			}
		}
		if last == nil {
			return notYet, step + " did not begin"
		}
		before = last
	}
	if is == holds {
		return is, strings.Join(e.Order, " before ")
	}
	return is, before.step + " runs on " + before.member
}

func unfinished(r *run, step string) string {
	if r == nil {
		return step
	}
	return step + " on " + r.member
}

package scenario

import (
	"slices"
	"strings"
	"time"

	"muster/profile"
)

// names checks a list of members: their names, labels that the timeline has given
// by then, `all`, and whatever else the words say.
func (c *checker) names(key string, l list, words func(text) bool) []string {
	for _, t := range l.items {
		switch {
		case t.s == allMembers, slices.Contains(c.s.Members, t.s), c.labels[t.s], words != nil && words(t):
		default:
			hint := ""
			if words != nil {
				hint = ", holder:ROLE, holder:ROLE/SLOT, running:STEP"
			}
			c.fault(t.place, "%s: expected all, a member or a label that was given before it%s; found %q", key, hint, t.s)
		}
	}
	nobody := key == "failed" || key == "missing" // may be what is expected
	if l.given() && len(l.items) == 0 && !nobody {
		c.fault(l.place, "%s: expected members, found none", key)
	}
	return l.texts()
}

// found checks the words that stand for whoever it is when the action comes.
func (c *checker) found(t text) bool {
	what, of, ok := strings.Cut(t.s, ":")
	switch {
	case ok && what == "holder":
		role, slot, numbered := strings.Cut(of, "/")
		c.role("holder", text{role, t.place})
		if numbered {
			c.number("slot", text{slot, t.place}, 0)
		}
		return true
	case ok && what == "running":
		c.stepName("running", text{of, t.place})
		return true
	}
	return false
}

func (c *checker) stepName(key string, t text) Step {
	var names []string
	for _, s := range c.s.Steps {
		if s.Name == t.s {
			return s
		}
		names = append(names, s.Name)
	}
	c.fault(t.place, "%s: expected one of the steps %q, found %q: add it to `steps`", key, names, t.s)
	return Step{}
}

const verbs = "expect, kill, stop, restart, drop, partition, heal, expire, renew, complete, fail, endpoint, round, run, operator"

func (c *checker) entry(k entryKeys) {
	e := Entry{Line: k.line, At: c.duration("at", k.At, 0)}
	verb, whom, n := "", list{}, 0
	for _, v := range []struct {
		name string
		list list
	}{
		{verbKill, k.Kill}, {verbStop, k.Stop}, {verbRestart, k.Restart}, {verbDrop, k.Drop}, {verbPartition, k.Partition}, {verbHeal, k.Heal},
		{verbExpire, k.Expire}, {verbRenew, k.Renew}, {verbComplete, k.Complete}, {verbFail, k.Fail}, {verbOperator, k.Operator},
		{verbEndpoint, list{place: k.Endpoint.place}}, {verbRun, list{place: k.Run.place}},
	} {
		if v.list.given() {
			verb, whom, n = v.name, v.list, n+1
		}
	}
	if k.Round != nil {
		verb, n = verbRound, n+1
	}
	if k.Expect != nil {
		n++
	}
	if n != 1 {
		c.fault(k.place, "timeline: expected one of %s in each entry, found %d of them", verbs, n)
		return
	}
	if k.On.given() && verb != verbRun {
		c.fault(k.On.place, "on: expected only beside run")
	}
	if k.Expect != nil {
		if k.As.given() {
			c.fault(k.As.place, "as: expected only beside an action on members")
		}
		e.Expect = c.expect(*k.Expect)
	} else {
		e.Action = c.action(verb, whom, k)
	}
	c.s.Timeline = append(c.s.Timeline, e)
}

func (c *checker) action(verb string, whom list, k entryKeys) *Action {
	a := &Action{Verb: verb}
	onMembers := false
	switch verb {
	case verbEndpoint:
		if a.Up = k.Endpoint.s == "up"; !a.Up && k.Endpoint.s != "down" {
			c.fault(k.Endpoint.place, "endpoint: expected up or down, found %q", k.Endpoint.s)
		}
	case verbRound:
		a.Round = c.round(*k.Round)
	case verbOperator:
		a.Words = whom.texts()
		if len(a.Words) == 0 || a.Words[0] == "" {
			c.fault(k.place, "operator: expected the words of a muster command, such as [scale, leader, 2], found none")
		}
	case verbRun:
		s := c.stepName("run", k.Run)
		if a.Step = s.Name; s.Name != "" && !s.byHand() {
			c.fault(k.Run.place, "run: expected a step with at_once or lead, found %q, which the agents run themselves", s.Name)
		}
		if a.Members = []string{allMembers}; k.On.given() {
			a.Members = c.names("on", k.On, c.found)
		}
		onMembers = true
	default:
		a.Members, onMembers = c.names(verb, whom, c.found), true
	}
	if (verb == verbComplete || verb == verbFail) && len(c.s.Workflows) == 0 {
		c.fault(k.place, "%s: expected a workflow that can: name one in `workflows` and in `round`", verb)
	}
	if a.As = k.As.s; k.As.given() {
		c.label(k.As, onMembers)
	}
	return a
}

// label checks what the members of an action are called from then on.
func (c *checker) label(t text, onMembers bool) {
	switch {
	case !onMembers:
		c.fault(t.place, "as: expected only beside an action on members")
	case !name.MatchString(t.s), t.s == allMembers, slices.Contains(c.s.Members, t.s):
		c.fault(t.place, "as: expected a name of %s that is no member's, found %q", nameForm, t.s)
	}
	c.labels[t.s] = true
}

// defaultWithin is how long something may take to come true.
const defaultWithin = 30 * time.Second

func (c *checker) expect(k expectKeys) *Expectation {
	e := &Expectation{
		Line: k.line, Exactly: c.count("count", k.Count), AtMost: c.count("at_most", k.AtMost), AtLeast: c.count("at_least", k.AtLeast),
		Who: c.names("who", k.Who, nil), Not: c.names("not", k.Not, nil),
		Round: c.number("round", k.Round, 0), Barrier: k.Barrier.s,
		Within: c.duration("within", k.Within, 0),
	}
	if e.Rest = k.For.s == "rest"; !e.Rest {
		e.For = c.duration("for", k.For, 0)
	}
	switch {
	case k.Within.given() && k.For.given():
		c.fault(k.For.place, "for: expected within (it comes true) or for (it stays true), found both")
	case !k.Within.given() && !k.For.given():
		e.Within = defaultWithin
	}
	n := 0
	for _, about := range []struct {
		name string
		of   text
	}{
		{aboutHolders, k.Holders}, {aboutRunning, text{strings.Join(k.Running.texts(), " or "), k.Running.place}}, {aboutBegan, k.Began}, {aboutEnded, k.Ended}, {aboutMembers, k.Members}, {aboutVerdict, k.Verdict},
		{aboutOrder, text{place: k.Order.place}},
	} {
		if about.of.given() {
			e.About, e.Of, n = about.name, about.of.s, n+1
		}
	}
	if n != 1 {
		c.fault(k.place, "expect: expected one of holders, running, began, ended, members, verdict, order, found %d of them", n)
		return e
	}
	c.about(k, e)
	return e
}

// about checks what the expectation is about.
func (c *checker) about(k expectKeys, e *Expectation) {
	ofSet := k.Count.given() || k.AtMost.given() || k.AtLeast.given() || k.Who.given() || k.Not.given()
	ofVerdict := k.Barrier.given() || k.Failed.given() || k.Missing.given()
	switch e.About {
	case aboutHolders:
		c.role("holders", k.Holders)
	case aboutRunning:
		if e.AnyOf = k.Running.texts(); len(e.AnyOf) == 0 {
			c.fault(k.Running.place, "running: expected steps, found none")
		}
		for _, s := range k.Running.items {
			c.stepName("running", s)
		}
	case aboutBegan:
		c.stepName("began", k.Began)
	case aboutEnded:
		c.stepName("ended", k.Ended)
	case aboutMembers:
		c.oneOf("members", k.Members, stateJoined, profile.Complete, profile.Failed, profile.Stopped)
	case aboutVerdict:
		c.verdict(k, e)
	case aboutOrder:
		if e.Order = k.Order.texts(); len(e.Order) < 2 {
			c.fault(k.place, "order: expected two or more steps, found %q", e.Order)
		}
		for _, s := range k.Order.items {
			c.stepName("order", s)
		}
	}
	switch {
	case e.About != aboutVerdict && ofVerdict:
		c.fault(k.place, "expect: expected barrier, failed and missing only of a verdict")
	case (e.About == aboutVerdict || e.About == aboutOrder) && ofSet:
		c.fault(k.place, "expect: expected no count, at_most, at_least, who or not of a %s", e.About)
	case e.About != aboutVerdict && e.About != aboutOrder && !ofSet:
		c.fault(k.place, "expect: expected how many or who: count, at_most, at_least, who or not")
	case k.Round.given() && (e.About == aboutHolders || e.About == aboutMembers):
		c.fault(k.Round.place, "round: expected only of a verdict or of steps")
	}
}

// verdictOpen is what a scenario calls the verdict that is not there.
const verdictOpen = "open"

func (c *checker) verdict(k expectKeys, e *Expectation) {
	c.oneOf("verdict", k.Verdict, verdictOpen, profile.VerdictComplete, profile.VerdictPartial, profile.VerdictFailed, profile.VerdictExpired, profile.VerdictSuperseded)
	if e.Barrier == "" {
		e.Barrier = profile.BarrierComplete
	}
	if k.Failed.given() {
		e.Failed = c.names("failed", k.Failed, nil)
	}
	if k.Missing.given() {
		e.Missing = c.names("missing", k.Missing, nil)
	}
}

func (c *checker) oneOf(key string, t text, words ...string) {
	if !slices.Contains(words, t.s) {
		c.fault(t.place, "%s: expected %s, found %q", key, strings.Join(words, ", "), t.s)
	}
}

// count reads how many members are expected; -1 if it is not given.
func (c *checker) count(key string, t text) int {
	if t.s == allMembers {
		return len(c.s.Members)
	}
	n := c.number(key, t, -1)
	if n > len(c.s.Members) && len(c.s.Members) > 0 {
		c.fault(t.place, "%s: expected all, or up to %d as there are members, found %d", key, len(c.s.Members), n)
	}
	return n
}

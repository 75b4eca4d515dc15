package scenario

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

// someState has two holders of db, a failed round 1 and an open round 2, and four runs.
func someState() *state {
	return &state{
		round: 2, joined: []string{"a", "b", "c"}, results: map[string]string{"a": profile.Complete, "b": profile.Failed},
		holders: map[string]map[string]string{"db": {"1": "b", "2": "a"}},
		barrier: map[string]map[int]profile.Barrier{"complete": {1: {Verdict: profile.VerdictFailed, Failed: []string{"c"}, Missing: []string{}}, 2: {}}},
		runs: []*run{
			{step: "old", member: "a", round: 1, began: 1, ended: 2},
			{step: "init", member: "a", round: 2, began: 3, ended: 5},
			{step: "init", member: "b", round: 2, began: 4, ended: 6},
			{step: "join", member: "c", round: 2, began: 6, ended: -1},
		},
	}
}

// about is an expectation of a set, with nothing said about how many or who.
func about(what, of string) Expectation {
	return Expectation{About: what, Of: of, Exactly: -1, AtMost: -1, AtLeast: -1}
}

func TestAnExpectationHoldsOrNotAndSaysWhatIsSeen(t *testing.T) {
	set := func(what, of string, change func(*Expectation)) Expectation {
		e := about(what, of)
		e.AnyOf = []string{of, "another"}
		change(&e)
		return e
	}
	exactly := func(n int) func(*Expectation) { return func(e *Expectation) { e.Exactly = n } }
	verdict := func(of string, round int) Expectation {
		return Expectation{About: aboutVerdict, Of: of, Round: round, Barrier: "complete"}
	}
	failedOn := func(e Expectation, failed ...string) Expectation { e.Failed = failed; return e }
	order := func(steps ...string) Expectation { return Expectation{About: aboutOrder, Order: steps} }
	for name, row := range map[string]struct {
		e    Expectation
		want outcome
		seen string
	}{
		"exactly":            {set(aboutHolders, "db", exactly(2)), holds, "2: a, b"},
		"too few":            {set(aboutHolders, "db", exactly(3)), notYet, "2: a, b"},
		"too many":           {set(aboutHolders, "db", exactly(1)), notYet, "2: a, b"},
		"none":               {set(aboutHolders, "none", exactly(0)), holds, "none"},
		"at most":            {set(aboutHolders, "db", func(e *Expectation) { e.AtMost = 2 }), holds, "2: a, b"},
		"more than at most":  {set(aboutHolders, "db", func(e *Expectation) { e.AtMost = 1 }), notYet, "2: a, b"},
		"at least":           {set(aboutHolders, "db", func(e *Expectation) { e.AtLeast = 2 }), holds, "2: a, b"},
		"less than at least": {set(aboutHolders, "db", func(e *Expectation) { e.AtLeast = 3 }), notYet, "2: a, b"},
		"who":                {set(aboutHolders, "db", func(e *Expectation) { e.Who = []string{"a"} }), holds, "2: a, b"},
		"who else":           {set(aboutHolders, "db", func(e *Expectation) { e.Who = []string{"a", "c"} }), notYet, "2: a, b"},
		"not":                {set(aboutHolders, "db", func(e *Expectation) { e.Not = []string{"c"} }), holds, "2: a, b"},
		"not but is":         {set(aboutHolders, "db", func(e *Expectation) { e.Not = []string{"b"} }), notYet, "2: a, b"},
		"joined":             {set(aboutMembers, stateJoined, exactly(3)), holds, "3: a, b, c"},
		"complete":           {set(aboutMembers, profile.Complete, exactly(1)), holds, "1: a"},
		"running":            {set(aboutRunning, "join", exactly(1)), holds, "1: c"},
		"running no more":    {set(aboutRunning, "init", exactly(0)), holds, "none"},
		"began":              {set(aboutBegan, "join", exactly(1)), holds, "1: c"},
		"not ended":          {set(aboutEnded, "join", exactly(0)), holds, "none"},
		"ended":              {set(aboutEnded, "init", exactly(2)), holds, "2: a, b"},
		"of the last round":  {set(aboutEnded, "old", exactly(0)), holds, "none"},
		"of a named round":   {set(aboutEnded, "old", func(e *Expectation) { e.Exactly, e.Round = 1, 1 }), holds, "1: a"},
		"open":               {verdict(verdictOpen, 0), holds, "open in round 2"},
		"not yet complete":   {verdict(profile.VerdictComplete, 0), notYet, "open in round 2"},
		"failed":             {verdict(profile.VerdictFailed, 1), holds, "failed in round 1, failed: c"},
		"never complete":     {verdict(profile.VerdictComplete, 1), never, "failed in round 1, failed: c"},
		"open no more":       {verdict(verdictOpen, 1), never, "failed in round 1, failed: c"},
		"failed on":          {failedOn(verdict(profile.VerdictFailed, 1), "c"), holds, "failed in round 1, failed: c"},
		"failed on another":  {failedOn(verdict(profile.VerdictFailed, 1), "a"), never, "failed in round 1, failed: c"},
		"no such round":      {verdict(profile.VerdictComplete, 3), notYet, "no barrier complete in round 3"},
		"in order":           {order("init", "join"), notYet, "join runs on c"},
		"out of order":       {order("join", "init"), never, "init began on a when join on c had not ended"},
		"not begun":          {order("init", "later"), notYet, "later did not begin"},
		"second alone":       {order("later", "init"), notYet, "later did not begin"},
	} {
		if is, seen := row.e.look(someState()); is != row.want || seen != row.seen {
			t.Errorf("%s: got %v, %q; want %v, %q", name, is, seen, row.want, row.seen)
		}
	}
	over := someState()
	over.runs[3].ended = 9
	e := order("init", "join")
	if is, seen := e.look(over); is != holds || seen != "init before join" {
		t.Errorf("in order: got %v, %q", is, seen)
	}
}

// scene is a world in which joined changes.
type scene struct {
	*world
	judge *judge
}

func newScene(e Expectation, inverted bool) *scene {
	s := &scene{world: newWorld(func(string, ...any) {}), judge: newJudge(&e, &e, inverted)}
	s.watch(s.judge)
	return s
}

func (s *scene) join(members ...string) { s.do(func(st *state) { st.joined = members }) }

func TestWhatIsAwaitedOrKeptIsDecidedByTheFirstThatDecidesIt(t *testing.T) {
	two := about(aboutMembers, stateJoined)
	two.Exactly = 2
	within, kept, rest := two, two, two
	within.Within, kept.For, rest.Rest = 10*time.Second, 10*time.Second, true
	both := []string{"a", "b"}
	for name, row := range map[string]struct {
		e      Expectation
		begin  []string // joined when it begins
		joined []string // joined after 3 s
		held   bool
		after  float64
	}{
		"comes true at once":    {within, both, both, true, 0},
		"comes true":            {within, nil, both, true, 3},
		"comes true and goes":   {within, both, nil, true, 0},
		"never comes true":      {within, nil, nil, false, 10},
		"is kept":               {kept, both, both, true, 10},
		"is not kept":           {kept, both, nil, false, 3},
		"does not begin so":     {kept, nil, both, false, 0},
		"is kept to the end":    {rest, both, both, true, 20},
		"not kept to the end":   {rest, both, nil, false, 3},
		"not the case at first": {rest, nil, both, false, 0},
	} {
		for _, inverted := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				e := row.e
				s := &scene{world: newWorld(func(string, ...any) {})}
				s.join(row.begin...)
				s.judge = newJudge(&e, &e, inverted)
				s.watch(s.judge)
				done := make(chan struct{})
				go func() {
					defer close(done)
					if !e.Rest {
						s.wait(t.Context(), s.judge)
					}
				}()
				time.Sleep(3 * time.Second)
				s.join(row.joined...)
				time.Sleep(17 * time.Second)
				<-done
				s.do(func(*state) { s.judge.late(s.since()) })
				want := Failed
				if row.held != inverted {
					want = Passed
				}
				if got := s.judge.result; got.Result != want || got.Seconds != row.after {
					t.Errorf("%s, inverted %v: %s after %v s, want %s after %v s", name, inverted, got.Result, got.Seconds, want, row.after)
				}
			})
		}
	}
}

func TestWhatCannotComeTrueAnyMoreIsNotWaitedFor(t *testing.T) {
	e := Expectation{About: aboutVerdict, Of: profile.VerdictComplete, Round: 1, Barrier: "complete", Within: time.Hour}
	s := newScene(e, false)
	s.do(func(st *state) { *st = *someState() })
	s.wait(t.Context(), s.judge)
	if got := s.judge.result; got.Result != Failed || !strings.Contains(got.Seen, "failed in round 1") {
		t.Errorf("got %+v", got)
	}
}

func TestWhatIsNotDecidedWhenTheRunEndsIsSkipped(t *testing.T) {
	e := about(aboutMembers, stateJoined)
	e.Exactly, e.Within = 1, time.Hour
	s := newScene(e, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.wait(ctx, s.judge)
	if got := s.judge.result; got.Result != Skipped {
		t.Errorf("got %+v", got)
	}
}

func TestExpectationsAreSaidInWords(t *testing.T) {
	parsed, err := parse("a.yaml", []byte(`members: 2
roles: {db: {}}
steps: [{name: one, after: complete}, {name: two, after: complete}]
timeline:
- expect: {holders: db, count: 1, not: [node-01, node-02]}
- expect: {running: [one, two], at_most: 1, for: rest}
- expect: {began: one, at_least: 1, round: 2, for: 2s}
- expect: {ended: one, who: all, within: 1s}
- expect: {members: joined, count: all}
- expect: {verdict: failed, failed: node-01, missing: [], round: 1}
- expect: {order: [one, two]}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range parsed.Timeline {
		got = append(got, e.Expect.words(false))
	}
	want := []string{
		"holders of db: exactly 1, without node-01 and node-02; within 30s",
		"members that run one or two: at most 1; from here to the end",
		"members that have begun one: at least 1, round 2; for 2s",
		"members that have ended one: with all; within 1s",
		"members joined: exactly 2; within 30s",
		"barrier complete is failed, failed: node-01, missing: nobody, round 1; within 30s",
		"order: one before two; within 30s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in words (-want +got):\n%s", diff)
	}
	if got := parsed.Timeline[0].Expect.words(true); got != "not: "+want[0] {
		t.Errorf("inverted: %q", got)
	}
}

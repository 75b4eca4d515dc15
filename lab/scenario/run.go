package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"muster/lab"
)

// Config is how a scenario is run.
type Config struct {
	Scenario *Scenario
	Muster   string // path of the muster program
	Lab      string // path of the muster-lab program
	Compat   string // of the embedded endpoint: "" or "3.13"
	// Operator, unless it is nil, works on the endpoint to use in the place of an
	// embedded one. What is made there is removed at the end.
	Operator *lab.Operator
	// Invert expects the opposite of everything: a run in which all holds fails then
	// by every expectation, which shows that each can fail.
	Invert bool
	// Say, which may be nil, is told what is done and what happens: the time after the
	// start, what kind of line it is (see SayDone and the others) and the text. Calls
	// do not overlap.
	Say func(at time.Duration, kind, text string)
}

// Kinds of what a run says.
const (
	SayDone   = "do"     // an action
	SayExpect = "expect" // an expectation that is waited for now
	SaySeen   = ""       // what happens to the cluster
	SayPassed = "ok"
	SayFailed = "FAILED"
	SayLog    = "log" // last words of the processes of a run that failed
)

// Run runs a scenario, and takes everything down again. The report says what held and
// what did not, and what went wrong: that everything could be set up, the end of ctx,
// an agent that ended unasked. The error is ErrInvalid, before anything is started, for
// what cannot be run here; or says what could not be taken down again.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.refuse(); err != nil {
		return Report{}, err
	}
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	r := &runner{cfg: cfg, s: cfg.Scenario, report: Report{Done: []Done{}}}
	r.stage = &stage{
		cfg: cfg, s: cfg.Scenario, world: newWorld(r.seen), procs: lab.NewProcesses(time.Second),
		hosts: map[string]*host{}, labels: map[string][]string{}, lost: lost,
	}
	err := r.stage.open(ctx)
	switch {
	case err == nil:
		err = r.run(ctx)
	case errors.Is(err, ErrInvalid):
		return Report{}, errors.Join(err, r.stage.close())
	}
	r.finish(err)
	return r.report, r.stage.close()
}

// refuse says what cannot be done at the endpoint.
func (c Config) refuse() error {
	if c.Operator == nil {
		return nil
	}
	var faults []error
	for _, e := range c.Scenario.Timeline {
		if e.Action != nil && slices.Contains([]string{verbExpire, verbRenew}, e.Action.Verb) {
			faults = append(faults, fmt.Errorf("%w: %s:%d: %s: only the embedded endpoint can do that: run it without --endpoint", ErrInvalid, c.Scenario.File, e.Line, e.Action.Verb))
		}
	}
	return errors.Join(faults...)
}

// runner runs the timeline.
type runner struct {
	cfg    Config
	s      *Scenario
	stage  *stage
	report Report
	judges []*judge

	saying sync.Mutex
}

func (r *runner) say(kind, format string, args ...any) {
	if r.cfg.Say == nil {
		return
	}
	r.saying.Lock()
	defer r.saying.Unlock()
	r.cfg.Say(r.stage.world.since(), kind, fmt.Sprintf(format, args...))
}

func (r *runner) seen(format string, args ...any) { r.say(SaySeen, format, args...) }

// run starts the members and follows the timeline. The error is what ended it early.
func (r *runner) run(ctx context.Context) error {
	r.say(SayDone, "start %d members", len(r.s.Members))
	// What is to hold from the first entry on holds from before the first start.
	entries := r.s.Timeline
	for len(entries) > 0 && entries[0].Expect != nil && entries[0].Expect.Rest && entries[0].At == 0 {
		r.expect(ctx, entries[0].Expect)
		entries = entries[1:]
	}
	for _, name := range r.s.Members {
		if err := r.stage.hosts[name].start(); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if err := r.entry(ctx, e); err != nil {
			return fmt.Errorf("%s:%d: %w", r.s.File, e.Line, err)
		}
		r.tellRest()
	}
	return nil
}

// entry does what an entry of the timeline says. The error ends the run.
func (r *runner) entry(ctx context.Context, e Entry) error {
	if wait := e.At - r.stage.world.since(); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e.Action != nil {
		at := r.stage.world.since()
		what, err := r.stage.do(ctx, e.Action)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Action.Verb, err)
		}
		r.report.Done = append(r.report.Done, Done{Line: e.Line, At: at.Seconds(), What: what})
		r.say(SayDone, "%s", what)
		return nil
	}
	r.expect(ctx, e.Expect)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// expect has an expectation judged, and waits until it is decided, unless it is to
// hold until the end.
func (r *runner) expect(ctx context.Context, e *Expectation) {
	resolved := *e
	resolved.Who, resolved.Not = r.stage.resolve(e.Who), r.stage.resolve(e.Not)
	if e.Failed != nil {
		resolved.Failed = r.stage.resolve(e.Failed)
	}
	if e.Missing != nil {
		resolved.Missing = r.stage.resolve(e.Missing)
	}
	j := newJudge(e, &resolved, r.cfg.Invert)
	r.judges = append(r.judges, j)
	r.say(SayExpect, "%s  (line %d)", j.result.Expected, e.Line)
	w := r.stage.world
	w.watch(j)
	if e.Rest {
		return
	}
	w.wait(ctx, j)
	r.decided(j)
}

// tellRest tells which of the expectations that are to hold until the end are decided.
func (r *runner) tellRest() {
	for _, j := range r.judges {
		select {
		case <-j.decided:
			if j.Rest {
				r.decided(j)
			}
		default:
		}
	}
}

// decided tells, once, what came of an expectation.
func (r *runner) decided(j *judge) {
	if j.told {
		return
	}
	j.told = j.result.Result != Skipped
	j.result.Seen += r.stage.labeled(slices.Concat(j.Who, j.Not)...)
	switch j.result.Result {
	case Passed:
		r.say(SayPassed, "line %d after %.1f s; seen %s", j.Line, j.result.Seconds, j.result.Seen)
	case Failed:
		r.say(SayFailed, "%s:%d: %s: seen %s, after %.1f s", r.s.File, j.Line, j.result.Expected, j.result.Seen, j.result.Seconds)
	}
}

// finish ends what is to hold until the end, and completes the report. early, if there
// is one, is what ended the run.
func (r *runner) finish(early error) {
	w := r.stage.world
	r.report.Scenario, r.report.File, r.report.Endpoint = r.s.Name, r.s.File, "embedded"
	if r.cfg.Operator != nil {
		r.report.Endpoint = r.cfg.Operator.URL()
	}
	if early != nil {
		r.report.Error = early.Error()
		r.say(SayFailed, "%v", early)
	}
	r.report.Seconds = w.since().Seconds()
	w.do(func(*state) {
		for _, j := range r.judges {
			if j.Rest && early == nil {
				j.late(w.since())
			}
		}
		w.judges = nil
	})
	r.tellRest()
	r.report.Held = early == nil
	r.findings()
	if !r.report.Held && !r.cfg.Invert {
		for line := range strings.Lines(r.stage.procs.Tails()) {
			r.say(SayLog, "%s", strings.TrimSuffix(line, "\n"))
		}
	}
}

// findings puts what came of each expectation into the report.
func (r *runner) findings() {
	judged := map[*Expectation]*judge{}
	for _, j := range r.judges {
		judged[j.written] = j
	}
	for _, e := range r.s.Timeline {
		if e.Expect == nil {
			continue
		}
		finding := Finding{Line: e.Expect.Line, Expected: e.Expect.words(r.cfg.Invert), Result: Skipped}
		if j := judged[e.Expect]; j != nil {
			finding = j.result
		}
		r.report.Expectations = append(r.report.Expectations, finding)
		r.report.Held = r.report.Held && finding.Result == Passed
	}
}

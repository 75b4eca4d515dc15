package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
)

// Run runs a scenario, and takes everything down again. The report says what held and
// what did not. The error is ErrInvalid for what cannot be run here, before anything
// is started, or the end of ctx, or a fault while things were set up; what goes wrong
// later is in the report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.refuse(); err != nil {
		return Report{}, err
	}
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	r := &runner{cfg: cfg, s: cfg.Scenario}
	r.stage = &stage{
		cfg: cfg, s: cfg.Scenario, world: newWorld(r.seen), procs: lab.NewProcesses(time.Second),
		hosts: map[string]*host{}, labels: map[string][]string{}, lost: lost,
	}
	err := r.stage.open(ctx)
	if err == nil {
		err = r.run(ctx)
	}
	return r.report, errors.Join(err, r.stage.close())
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

func (r *runner) run(ctx context.Context) error {
	w := r.stage.world
	w.start = time.Now()
	defer r.finish()
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
			r.report.Error = fmt.Sprintf("%s:%d: %v", r.s.File, e.Line, err)
			r.say(SayFailed, "%s", r.report.Error)
			return nil
		}
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

// decided tells what came of an expectation.
func (r *runner) decided(j *judge) {
	j.result.Seen += r.stage.labeled(slices.Concat(j.Who, j.Not)...)
	switch j.result.Result {
	case Passed:
		r.say(SayPassed, "line %d after %.1f s; seen %s", j.Line, j.result.Seconds, j.result.Seen)
	case Failed:
		r.say(SayFailed, "%s:%d: %s: seen %s, after %.1f s", r.s.File, j.Line, j.result.Expected, j.result.Seen, j.result.Seconds)
	}
}

// finish ends what is to hold until the end, and completes the report.
func (r *runner) finish() {
	w := r.stage.world
	r.report.Scenario, r.report.File, r.report.Endpoint = r.s.Name, r.s.File, "embedded"
	if r.cfg.Operator != nil {
		r.report.Endpoint = r.stage.site.url()
	}
	r.report.Seconds = w.since().Seconds()
	r.report.Held = r.report.Error == ""
	w.do(func(*state) {
		for _, j := range r.judges {
			if j.Rest && r.report.Error == "" {
				j.late(w.since())
			}
		}
		w.judges = nil
	})
	judged := map[*Expectation]*judge{}
	for _, j := range r.judges {
		judged[j.written] = j
		if j.Rest {
			r.decided(j)
		}
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

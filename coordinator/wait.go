package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"muster/profile"
)

// Wait blocks until the barrier of this name has a recorded verdict in round,
// and returns it. The error is nil for complete and partial only. progress,
// which may be nil, is told whenever what is known changes. ctx bounds the wait.
func Wait(ctx context.Context, view *profile.View, name string, round profile.Round, progress func(Outcome)) (Outcome, error) {
	var seen uint64
	var told string
	var came comers
	out := Outcome{Barrier: name, Round: round.N, RoundID: round.ID}
	for {
		d, n, err := view.Wait(ctx, seen)
		if err != nil {
			return out, err
		}
		seen = n
		if d.Escaped() {
			return out, brokenOut(d)
		}
		if err := d.Check(); err != nil {
			return out, err
		}
		barrier, err := barrierOf(d, name, round)
		if err != nil {
			return out, err
		}
		if barrier.Verdict == "" && progress == nil { // nobody asks how far it is: the records stay undecoded
			if _, err := awaited(d, barrier.Criteria); err != nil {
				return out, err
			}
			continue
		}
		if out, err = Standing(d, name, round.N, barrier); err != nil {
			return out, err
		}
		came.look(d, &out)
		if out.Verdict != "" {
			return out, out.err()
		}
		if text := fmt.Sprint(out); text != told {
			told = text
			progress(out)
		}
	}
}

// barrierOf returns the barrier in the very round that is waited for. Its number
// alone may mean another, in a profile that was seeded anew or restored.
func barrierOf(d *profile.Document, name string, round profile.Round) (profile.Barrier, error) {
	barrier, planted, err := d.Barrier(name, round.N)
	if err != nil {
		return barrier, err
	}
	if planted && barrier.ID == round.ID && barrier.Verdict != "" {
		return barrier, barrier.Criteria.Check()
	}
	now, err := d.Round()
	switch {
	case err != nil:
		return barrier, err
	case now.N != round.N || now.ID != round.ID:
		return barrier, fmt.Errorf("%w: round %d is over without a verdict of barrier %s, or not in the profile any more; it is round %d by now", ErrSuperseded, round.N, name, now.N)
	case !planted || barrier.ID != round.ID:
		return barrier, fmt.Errorf("%w: round %d has no barrier %s in %s: expected one with the round's id; open a new round with `muster round --force`", profile.ErrMalformed, round.N, name, profile.ParamBarriers)
	}
	return barrier, barrier.Criteria.Check()
}

// WaitsFor reports whether the barrier waits for the machine, and so cannot open
// before that machine is done. Where that changes with slots, it is as of now.
func WaitsFor(d *profile.Document, b profile.Barrier, uuid string) (bool, error) {
	who, err := awaited(d, b.Criteria)
	return slices.Contains(who.uuids, uuid), err
}

// Pick blocks until the profile has the round that is meant, and returns it: n,
// or, for 0, the first from now on that was opened for workflow ("" is any). The
// view is up to date when it is called. begin, which may be nil, is told what is
// waited for. ErrUsage: round n is not kept any more.
func Pick(ctx context.Context, view *profile.View, name string, n int, workflow string, begin func(Outcome)) (profile.Round, error) {
	d, seen := view.Latest()
	for told := false; ; {
		if d.Escaped() {
			return profile.Round{}, brokenOut(d)
		}
		if err := d.Check(); err != nil {
			return profile.Round{}, err
		}
		now, err := d.Round()
		if err != nil {
			return now, err
		}
		if n > 0 && n < now.N {
			b, planted, err := d.Barrier(name, n)
			if err == nil && !planted {
				err = fmt.Errorf("%w: round %d of barrier %s is not in the profile: it is round %d by now, and the last rounds are kept", ErrUsage, n, name, now.N)
			}
			return profile.Round{N: n, ID: b.ID}, err
		}
		if (n == 0 || n == now.N) && (workflow == "" || workflow == now.Workflow) {
			return now, nil
		}
		if n == now.N {
			return now, fmt.Errorf("%w: round %d was opened for workflow %q, not for %q", ErrUsage, n, now.Workflow, workflow)
		}
		if !told && begin != nil {
			begin(Outcome{Barrier: name, Round: now.N, RoundID: now.ID, Awaits: awaits(n, workflow)})
			told = true
		}
		if d, seen, err = view.Wait(ctx, seen); err != nil {
			return now, err
		}
	}
}

func awaits(n int, workflow string) string {
	if n > 0 {
		return fmt.Sprintf("round %d", n)
	}
	return "a round of workflow " + workflow
}

func brokenOut(d *profile.Document) error {
	return fmt.Errorf("%w: %s is %s; `muster escape --clear` re-arms", ErrBrokenOut, profile.ParamEscape, d.Params[profile.ParamEscape])
}

// Outcome is the recorded verdict of a barrier, or how far it has come. Members
// are named, those that have not joined by UUID.
type Outcome struct {
	Barrier string   `json:"barrier"`
	Awaits  string   `json:"awaits,omitempty"` // what has to come before: a later round
	Round   int      `json:"round"`
	RoundID string   `json:"round_id"`
	Verdict string   `json:"verdict"` // "" while open
	Done    int      `json:"done"`
	Total   int      `json:"total"`
	Missing []string `json:"missing"`
	Failed  []string `json:"failed"`
	Stopped []string `json:"stopped"`
	// Waits says more of the missing ones, in the same order.
	Waits []Standpoint `json:"waits"`
	// What happened since the wait began, as far as it was seen:
	Late     []string `json:"late"`     // joined though nobody waits for them
	Departed []string `json:"departed"` // forgotten or replaced: not waited for any more
	Renewed  []string `json:"renewed"`  // provisioned anew: what they had done does not count
}

// Standpoint is where somebody stands that is waited for.
type Standpoint struct {
	Name  string `json:"name"`
	State string `json:"state"` // "not joined", "no result", running, failed, stopped or complete
	Since int64  `json:"since"` // Unix seconds by the clock of who recorded it, for people; 0 if unknown
}

// Standing says how far the barrier of this name has come in the state d.
func Standing(d *profile.Document, name string, round int, barrier profile.Barrier) (Outcome, error) {
	out := Outcome{Barrier: name, Round: round, RoundID: barrier.ID, Verdict: barrier.Verdict}
	t, marks, _, err := count(d, name, round, barrier)
	if err != nil {
		return out, err
	}
	names := func(uuids []string) []string {
		list := make([]string, len(uuids))
		for i, uuid := range uuids {
			list[i] = called(marks, uuid)
		}
		return list
	}
	out.Done, out.Total = len(t.Done), t.Total
	missing, failed := t.Missing, t.Failed
	if barrier.Verdict != "" && barrier.Verdict != profile.VerdictSuperseded {
		// The verdict is the truth; the records that are known may be older.
		missing, failed = barrier.Missing, barrier.Failed
		out.Done = out.Total - len(missing) - len(failed)
	}
	out.Missing, out.Failed, out.Stopped = names(missing), names(failed), []string{}
	out.Waits, out.Late, out.Departed, out.Renewed = []Standpoint{}, []string{}, []string{}, []string{}
	for i, uuid := range missing {
		p := standpoint(marks[uuid], barrier)
		p.Name = out.Missing[i]
		out.Waits = append(out.Waits, p)
		if p.State == profile.Stopped {
			out.Stopped = append(out.Stopped, p.Name)
		}
	}
	return out, nil
}

// standpoint says what a member does that is waited for.
func standpoint(m profile.Mark, b profile.Barrier) Standpoint {
	switch {
	case !m.Joined():
		return Standpoint{State: "not joined", Since: b.At}
	case m.RunID != b.ID:
		return Standpoint{State: "no result", Since: b.At}
	}
	return Standpoint{State: m.State, Since: m.At}
}

// called returns the name of a member, or its UUID.
func called(marks map[string]profile.Mark, uuid string) string {
	if name := marks[uuid].Name; name != "" {
		return name
	}
	return uuid
}

func (o Outcome) err() error {
	what := fmt.Sprintf("round %d", o.Round)
	if o.Barrier != profile.BarrierComplete {
		what = fmt.Sprintf("barrier %s of round %d", o.Barrier, o.Round)
	}
	switch o.Verdict {
	case profile.VerdictComplete, profile.VerdictPartial:
		return nil
	case profile.VerdictFailed:
		return fmt.Errorf("%w: %s: %s", ErrPeerFailed, what, strings.Join(o.Failed, ", "))
	case profile.VerdictSuperseded:
		return fmt.Errorf("%w: %s", ErrSuperseded, what)
	case profile.VerdictExpired:
		return fmt.Errorf("%w: %s: missing are %s", ErrExpired, what, strings.Join(o.Missing, ", "))
	}
	return fmt.Errorf("%w: %s has the verdict %q, which this version does not know", profile.ErrMalformed, what, o.Verdict)
}

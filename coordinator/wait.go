package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"muster/profile"
)

// Outcome is the recorded verdict of a round, or how far it has come.
type Outcome struct {
	Round   int      `json:"round"`
	RoundID string   `json:"round_id"`
	Verdict string   `json:"verdict"` // "" while open
	Done    int      `json:"done"`
	Total   int      `json:"total"`
	Missing []string `json:"missing"` // names; of machines that have not joined, UUIDs
	Failed  []string `json:"failed"`
	Stopped []string `json:"stopped"`
}

// Wait blocks until round has a recorded verdict and returns it. The error is
// nil for complete and partial only. progress, which may be nil, is told
// whenever the count that is known changes. ctx bounds the wait.
func Wait(ctx context.Context, view *profile.View, round profile.Round, progress func(Outcome)) (Outcome, error) {
	var seen uint64
	var told string
	out := Outcome{Round: round.N, RoundID: round.ID}
	for {
		d, n, err := view.Wait(ctx, seen)
		if err != nil {
			return out, err
		}
		seen = n
		if d.Escaped() {
			return out, fmt.Errorf("%w: %s is %s; clear it to wait again", ErrBrokenOut, profile.ParamEscape, d.Params[profile.ParamEscape])
		}
		if err := d.Check(); err != nil {
			return out, err
		}
		barrier, err := barrierOf(d, round)
		if err != nil {
			return out, err
		}
		if err := checkCriteria(barrier.Criteria); err != nil {
			return out, err
		}
		if barrier.Verdict == "" && progress == nil { // nobody asks how far it is: the records stay undecoded
			if _, err := awaited(d); err != nil {
				return out, err
			}
			continue
		}
		if out, err = Standing(d, round.N, barrier); err != nil {
			return out, err
		}
		if out.Verdict != "" {
			return out, out.err()
		}
		if text := fmt.Sprint(out); text != told {
			told = text
			progress(out)
		}
	}
}

// barrierOf returns the barrier of the very round that is waited for. Its number
// alone may mean another, in a profile that was seeded anew or restored.
func barrierOf(d *profile.Document, round profile.Round) (profile.Barrier, error) {
	barrier, planted, err := d.Barrier(profile.BarrierComplete, round.N)
	if err != nil || planted && barrier.ID == round.ID {
		return barrier, err
	}
	now, err := d.Round()
	switch {
	case err != nil:
		return barrier, err
	case now.N == round.N && now.ID == round.ID:
		return barrier, fmt.Errorf("%w: round %d has no barrier in %s: expected one with the round's id; open a new round with `muster round --force`", profile.ErrMalformed, round.N, profile.ParamBarriers)
	}
	return barrier, fmt.Errorf("%w: round %d is not in the profile any more; it is round %d by now", ErrSuperseded, round.N, now.N)
}

// Standing says how far round has come in the state d.
func Standing(d *profile.Document, round int, barrier profile.Barrier) (Outcome, error) {
	out := Outcome{Round: round, RoundID: barrier.ID, Verdict: barrier.Verdict, Missing: []string{}, Failed: []string{}, Stopped: []string{}}
	t, records, err := count(d, round)
	if err != nil {
		return out, err
	}
	names := func(uuids []string) []string {
		list := make([]string, len(uuids))
		for i, uuid := range uuids {
			if list[i] = uuid; records[uuid].Name != "" {
				list[i] = records[uuid].Name
			}
		}
		return list
	}
	out.Done, out.Total = len(t.Done), t.Total
	out.Missing, out.Failed, out.Stopped = names(t.Missing), names(t.Failed), names(t.Stopped)
	if barrier.Verdict != "" && barrier.Verdict != profile.VerdictSuperseded {
		// The verdict is the truth; the records that are known may be older.
		out.Missing, out.Failed = names(barrier.Missing), names(barrier.Failed)
		out.Stopped = names(slices.DeleteFunc(t.Stopped, func(uuid string) bool { return !slices.Contains(barrier.Missing, uuid) }))
		out.Done = out.Total - len(out.Missing) - len(out.Failed)
	}
	return out, nil
}

func (o Outcome) err() error {
	switch o.Verdict {
	case profile.VerdictComplete, profile.VerdictPartial:
		return nil
	case profile.VerdictFailed:
		return fmt.Errorf("%w: round %d: %s", ErrPeerFailed, o.Round, strings.Join(o.Failed, ", "))
	case profile.VerdictSuperseded:
		return fmt.Errorf("%w: round %d", ErrSuperseded, o.Round)
	case profile.VerdictExpired:
		return fmt.Errorf("%w: round %d", ErrExpired, o.Round)
	}
	return fmt.Errorf("%w: round %d has the verdict %q, which this version does not know", profile.ErrMalformed, o.Round, o.Verdict)
}

package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"muster/profile"
	"muster/steps"
)

// ErrStepUnknown means that a step was started in this round and nobody noted
// how it ended: it may have run, so it is not run again.
var ErrStepUnknown = errors.New("agent: the step may have run already")

// StepNote is what the state directory keeps of a gated step in one round.
type StepNote struct {
	Round   int    `json:"round"`
	RoundID string `json:"round_id"`
	State   string `json:"state"` // started | done | failed
	Exit    int    `json:"exit"`
	Try     string `json:"try,omitempty"` // another each time that it begins
}

// States of a step's note, and results of profile.Step.
const (
	stepStarted = "started"
	stepDone    = "done"
	stepFailed  = "failed"
	stepUnknown = "unknown" // a result alone: it is noted as started, and nobody knows how it ended
)

// BeginStep notes durably that a step is about to run in round. again reports
// that it has run in this round already; note then says how it ended. The error
// is ErrStepUnknown if that is not known, unless retry says that it is to run
// then.
func (a *Agent) BeginStep(ctx context.Context, name string, round profile.Round, retry bool) (note StepNote, again bool, err error) {
	note, again, err = a.begin(name, round, false)
	if retry && errors.Is(err, ErrStepUnknown) {
		return a.begin(name, round, true)
	}
	return note, again, err
}

// begin is BeginStep; with redo the step begins whatever is noted of it. What is
// noted does not change between the look and the note: of two that begin a step at
// the same time, one does.
func (a *Agent) begin(name string, round profile.Round, redo bool) (note StepNote, again bool, err error) {
	a.steps.Lock()
	defer a.steps.Unlock()
	if !redo {
		if note, again, err = a.ranLocked(name, round); err != nil || again {
			return note, again, err
		}
	}
	note = StepNote{Round: round.N, RoundID: round.ID, State: stepStarted, Try: rand.Text()}
	return note, false, a.noteLocked(name, note)
}

// TakeBackStep removes durably what BeginStep has noted, for one that surely was not
// started: it may begin again. It does nothing once something else is noted, also
// that it has begun another time.
func (a *Agent) TakeBackStep(_ context.Context, name string, note StepNote) error {
	a.steps.Lock()
	defer a.steps.Unlock()
	note.State = stepStarted
	if now, noted, err := a.notedLocked(name, profile.Round{N: note.Round, ID: note.RoundID}); err != nil || !noted || now != note {
		return err
	}
	notes, err := a.notes(name)
	if err != nil {
		return err
	}
	return a.keep(name, slices.DeleteFunc(notes, func(n StepNote) bool { return n == note }))
}

// ran reports whether the step has run in round, and how it ended. The error is
// ErrStepUnknown if that is not known.
func (a *Agent) ran(name string, round profile.Round) (StepNote, bool, error) {
	a.steps.Lock()
	defer a.steps.Unlock()
	return a.ranLocked(name, round)
}

func (a *Agent) ranLocked(name string, round profile.Round) (StepNote, bool, error) {
	note, noted, err := a.notedLocked(name, round)
	if err == nil && noted && note.State == stepStarted {
		err = fmt.Errorf("%w: step %s was started in round %d and its end was not noted; look what it did; then finish it by hand, or run it again with --retry", ErrStepUnknown, name, round.N)
	}
	return note, noted && err == nil, err
}

// noted returns what is noted of the step in round.
func (a *Agent) noted(name string, round profile.Round) (StepNote, bool, error) {
	a.steps.Lock()
	defer a.steps.Unlock()
	return a.notedLocked(name, round)
}

func (a *Agent) notedLocked(name string, round profile.Round) (note StepNote, noted bool, err error) {
	if !steps.ValidName(name) {
		return note, false, fmt.Errorf("%w: step name: expected up to 64 letters, digits, dots, dashes and underscores, found %q", ErrUsage, name)
	}
	notes, err := a.notes(name)
	i := slices.IndexFunc(notes, func(n StepNote) bool { return n.Round == round.N && n.RoundID == round.ID })
	if err != nil || i < 0 {
		return note, false, err
	}
	return notes[i], true, nil
}

// notes returns what is kept of a step, by rounds, oldest first.
func (a *Agent) notes(name string) ([]StepNote, error) {
	var notes []StepNote
	_, err := a.dir.read(noteFile(name), &notes)
	return notes, err
}

// keep keeps notes of a step, and wakes who waits for news of them.
func (a *Agent) keep(name string, notes []StepNote) error {
	if err := a.dir.write(noteFile(name), notes[max(0, len(notes)-notesKept):]); err != nil {
		return err
	}
	close(a.renoted)
	a.renoted = make(chan struct{})
	return nil
}

func noteFile(name string) string { return filepath.Join("steps", name+".json") }

// notesKept is how many rounds of notes the state directory keeps of a step.
const notesKept = 16

// EndStep notes how a step ended, here and in the profile.
func (a *Agent) EndStep(ctx context.Context, name string, round profile.Round, exit int) error {
	return a.end(ctx, name, round, exit, func(*profile.Document, *profile.Change) error { return nil })
}

// end is EndStep; also adds what else the end changes in the profile.
func (a *Agent) end(ctx context.Context, name string, round profile.Round, exit int, also func(*profile.Document, *profile.Change) error) error {
	note := StepNote{Round: round.N, RoundID: round.ID, State: stepDone, Exit: exit}
	if exit != 0 {
		note.State = stepFailed
	}
	if err := a.note(name, note); err != nil {
		return err
	}
	return a.record(ctx, name, profile.Step{Round: round.N, Result: note.State, Exit: exit}, also)
}

// record puts the result of a step into the profile, if it is not there; also adds
// what else that changes.
func (a *Agent) record(ctx context.Context, name string, step profile.Step, also func(*profile.Document, *profile.Change) error) error {
	_, err := a.member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		record, _, err := d.Record(a.member.UUID())
		if err != nil {
			return nil, err
		}
		c := &profile.Change{}
		if record.Steps[name] != step {
			c.Set(profile.At(profile.ParamMembers, a.member.UUID(), "steps", name), step)
			for old, s := range record.Steps {
				if old != name && s.Round <= step.Round-stepRounds {
					c.Remove(profile.At(profile.ParamMembers, a.member.UUID(), "steps", old))
				}
			}
		}
		if err := also(d, c); err != nil || c.Empty() {
			return nil, err
		}
		return c, nil
	})
	return a.written(err)
}

// note notes durably how a step stands in a round, in the place of what was
// noted of it there.
func (a *Agent) note(name string, note StepNote) error {
	a.steps.Lock()
	defer a.steps.Unlock()
	return a.noteLocked(name, note)
}

func (a *Agent) noteLocked(name string, note StepNote) error {
	notes, err := a.notes(name)
	if err != nil {
		return err
	}
	notes = slices.DeleteFunc(notes, func(n StepNote) bool { return n.Round == note.Round && n.RoundID == note.RoundID })
	return a.keep(name, append(notes, note))
}

// stepRounds is how many rounds of step results a record keeps.
const stepRounds = 4

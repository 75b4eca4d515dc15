package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"

	"muster/profile"
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
}

// States of a step's note, and results of profile.Step.
const (
	stepStarted = "started"
	stepDone    = "done"
	stepFailed  = "failed"
)

var stepName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// BeginStep notes durably that a step is about to run in round. again reports
// that it has run in this round already; note then says how it ended. The error
// is ErrStepUnknown if that is not known.
func (a *Agent) BeginStep(ctx context.Context, name string, round profile.Round) (note StepNote, again bool, err error) {
	if !stepName.MatchString(name) {
		return note, false, fmt.Errorf("%w: step name: expected up to 64 letters, digits, dots, dashes and underscores, found %q", ErrUsage, name)
	}
	a.steps.Lock()
	defer a.steps.Unlock()
	notes, err := a.notes(name)
	if err != nil {
		return note, false, err
	}
	for _, note := range notes {
		switch {
		case note.Round != round.N || note.RoundID != round.ID:
		case note.State == stepStarted:
			return note, false, fmt.Errorf("%w: step %s was started in round %d and its end was not noted; look what it did, and finish it by hand or under another name", ErrStepUnknown, name, round.N)
		default:
			return note, true, nil
		}
	}
	note = StepNote{Round: round.N, RoundID: round.ID, State: stepStarted}
	return note, false, a.keep(name, append(notes, note))
}

// notes returns what is kept of a step, by rounds, oldest first.
func (a *Agent) notes(name string) ([]StepNote, error) {
	var notes []StepNote
	_, err := a.dir.read(noteFile(name), &notes)
	return notes, err
}

func (a *Agent) keep(name string, notes []StepNote) error {
	return a.dir.write(noteFile(name), notes[max(0, len(notes)-notesKept):])
}

func noteFile(name string) string { return filepath.Join("steps", name+".json") }

// notesKept is how many rounds of notes the state directory keeps of a step.
const notesKept = 16

// EndStep notes how a step ended, here and in the profile.
func (a *Agent) EndStep(ctx context.Context, name string, round profile.Round, exit int) error {
	note := StepNote{Round: round.N, RoundID: round.ID, State: stepDone, Exit: exit}
	if exit != 0 {
		note.State = stepFailed
	}
	if err := a.noteEnd(name, note); err != nil {
		return err
	}
	_, err := a.member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		record, _, err := d.Record(a.member.UUID())
		if err != nil {
			return nil, err
		}
		step := profile.Step{Round: round.N, Result: note.State, Exit: exit}
		if record.Steps[name] == step {
			return nil, nil
		}
		c := &profile.Change{}
		c.Set(profile.At(profile.ParamMembers, a.member.UUID(), "steps", name), step)
		for old, s := range record.Steps {
			if old != name && s.Round <= round.N-stepRounds {
				c.Remove(profile.At(profile.ParamMembers, a.member.UUID(), "steps", old))
			}
		}
		return c, nil
	})
	return a.written(err)
}

// noteEnd notes durably how a step ended, in the place of its start.
func (a *Agent) noteEnd(name string, note StepNote) error {
	a.steps.Lock()
	defer a.steps.Unlock()
	notes, err := a.notes(name)
	if err != nil {
		return err
	}
	notes = slices.DeleteFunc(notes, func(n StepNote) bool { return n.Round == note.Round && n.RoundID == note.RoundID })
	return a.keep(name, append(notes, note))
}

// stepRounds is how many rounds of step results a record keeps.
const stepRounds = 4

package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"

	"muster/profile"
)

// ErrStepUnknown means that a step was started in this round and nobody noted
// how it ended: it may have run, so it is not run again.
var ErrStepUnknown = errors.New("agent: the step may have run already")

// StepNote is what the state directory keeps of a gated step.
type StepNote struct {
	Name  string `json:"name"`
	Round int    `json:"round"`
	State string `json:"state"` // started | done | failed
	Exit  int    `json:"exit"`
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
func (a *Agent) BeginStep(ctx context.Context, name string, round int) (note StepNote, again bool, err error) {
	if !stepName.MatchString(name) {
		return note, false, fmt.Errorf("%w: step name: expected up to 64 letters, digits, dots, dashes and underscores, found %q", ErrUsage, name)
	}
	a.steps.Lock()
	defer a.steps.Unlock()
	file := filepath.Join("steps", name+".json")
	if _, err := a.dir.read(file, &note); err != nil {
		return note, false, err
	}
	switch {
	case note.Round == round && note.State == stepStarted:
		return note, false, fmt.Errorf("%w: step %s was started in round %d and its end was not noted; look what it did, and finish it by hand or under another name", ErrStepUnknown, name, round)
	case note.Round == round:
		return note, true, nil
	}
	note = StepNote{Name: name, Round: round, State: stepStarted}
	return note, false, a.dir.write(file, note)
}

// EndStep notes how a step ended, here and in the profile.
func (a *Agent) EndStep(ctx context.Context, name string, round, exit int) error {
	note := StepNote{Name: name, Round: round, State: stepDone, Exit: exit}
	if exit != 0 {
		note.State = stepFailed
	}
	a.steps.Lock()
	err := a.dir.write(filepath.Join("steps", name+".json"), note)
	a.steps.Unlock()
	if err != nil {
		return err
	}
	_, err = a.member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		record, _, err := d.Record(a.member.UUID())
		if err != nil {
			return nil, err
		}
		step := profile.Step{Round: round, Result: note.State, Exit: exit}
		if record.Steps[name] == step {
			return nil, nil
		}
		c := &profile.Change{}
		c.Set(profile.At(profile.ParamMembers, a.member.UUID(), "steps", name), step)
		for old, s := range record.Steps {
			if old != name && s.Round <= round-stepRounds {
				c.Remove(profile.At(profile.ParamMembers, a.member.UUID(), "steps", old))
			}
		}
		return c, nil
	})
	return a.written(err)
}

// stepRounds is how many rounds of step results a record keeps.
const stepRounds = 4

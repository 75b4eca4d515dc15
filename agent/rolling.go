package agent

import (
	"context"
	"fmt"
	"slices"

	"muster/coordinator"
	"muster/profile"
)

// Rolling says which rolling step to take part in.
type Rolling struct {
	profile.RollingSpec
	// Retry runs the step though it may have run already in this round: whoever
	// asks for that has looked.
	Retry bool `json:"retry,omitempty"`
}

// Turn is a member's turn in a rolling step: it sits on a seat, and is to run the
// command now; or, with Again, it has run it in this round already.
type Turn struct {
	Round profile.Round `json:"round"`
	Again bool          `json:"again"`
	Note  StepNote      `json:"note"`
}

// Roll implements Local.
func (a *Agent) Roll(ctx context.Context, r Rolling, progress func(string)) (Turn, error) {
	if err := a.waiter().refresh(ctx, profile.HotParams()); err != nil {
		return Turn{}, err
	}
	defer a.view.Want()()
	d, _ := a.view.Latest()
	round, err := d.Round()
	if err != nil {
		return Turn{}, err
	}
	redo, err := a.mayRunAgain(d, r, round)
	if err != nil {
		return Turn{}, err
	}
	if !redo {
		if note, ran, err := a.ran(r.Name, round); err != nil || ran {
			return Turn{Round: round, Again: ran, Note: note}, err
		}
	}
	round, err = coordinator.TakeSeat(ctx, a.member, a.view, r.RollingSpec, progress)
	if err != nil {
		return Turn{Round: round}, a.written(err)
	}
	note, again, err := a.begin(r.Name, round, redo)
	return Turn{Round: round, Again: again, Note: note}, err
}

// mayRunAgain reports whether the step may run though there is a note of it:
// because it may have run and that is asked for, or because it failed here and
// was continued since.
func (a *Agent) mayRunAgain(d *profile.Document, r Rolling, round profile.Round) (bool, error) {
	note, noted, err := a.noted(r.Name, round)
	switch {
	case err != nil || !noted:
		return false, err
	case note.State == stepStarted:
		return r.Retry, nil
	case note.State != stepFailed:
		return false, nil
	}
	step, there, err := d.RollingStep(r.Name, round.N)
	return err == nil && there && step.ID == round.ID && !slices.Contains(step.Failed, a.member.UUID()), err
}

// EndRoll implements Local.
func (a *Agent) EndRoll(ctx context.Context, name string, round profile.Round, exit int) error {
	return a.end(ctx, name, round, exit, func(d *profile.Document, c *profile.Change) error {
		failed := ""
		if exit != 0 {
			failed = fmt.Sprintf("%s failed with exit %d", d.NameOf(a.member.UUID()), exit)
		}
		return coordinator.LeaveSeat(d, c, name, round, a.member.UUID(), failed)
	})
}

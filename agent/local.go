package agent

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"muster/coordinator"
	"muster/profile"
)

// Local is how a command on this host takes part: through the running agent's
// socket (Client), or as the member itself (Agent, inside Do).
type Local interface {
	// Report records what a task says about the machine's workflow, and
	// returns the round that it counts for.
	Report(ctx context.Context, said string) (round int, err error)
	// Arrive records that this member has arrived at a barrier, and returns the
	// round that it counts for.
	Arrive(ctx context.Context, in Arrival) (profile.Round, error)
	// Wait blocks until a barrier has a verdict.
	Wait(ctx context.Context, w Waiting, progress func(coordinator.Outcome)) (coordinator.Outcome, error)
	// Pass blocks until a passage is open.
	Pass(ctx context.Context, p Passing, progress func(string)) (coordinator.Passed, error)
	// BeginStep and EndStep frame a gated local step. With retry it begins though
	// it may have run already: whoever asks for that has looked.
	BeginStep(ctx context.Context, name string, round profile.Round, retry bool) (note StepNote, again bool, err error)
	EndStep(ctx context.Context, name string, round profile.Round, exit int) error
	// TakeBackStep is in the place of EndStep for a step that surely was not started
	// after all, with the note of BeginStep: it may begin again.
	TakeBackStep(ctx context.Context, name string, note StepNote) error
	// Roll blocks until it is this member's turn in a rolling step, and EndRoll
	// ends the turn.
	Roll(ctx context.Context, r Rolling, progress func(string)) (Turn, error)
	EndRoll(ctx context.Context, name string, round profile.Round, exit int) error
	// Lead asks for a slot of a role, under which a command is to run.
	Lead(ctx context.Context, ask LeadAsk) (*Hold, error)
	// Set changes a param of the cluster's own data, and says whether its value
	// was sealed; profile.ErrLost if the param is not as it must be, or the tenure
	// has ended.
	Set(ctx context.Context, s Setting) (sealed bool, err error)
	// Resign gives up the slot of role, and returns the tenure that has ended;
	// election.ErrNoSlot if there is none.
	Resign(ctx context.Context, role string) (profile.Tenure, error)
	// Preview returns the patch, relative to the params, that would be sent
	// now; none if nothing is left to do. Its errors are those of the deed.
	Preview(ctx context.Context, in Intent) ([]profile.Op, error)
}

var _ Local = (*Agent)(nil)

// Waiting says how to wait.
type Waiting struct {
	// Timeout ends this wait, not the round; 0 is none.
	Timeout time.Duration `json:"timeout"`
	// InJob says that the waiter runs inside a job of this machine's workflow,
	// which cannot complete before the wait ends.
	InJob bool `json:"in_job"`
	// Barrier is its name; "" is that of the workflow's completion. One of
	// another name is opened if need be.
	Barrier string `json:"barrier,omitempty"`
	// Asked are criteria that the barrier must have.
	Asked profile.Asked `json:"asked"`
	// Round is the one that is meant; 0 is the first from now on that was opened
	// for Workflow, "" being any.
	Round    int    `json:"round,omitempty"`
	Workflow string `json:"workflow,omitempty"`
}

// Arrival says where to arrive.
type Arrival struct {
	Barrier string        `json:"barrier"`
	Asked   profile.Asked `json:"asked"`
}

// Arrive implements Local.
func (a *Agent) Arrive(ctx context.Context, in Arrival) (profile.Round, error) {
	round, err := coordinator.Arrive(ctx, a.member, a.view, in.Barrier, in.Asked)
	return round, a.written(err)
}

// Report implements Local.
func (a *Agent) Report(ctx context.Context, said string) (int, error) {
	if err := a.mayReport(said); err != nil {
		return 0, err
	}
	round, err := coordinator.Report(ctx, a.member, a.view, said)
	return round, a.written(err)
}

// mayReport refuses what cannot be reported here.
func (a *Agent) mayReport(said string) error {
	if !slices.Contains([]string{profile.Running, profile.Complete, profile.Failed}, said) {
		return fmt.Errorf("%w: report: expected running, complete or failed, found %q", ErrUsage, said)
	}
	if a.cfg.Machine != nil {
		return fmt.Errorf("%w: this member watches its machine by itself, with the machine token; reports are for members without one", ErrUsage)
	}
	return nil
}

// Wait implements Local.
func (a *Agent) Wait(ctx context.Context, w Waiting, progress func(coordinator.Outcome)) (coordinator.Outcome, error) {
	a.health.waits.Add(1)
	defer a.health.waits.Add(-1)
	return a.waiter().wait(ctx, w, progress)
}

// Passing says what to wait for.
type Passing struct {
	coordinator.Passage
	// Timeout ends the wait; 0 is none.
	Timeout time.Duration `json:"timeout"`
}

// Pass implements Local.
func (a *Agent) Pass(ctx context.Context, p Passing, progress func(string)) (coordinator.Passed, error) {
	a.health.waits.Add(1)
	defer a.health.waits.Add(-1)
	return a.waiter().pass(ctx, p, progress)
}

func (a *Agent) waiter() waiter {
	wt := a.peer.waiter()
	wt.fresh = a.cfg.Brief && !a.waited.Swap(true)
	write := wt.write
	wt.write = func(ctx context.Context, plan profile.Plan) error { return a.written(write(ctx, plan)) }
	return wt
}

func random() float64 { return mathrand.Float64() }

package agent

import (
	"context"
	"errors"
	"fmt"

	"muster/coordinator"
	"muster/election"
	"muster/profile"
)

// Intent is what a command would do; one field is set.
type Intent struct {
	Report string   `json:"report,omitempty"` // running, complete or failed
	Arrive *Arrival `json:"arrive,omitempty"`
	Resign string   `json:"resign,omitempty"` // role
	Set    *Setting `json:"set,omitempty"`
}

// errShown is the answer to a change that is shown and not sent.
var errShown = errors.New("agent: shown and not sent")

// Preview implements Local. It decides the intent on the profile as it is now,
// as a member that remembers what this one does and sends nothing.
func (a *Agent) Preview(ctx context.Context, in Intent) ([]profile.Op, error) {
	d, err := a.cfg.Store.Read(ctx)
	if err != nil {
		return nil, err
	}
	shown := &show{Store: a.cfg.Store}
	view := profile.NewView(d)
	member := profile.NewMember(profile.MemberConfig{Store: shown, View: view, Journal: forgetful{}, State: a.member.State()})
	err = a.intend(ctx, member, view, in)
	if errors.Is(err, errShown) {
		err = nil
	}
	return shown.ops, err
}

func (a *Agent) intend(ctx context.Context, member *profile.Member, view *profile.View, in Intent) error {
	switch {
	case in.Report != "":
		if err := a.mayReport(in.Report); err != nil {
			return err
		}
		_, err := coordinator.Report(ctx, member, view, in.Report)
		return err
	case in.Arrive != nil:
		_, err := coordinator.Arrive(ctx, member, view, in.Arrive.Barrier, in.Arrive.Asked)
		return err
	case in.Set != nil:
		edit, _, err := in.Set.Ready(ctx, a.cfg.Store)
		if err != nil {
			return err
		}
		_, err = member.Write(ctx, edit.Plan)
		return err
	case in.Resign != "":
		d, _ := view.Latest()
		t, held := member.Tenure(d, in.Resign)
		if !held {
			return fmt.Errorf("resign: %w: %s", election.ErrNoSlot, in.Resign)
		}
		_, err := member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
			return profile.Release(d, t, member.UUID(), profile.EventResigned)
		})
		return err
	}
	return fmt.Errorf("%w: an intent is needed", ErrUsage)
}

// show is a Store that keeps what it is to apply, and sends nothing.
type show struct {
	profile.Store
	ops []profile.Op
}

// Apply implements profile.Store.
func (s *show) Apply(_ context.Context, c *profile.Change) (*profile.Document, error) {
	ops, err := c.Ops()
	if err != nil {
		return nil, err
	}
	s.ops = ops
	return nil, errShown
}

// forgetful is the journal of a member that sends nothing.
type forgetful struct{}

// Save implements profile.Journal.
func (forgetful) Save(profile.State) error { return nil }

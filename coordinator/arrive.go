package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"muster/profile"
)

// errOldRun means that the member is still recorded as running what belongs to
// an earlier round.
var errOldRun = fmt.Errorf("%w: this machine runs what belongs to an earlier round", ErrSuperseded)

// runGrace is how long an arrival waits for the member to notice that its
// machine runs something new.
const runGrace = 15 * time.Second

// Arrive records that the member has arrived at the barrier of this name in the
// round of now, and returns that round. It opens the barrier if it is the first,
// with the criteria that are asked for; profile.ErrCriteria: the barrier has
// others. To arrive again changes nothing. ErrSuperseded: the machine still runs
// what belongs to an earlier round, which must not arrive in this one.
func Arrive(ctx context.Context, member *profile.Member, view *profile.View, name string, asked profile.Asked) (profile.Round, error) {
	if name == profile.BarrierComplete {
		return profile.Round{}, fmt.Errorf("%w: barrier %s is that of the workflow's completion; arrive at one of another name", ErrUsage, name)
	}
	var round profile.Round
	spec := profile.BarrierSpec{Name: name, Of: profile.OfArrival, Asked: asked}
	patience, cancel := context.WithTimeout(ctx, runGrace)
	defer cancel()
	for {
		_, n := view.Latest()
		_, err := member.Write(ctx, func(d *profile.Document) (c *profile.Change, err error) {
			c, round, err = arrival(d, member.UUID(), spec)
			return c, err
		})
		if errors.Is(err, errOldRun) {
			if _, _, waited := view.Wait(patience, n); waited == nil {
				continue
			}
		}
		if err != nil {
			return round, err
		}
		return round, Judge(ctx, member, view, nil)
	}
}

// arrival returns the change by which a member arrives; nil if it has, or if
// the barrier is closed.
func arrival(d *profile.Document, uuid string, spec profile.BarrierSpec) (*profile.Change, profile.Round, error) {
	round, err := d.Round()
	if err != nil {
		return nil, round, err
	}
	own, _, err := d.Record(uuid)
	if err != nil {
		return nil, round, err
	}
	if own.Run.State == profile.Running && own.Run.Round != 0 && own.Run.RoundID != round.ID {
		return nil, round, fmt.Errorf("%w (round %d; it is round %d by now)", errOldRun, own.Run.Round, round.N)
	}
	barrier, planted, err := d.Barrier(spec.Name, round.N)
	if err != nil {
		return nil, round, err
	}
	at := profile.At(profile.ParamMembers, uuid, "arrived")
	c := &profile.Change{}
	switch {
	case !planted:
		if c, err = spec.Open(d, round); err != nil {
			return nil, round, err
		}
	case barrier.Criteria.Of != profile.OfArrival:
		return nil, round, fmt.Errorf("%w: barrier %s waits for workflows to complete, not for arrivals; arrive at one of another name", profile.ErrCriteria, spec.Name)
	default:
		if err := spec.Asked.Check(spec.Name, barrier.Criteria); err != nil || barrier.Verdict != "" || own.Arrived[spec.Name] == round.ID {
			return nil, round, err
		}
		// Nothing to test: what is recorded is the id of the round that is meant.
	}
	if own.Arrived == nil {
		c.Set(at, map[string]string{spec.Name: round.ID})
		return c, round, nil
	}
	c.Set(at+profile.At(spec.Name), round.ID)
	return c, round, nil
}

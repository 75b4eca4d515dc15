package coordinator

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"muster/internal/backoff"
	"muster/profile"
)

// TakeSeat blocks until the member sits on a seat of a rolling step, in the
// round of now, and returns that round. The first to come begins the step as it
// is asked for; profile.ErrCriteria: it is there and is another. A member that
// has a seat, from before a restart, keeps it. progress, which may be nil, is
// told why it waits, when that changes. ErrSuperseded: the round is over.
//
// Guaranteed: at no time do more members have a seat than may run at once, and
// nobody sits down once the step is stopped.
func TakeSeat(ctx context.Context, member *profile.Member, view *profile.View, spec profile.RollingSpec, progress func(string)) (profile.Round, error) {
	if err := spec.Check(); err != nil {
		return profile.Round{}, err
	}
	d, _ := view.Latest()
	round, err := d.Round()
	if err != nil {
		return round, err
	}
	uuid, said := member.UUID(), ""
	for {
		d, n := view.Latest()
		why, err := standing(d, spec, round, uuid)
		switch {
		case err != nil:
			return round, err
		case why == "":
			if err := sit(ctx, member, spec, round); err == nil || !errors.Is(err, errSeatsTaken) {
				return round, err
			}
			continue // the answer was read, and the view is newer
		case why != said && progress != nil:
			said = why
			progress(why)
		}
		if _, _, err := view.Wait(ctx, n); err != nil {
			return round, err
		}
		if err := backoff.Sleep(ctx, turn(d)); err != nil { // not all at once
			return round, err
		}
	}
}

// errSeatsTaken means that others were faster.
var errSeatsTaken = errors.New("coordinator: the seats are taken")

// standing says why the member may not sit down in the state d; "" if it may.
func standing(d *profile.Document, spec profile.RollingSpec, round profile.Round, uuid string) (string, error) {
	if d.Escaped() {
		return "", brokenOut(d)
	}
	if err := d.Check(); err != nil {
		return "", err
	}
	now, err := d.Round()
	if err != nil {
		return "", err
	}
	if now.N != round.N || now.ID != round.ID {
		return "", fmt.Errorf("%w: step %s is one of round %d, and it is round %d by now", ErrSuperseded, spec.Name, round.N, now.N)
	}
	step, there, err := d.RollingStep(spec.Name, round.N)
	if err == nil && there {
		err = spec.Match(step)
	}
	switch {
	case err != nil:
		return "", err
	case !there && spec.AtOnce == "":
		return "", fmt.Errorf("%w: nobody has begun step %s in round %d: say on how many members it may run at once, with --at-once", ErrUsage, spec.Name, round.N)
	case !there, step.Seat(uuid) != "":
		return "", nil
	case step.Stopped != "":
		return fmt.Sprintf("step %s is stopped: %s; `muster step %s --continue` goes on", spec.Name, step.Stopped, spec.Name), nil
	case step.Open() == "":
		return fmt.Sprintf("step %s runs on %s", spec.Name, strings.Join(seated(d, step), ", ")), nil
	}
	return "", nil
}

// seated returns the names of who has a seat.
func seated(d *profile.Document, step profile.RollingStep) []string {
	var names []string
	for _, uuid := range step.Seats {
		if uuid != "" {
			names = append(names, d.NameOf(uuid))
		}
	}
	slices.Sort(names)
	return names
}

// sit takes a seat, or finds that the member has one.
func sit(ctx context.Context, member *profile.Member, spec profile.RollingSpec, round profile.Round) error {
	uuid := member.UUID()
	_, err := member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		why, err := standing(d, spec, round, uuid)
		if err != nil {
			return nil, err
		}
		step, there, err := d.RollingStep(spec.Name, round.N)
		switch {
		case err != nil:
			return nil, err
		case !there:
			return spec.Begin(d, round, uuid)
		case step.Seat(uuid) != "":
			return nil, nil
		case why != "":
			return nil, errSeatsTaken
		}
		return profile.Sit(d, spec.Name, round, step.Open(), uuid), nil
	})
	return err
}

// turn is how long a member leaves a seat that is free to others: up to 20 ms
// for each that is expected, at most 2 s.
func turn(d *profile.Document) time.Duration {
	expected, err := d.Expected()
	if err != nil {
		return time.Second
	}
	return time.Duration(mathrand.Float64() * float64(min(2*time.Second, time.Duration(len(expected.Members))*20*time.Millisecond)))
}

// LeaveSeat adds to c, which may be empty, that the member leaves its seat of the
// rolling step in round, if it has one there. failed is why the step failed, or "".
func LeaveSeat(d *profile.Document, c *profile.Change, name string, round profile.Round, uuid, failed string) error {
	step, there, err := d.RollingStep(name, round.N)
	if err != nil || !there || step.ID != round.ID {
		return err
	}
	if seat := step.Seat(uuid); seat != "" {
		step.Rise(d, c, name, round.N, seat, uuid, failed)
	}
	return nil
}

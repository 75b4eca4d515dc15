package profile

import (
	"fmt"
	"strconv"
)

// RoundSpec says how the next round is opened.
type RoundSpec struct {
	After    int    // the round that is to be followed; makes the plan idempotent
	Workflow string // for people
	Criteria Criteria
	Force    bool // supersede an open verdict
}

// Plan opens the round after s.After: it plants its barrier and, with Force,
// records an open verdict as superseded, in one patch. Without Force an open
// verdict is an ErrOpenRound, and a round that somebody else opened an ErrLost.
func (s RoundSpec) Plan(d *Document) (*Change, error) {
	now, err := d.Round()
	if err != nil {
		return nil, err
	}
	if now.N != s.After {
		return nil, fmt.Errorf("%w: the round is %d by now, not %d: somebody else opened one", ErrLost, now.N, s.After)
	}
	if err := s.Criteria.Check(); err != nil {
		return nil, err
	}
	if err := d.CheckRole(s.Criteria.Role); err != nil {
		return nil, err
	}
	barriers, err := d.Barriers()
	if err != nil {
		return nil, err
	}
	expected, err := d.Expected()
	if err != nil {
		return nil, err
	}
	c := &Change{}
	c.TestAsRead(d, At(ParamRound))
	c.TestAsRead(d, At(ParamExpected, "version"))
	c.TestAsRead(d, At(ParamBarriers)) // as a whole: one that is opened meanwhile would stay open for ever
	next := Round{N: now.N + 1, ID: RandomID(), Workflow: s.Workflow}
	for _, name := range sorted(barriers) {
		if err := s.leave(c, name, barriers[name], now); err != nil {
			return nil, err
		}
	}
	forgetSteps(d, c, now.N+1-roundsKept)
	c.Set(At(ParamRound), next)
	c.Set(At(ParamExpected, "version"), expected.Version+1)
	c.Set(At(ParamExpected, "round"), next.N)
	c.Set(At(ParamBarriers, BarrierComplete, strconv.Itoa(next.N)), newBarrier(next, s.Criteria))
	return c, nil
}

// leave has c supersede the barrier in the round of now, if it is open, and
// remove its rounds that are too old to keep.
func (s RoundSpec) leave(c *Change, name string, rounds map[string]Barrier, now Round) error {
	at := func(n string, leaf ...string) Pointer {
		return At(ParamBarriers, append([]string{name, n}, leaf...)...)
	}
	n := strconv.Itoa(now.N)
	if barrier, planted := rounds[n]; planted {
		if barrier.Verdict == "" && !s.Force {
			return fmt.Errorf("%w: barrier %s of round %d has no verdict yet; wait for it, or supersede it with --force", ErrOpenRound, name, now.N)
		}
		if barrier.Verdict == "" {
			c.Set(at(n, "verdict"), VerdictSuperseded)
			c.Set(at(n, "by"), "operator")
		}
	}
	for _, old := range sorted(rounds) {
		if k, err := strconv.Atoi(old); err == nil && k <= now.N+1-roundsKept {
			c.Remove(at(old))
		}
	}
	return nil
}

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"muster/profile"
)

// Late says whether the deadline of a barrier has passed, for who asks. nil is
// for those who do not count.
type Late func(name string, b profile.Barrier) bool

// Judge records the verdicts of the open barriers of the round of now, as far as
// the records that are known amount to one. The change tests the round, the
// expected version, whom else the criteria were computed from, that the verdict
// is empty, and (as every write) the member's own seq. Completions and arrivals
// are latched, so they cannot become untrue; failures can, when the machine is
// tried again, and who was missing may have come, so the change tests them too.
func Judge(ctx context.Context, member *profile.Member, view *profile.View, late Late) error {
	latest, _ := view.Latest()
	round, err := latest.Round()
	if err != nil {
		return err
	}
	names, err := latest.BarrierNames(round.N)
	if err != nil {
		return err
	}
	var faults []error // of one barrier, which hold up no other
	for _, name := range names {
		plan := func(d *profile.Document) (*profile.Change, error) {
			return judgeChange(d, member.UUID(), name, round, late)
		}
		if c, err := plan(latest); err != nil || c == nil {
			faults = append(faults, err)
			continue
		}
		if _, err := member.Write(ctx, plan); err != nil {
			faults = append(faults, fmt.Errorf("record the verdict of barrier %s in round %d: %w", name, round.N, err))
		}
	}
	return errors.Join(faults...)
}

func judgeChange(d *profile.Document, by, name string, round profile.Round, late Late) (*profile.Change, error) {
	now, err := d.Round()
	if err != nil || now != round {
		return nil, err
	}
	barrier, planted, err := d.Barrier(name, round.N)
	if err != nil || !planted || barrier.ID != round.ID || barrier.Verdict != "" {
		return nil, err
	}
	if err := barrier.Criteria.Check(); err != nil {
		return nil, err
	}
	t, _, who, err := count(d, name, round.N, barrier)
	if err != nil {
		return nil, err
	}
	verdict, err := t.verdict(barrier.Criteria, late != nil && late(name, barrier))
	if err != nil || verdict == "" {
		return nil, err
	}
	key := strconv.Itoa(round.N)
	at := func(leaf string) profile.Pointer { return profile.At(profile.ParamBarriers, name, key, leaf) }
	c := &profile.Change{}
	c.TestAsRead(d, profile.At(profile.ParamRound))
	c.TestAsRead(d, profile.At(profile.ParamExpected, "version"))
	c.TestAsRead(d, at("verdict"))
	for _, p := range who.seen {
		c.TestAsRead(d, p)
	}
	for _, uuid := range t.Failed {
		c.TestAsRead(d, profile.At(profile.ParamMembers, uuid, "results", key))
	}
	if verdict == profile.VerdictPartial || verdict == profile.VerdictExpired {
		testMissing(d, c, barrier.Criteria, t.Missing)
	}
	c.Set(at("verdict"), verdict)
	c.Set(at("missing"), list(t.Missing))
	c.Set(at("failed"), list(t.Failed))
	c.Set(at("by"), by)
	return c, nil
}

// testMissing has c depend on that nobody of the missing has come meanwhile.
func testMissing(d *profile.Document, c *profile.Change, criteria profile.Criteria, missing []string) {
	leaf := "results"
	if criteria.Of == profile.OfArrival {
		leaf = "arrived"
	}
	for _, uuid := range missing {
		p := profile.At(profile.ParamMembers, uuid, leaf)
		if _, ok := d.Lookup(p); ok { // else the record was edited by hand, and counts as missing
			c.TestAsRead(d, p)
		}
	}
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

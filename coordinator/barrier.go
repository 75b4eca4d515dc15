package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"muster/profile"
)

// Tally is where the expected members of a round stand. All lists hold UUIDs.
type Tally struct {
	Total    int // more than Expected while a self-seeded cluster fills up
	Expected []string
	Done     []string
	Failed   []string
	Stopped  []string // neither failed nor complete: rebooting, incomplete, unknown
	Missing  []string // neither complete nor failed
}

// Count counts the results of one round. No expected member at all is an error:
// an empty list never counts as everybody.
func Count(d *profile.Document, round int) (Tally, error) {
	t, _, err := count(d, round)
	return t, err
}

// awaited returns whom the barrier waits for, who must be somebody.
func awaited(d *profile.Document) (profile.Expected, error) {
	expected, err := d.Expected()
	if err == nil && len(expected.Members) == 0 {
		err = fmt.Errorf("%w: %s lists no member; run `muster seed` again to mend it", profile.ErrMalformed, profile.ParamExpected)
	}
	return expected, err
}

// count is Count, with the records that it counted.
func count(d *profile.Document, round int) (Tally, map[string]profile.Record, error) {
	expected, err := awaited(d)
	if err != nil {
		return Tally{}, nil, err
	}
	records, err := membersOf(d)
	if err != nil {
		return Tally{}, nil, err
	}
	t := Tally{Expected: slices.Compact(slices.Sorted(slices.Values(expected.Members)))}
	t.Total = max(expected.Count, len(t.Expected))
	for _, uuid := range t.Expected {
		result := ""
		if r := records[uuid]; r.Joined() {
			result = r.Results[strconv.Itoa(round)]
		}
		switch result {
		case profile.Complete:
			t.Done = append(t.Done, uuid)
			continue
		case profile.Failed:
			t.Failed = append(t.Failed, uuid)
			continue
		case profile.Stopped:
			t.Stopped = append(t.Stopped, uuid)
		}
		t.Missing = append(t.Missing, uuid)
	}
	return t, records, nil
}

// verdict is what the tally amounts to under the criteria; "" is none yet.
func (t Tally) verdict(c profile.Criteria) string {
	settled := len(t.Done) + len(t.Failed)
	switch {
	case len(t.Done) == t.Total:
		return profile.VerdictComplete
	case len(t.Failed) > 0 && (c.FailFast || settled == t.Total):
		return profile.VerdictFailed
	}
	return ""
}

// checkCriteria refuses criteria that this version cannot judge.
func checkCriteria(c profile.Criteria) error {
	if c.Role != "" || !slices.Contains([]string{"", "0"}, c.AllowMissing) || !slices.Contains([]string{"", "0s"}, c.Deadline) {
		return fmt.Errorf("%w: the barrier has criteria that this version does not know how to judge (role %q, allow_missing %q, deadline %q); upgrade muster", ErrUsage, c.Role, c.AllowMissing, c.Deadline)
	}
	return nil
}

// Judge records the verdict of a round if the results that are known amount to
// one and none is recorded yet. The change tests the round, the expected
// version, that the verdict is empty, and (as every write) the member's own seq.
// Completions are latched, so they cannot become untrue; failures can, when the
// machine is tried again, so the change tests them too.
func Judge(ctx context.Context, member *profile.Member, view *profile.View, round int) error {
	latest, _ := view.Latest()
	if c, err := judgeChange(latest, member.UUID(), round); err != nil || c == nil {
		return err
	}
	_, err := member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		return judgeChange(d, member.UUID(), round)
	})
	if err != nil {
		return fmt.Errorf("record the verdict of round %d: %w", round, err)
	}
	return nil
}

func judgeChange(d *profile.Document, by string, round int) (*profile.Change, error) {
	now, err := d.Round()
	if err != nil || now.N != round {
		return nil, err
	}
	barrier, planted, err := d.Barrier(profile.BarrierComplete, round)
	if err != nil || !planted || barrier.Verdict != "" {
		return nil, err
	}
	if err := checkCriteria(barrier.Criteria); err != nil {
		return nil, err
	}
	t, err := Count(d, round)
	if err != nil {
		return nil, err
	}
	verdict := t.verdict(barrier.Criteria)
	if verdict == "" {
		return nil, nil
	}
	at := func(leaf string) profile.Pointer {
		return profile.At(profile.ParamBarriers, profile.BarrierComplete, strconv.Itoa(round), leaf)
	}
	c := &profile.Change{}
	c.TestAsRead(d, profile.At(profile.ParamRound))
	c.TestAsRead(d, profile.At(profile.ParamExpected, "version"))
	c.TestAsRead(d, at("verdict"))
	for _, uuid := range t.Failed {
		c.TestAsRead(d, profile.At(profile.ParamMembers, uuid, "results", strconv.Itoa(round)))
	}
	c.Set(at("verdict"), verdict)
	c.Set(at("missing"), list(t.Missing))
	c.Set(at("failed"), list(t.Failed))
	c.Set(at("by"), by)
	return c, nil
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

package coordinator

import (
	"cmp"
	"strconv"

	"muster/profile"
)

// Tally is where those stand that a barrier waits for. All lists hold UUIDs.
type Tally struct {
	Total   int // more than are named while a self-seeded cluster fills up
	Settled bool
	Done    []string
	Failed  []string
	Stopped []string // neither failed nor complete: rebooting, incomplete, unknown
	Missing []string // neither done nor failed, the stopped among them
}

// Count counts at a barrier of round. Nobody to wait for is an error: an empty
// list never counts as everybody.
func Count(d *profile.Document, name string, round int, b profile.Barrier) (Tally, error) {
	t, _, _, err := count(d, name, round, b)
	return t, err
}

// count is Count, with the marks that it counted, and whom.
func count(d *profile.Document, name string, round int, b profile.Barrier) (Tally, map[string]profile.Mark, crowd, error) {
	who, err := awaited(d, b.Criteria)
	if err != nil {
		return Tally{}, nil, who, err
	}
	passed := b.Verdict == profile.VerdictComplete || b.Verdict == profile.VerdictPartial
	if expected, err := d.Expected(); err != nil || passed && len(expected.Members) == 0 {
		return Tally{}, nil, who, cmp.Or(err, errNobody) // somebody was done, and would be listed
	}
	marks, err := d.Marks()
	if err != nil {
		return Tally{}, nil, who, err
	}
	t := Tally{Total: who.total, Settled: who.settled}
	for _, uuid := range who.uuids {
		m := marks[uuid]
		result := ""
		if m.Joined() {
			result = m.Results[strconv.Itoa(round)]
		}
		done := result == profile.Complete
		if b.Criteria.Of == profile.OfArrival {
			done = m.Joined() && m.Arrived[name] == b.ID
		}
		switch {
		case done:
			t.Done = append(t.Done, uuid)
		case result == profile.Failed:
			t.Failed = append(t.Failed, uuid)
		case result == profile.Stopped:
			t.Stopped = append(t.Stopped, uuid)
			t.Missing = append(t.Missing, uuid)
		default:
			t.Missing = append(t.Missing, uuid)
		}
	}
	return t, marks, who, nil
}

// verdict is what the tally amounts to under the criteria; "" is none yet. late
// says that the barrier's deadline has passed.
func (t Tally) verdict(c profile.Criteria, late bool) (string, error) {
	allowed, err := c.Allowed(t.Total)
	if err != nil {
		return "", err
	}
	missing := t.Total - len(t.Done) - len(t.Failed)
	switch {
	case t.Settled && len(t.Done) == t.Total:
		return profile.VerdictComplete, nil
	case len(t.Failed) > 0 && (late || c.FailFast || t.Settled && missing == 0):
		return profile.VerdictFailed, nil
	case late && t.Settled && missing <= allowed && len(t.Done) > 0:
		return profile.VerdictPartial, nil
	case late:
		return profile.VerdictExpired, nil
	}
	return "", nil
}

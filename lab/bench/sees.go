package bench

import (
	"bytes"
	"context"
	"errors"
	"time"

	"muster/profile"
)

// sighting is how many members had joined at a moment.
type sighting struct {
	at     time.Time
	joined int
}

// sightingOf counts the records of members that have joined, of as many as there
// are, in what was read now. A seed plants them with an empty instance; decoding
// them would cost more than what is measured.
func sightingOf(d *profile.Document, members int) sighting {
	return sighting{time.Now(), members - bytes.Count(d.Params[profile.ParamMembers], []byte(`"instance":""`))}
}

// held counts the slots of leaders that are held.
func held(d *profile.Document) int {
	slots, _ := d.Slots()
	n := 0
	for _, s := range slots[profile.Leader] {
		if !s.Free() {
			n++
		}
	}
	return n
}

// looksLeast is the least time between two looks at the records.
const looksLeast = 50 * time.Millisecond

// next is how long after the sighting now it is worth while to look again: when all
// will have joined if they go on as fast as since the first sighting, but no longer
// than that is ago.
func (first sighting) next(now sighting, members int) time.Duration {
	ago := now.at.Sub(first.at)
	rest := ago
	if came := now.joined - first.joined; came > 0 {
		rest = min(rest, ago/time.Duration(came)*time.Duration(members-now.joined))
	}
	return max(looksLeast, rest)
}

// sees blocks until the member has itself seen all members and so many leaders. The
// leaders come with the member's own watch.
func (m *member) sees(ctx context.Context, leaders int) error {
	members := m.members
	d, _ := m.view.Latest()
	for now := sightingOf(d, members); now.joined < members; now = sightingOf(d, members) {
		if err := sleep(ctx, m.seen.next(now, members)); err != nil {
			return err
		}
		err := m.view.Refresh(ctx, m.store, profile.ParamMembers, profile.ParamExpected)
		if err != nil && !errors.Is(err, profile.ErrUnavailable) {
			return err
		}
		d, _ = m.view.Latest()
	}
	for {
		d, n := m.view.Latest()
		if held(d) >= leaders {
			return nil
		}
		if _, _, err := m.view.Wait(ctx, n); err != nil {
			return err
		}
	}
}

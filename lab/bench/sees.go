package bench

import (
	"bytes"
	"context"
	"errors"
	"time"

	"muster/internal/backoff"
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

// looksLeast is the least time between two looks at the records, looksMost the most.
const (
	looksLeast = 50 * time.Millisecond
	looksMost  = 10 * time.Second
)

// next is how long after the sighting now it is worth while to look again: when all
// will have joined if they go on as fast as since the sighting before, of which
// nothing but the time is known if it is that of an own join.
func (before sighting) next(now sighting, members int) time.Duration {
	ago := now.at.Sub(before.at)
	came := now.joined - before.joined
	if came <= 0 {
		return max(looksLeast, 2*ago)
	}
	rest := ago / time.Duration(came) * time.Duration(members-now.joined)
	if before.joined == 0 {
		rest = min(rest, ago)
	}
	return max(looksLeast, min(rest*11/10, looksMost))
}

// sees blocks until the member has itself seen all members and so many leaders. It
// looks at the records no more often than the member's own watch has news, which
// brings the leaders, too.
func (m *member) sees(ctx context.Context, leaders int) error {
	members := m.members
	d, n := m.view.Latest()
	before := m.seen
	for now := sightingOf(d, members); now.joined < members; before, now = now, sightingOf(d, members) {
		if err := backoff.Sleep(ctx, before.next(now, members)); err != nil {
			return err
		}
		if _, _, err := m.view.Wait(ctx, n); err != nil {
			return err
		}
		err := m.view.Refresh(ctx, m.store, profile.ParamMembers)
		if err != nil && !errors.Is(err, profile.ErrUnavailable) {
			return err
		}
		d, n = m.view.Latest()
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

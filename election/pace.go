package election

import (
	"bytes"
	"encoding/json"
	"time"

	"muster/profile"
)

// Paces of looking at the profile. The few that rank next for a slot look
// often, so that it is not free for long; where there are ETags that costs
// nothing while nothing changes. A member that has nothing to wait for looks
// the more rarely the longer nothing but renewals changed.
const (
	closeRanks = 3
	closePace  = 600 * time.Millisecond
	restPace   = 30 * time.Second
	restLeast  = 5 * time.Second // as often as is polled without ETags
)

// Pace is how old this member's look at the hot params may be; 0 is the usual.
// It is what profile.Watch asks for.
func (e *Elector) Pace() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	var pace time.Duration
	for _, p := range e.pace {
		pace = soonest(pace, p)
	}
	if pace == 0 && len(e.led) == 0 && e.rest.open == 0 && e.rest.seen {
		if rest := min(restPace, (e.cfg.Clock.Now()-e.rest.since)/4); rest > restLeast {
			return rest
		}
	}
	return pace
}

// note keeps why no slot of role is held, and how old a look may be for it.
func (e *Elector) note(role, why string, pace time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.why[role], e.pace[role] = why, pace
}

// close returns how old a look may be for the sake of role at this rank.
func (e *Elector) close(d *profile.Document, role string, rank int) time.Duration {
	if rank >= closeRanks {
		return 0
	}
	pace := closePace
	slots, _ := d.Slots()
	for _, s := range slots[role] {
		if ttl, err := profile.ParseTTL(s.TTL); err == nil && ttl > 0 {
			pace = min(pace, ttl/12)
		}
	}
	return pace
}

// later is by how much a member of this rank takes leases to lapse later than
// they do. One that rests sees renewals late: it leaves the lease to those that
// look often, unless they let it lie.
func (e *Elector) later(rank int) time.Duration {
	if rank < closeRanks || e.Pace() <= restLeast {
		return 0
	}
	return restPace + restLeast
}

// rest is since when nothing but renewals changed in the hot params.
type rest struct {
	since time.Duration
	state []byte
	open  int  // barriers without a verdict
	seen  bool // anything at all
}

// watch takes note of the state d.
func (r *rest) watch(d *profile.Document, slots map[string]map[string]profile.Slot, now time.Duration) {
	still := make(map[string]map[string]profile.Slot, len(slots))
	for role, all := range slots {
		still[role] = make(map[string]profile.Slot, len(all))
		for n, s := range all {
			s.Renewal = ""
			still[role][n] = s
		}
	}
	hot := map[string]any{}
	for _, name := range profile.HotParams() {
		hot[name] = d.Params[name]
	}
	hot[profile.ParamSlots] = still
	state, err := json.Marshal(hot)
	if err != nil || !r.seen || !bytes.Equal(state, r.state) {
		r.since, r.state, r.seen = now, state, true
		r.open = 1
		if barriers, err := d.Barriers(); err == nil {
			r.open = 0
			for _, rounds := range barriers {
				for _, b := range rounds {
					if b.Verdict == "" {
						r.open++
					}
				}
			}
		}
	}
}

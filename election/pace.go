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
// the more rarely the longer nothing but renewals of leases changed.
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
	if pace == 0 && len(e.led) == 0 {
		return e.rest.pace(e.cfg.Clock.Now())
	}
	return pace
}

// RestingPace is Pace for a host that waits at a barrier. That a sticky slot is
// given up may be seen later there: it has no failover.
func (e *Elector) RestingPace() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	var pace time.Duration
	for role, p := range e.pace {
		if !e.placed[role] {
			pace = soonest(pace, p)
		}
	}
	return pace
}

// note keeps why no slot of role is held, and how old a look may be for it.
func (e *Elector) note(role, why string, pace time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.why[role], e.pace[role], e.placed[role] = why, pace, false
}

// place notes that role has no slot to be had, if it is only by its rank that this
// member looks closely and no lease of the role can lapse.
func (e *Elector) place(d *profile.Document, role string) {
	slots, _ := d.Slots()
	if leased(map[string]map[string]profile.Slot{role: slots[role]}) || e.close(d, role, closeRanks) > 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.placed[role] = true
}

// close returns how old a look may be for the sake of role at this rank. Who
// asks for a role on demand looks often at any rank, because those that rank
// better may not ask; and so does a member that a slot is wanted for.
func (e *Elector) close(d *profile.Document, role string, rank int) time.Duration {
	slots, _ := d.Slots()
	options, _ := d.RoleOptions(role)
	near := rank < closeRanks || options.OnDemand
	pace := closePace
	for _, s := range slots[role] {
		near = near || s.Wanted == e.cfg.Member.UUID()
		if ttl, err := profile.ParseTTL(s.TTL); err == nil && ttl > 0 {
			pace = min(pace, ttl/12)
		}
	}
	if !near {
		return 0
	}
	return pace
}

// later is by how much a member with this pace takes leases to lapse later than
// they do. One that rests sees renewals late: it leaves the lease to those that
// look often, unless they let it lie.
func (e *Elector) later(pace time.Duration) time.Duration {
	if pace > 0 || e.Pace() <= restLeast {
		return 0
	}
	return restPace + restLeast
}

// rest is since when nothing but renewals changed in the hot params.
type rest struct {
	since time.Duration
	until time.Duration // by when those who rested before the last change have looked
	state []byte
	lease bool // some slot is renewed: without that nothing is saved by resting
	seen  bool // anything at all
}

// pace is how old the look of a member may be that has nothing to wait for; 0 is
// the usual.
func (r *rest) pace(now time.Duration) time.Duration {
	if pace := min(restPace, (now-r.since)/4); r.lease && pace > restLeast {
		return pace
	}
	return 0
}

// watch takes note of the state d.
func (r *rest) watch(d *profile.Document, slots map[string]map[string]profile.Slot, now time.Duration) {
	state, err := still(d, slots)
	if err == nil && r.seen && bytes.Equal(state, r.state) {
		return
	}
	rested := r.pace(now)
	lease := leased(slots)
	if !r.seen && lease {
		rested = restPace // who knows for how long
	}
	if rested > 0 {
		r.until = max(r.until, now+rested*6/5+time.Second) // polling is jittered, and a look takes its time
	}
	r.since, r.state, r.lease, r.seen = now, state, lease, true
}

// still is what of the hot params is no renewal.
func still(d *profile.Document, slots map[string]map[string]profile.Slot) ([]byte, error) {
	without := make(map[string]map[string]profile.Slot, len(slots))
	for role, all := range slots {
		without[role] = make(map[string]profile.Slot, len(all))
		for n, s := range all {
			s.Renewal = ""
			without[role][n] = s
		}
	}
	hot := map[string]any{}
	for _, name := range profile.HotParams() {
		hot[name] = d.Params[name]
	}
	hot[profile.ParamSlots] = without
	return json.Marshal(hot)
}

// leased reports whether some slot is held as a lease.
func leased(slots map[string]map[string]profile.Slot) bool {
	for _, all := range slots {
		for _, s := range all {
			if s.TTL != "" {
				return true
			}
		}
	}
	return false
}

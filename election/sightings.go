package election

import (
	"time"

	"muster/profile"
)

// sightings are, by role and slot number, since when each slot is seen as it is.
type sightings map[[2]string]sighting

// sighting is a slot as it was seen last, and the moments on the elector's
// clock at which it was first seen so: after the fact, which is the safe side.
type sighting struct {
	slot   profile.Slot
	held   time.Duration // holder, instance, epoch and renewal
	wanted time.Duration // that, and what the slot is wanted for
}

// look takes note of the slots as they are seen at the moment now.
func (s sightings) look(roles map[string]map[string]profile.Slot, now time.Duration) {
	for key := range s {
		if _, there := roles[key[0]][key[1]]; !there {
			delete(s, key)
		}
	}
	for role, slots := range roles {
		for n, slot := range slots {
			last, known := s[[2]string{role, n}]
			if !known || !sameHolding(last.slot, slot) {
				last.held, last.wanted = now, now
			} else if last.slot.Wanted != slot.Wanted {
				last.wanted = now
			}
			last.slot = slot
			s[[2]string{role, n}] = last
		}
	}
}

func sameHolding(a, b profile.Slot) bool {
	return a.Holder == b.Holder && a.Instance == b.Instance && a.Epoch == b.Epoch && a.Renewal == b.Renewal && a.TTL == b.TTL
}

// lapses returns the moment from which the lease of a slot may be taken over if
// it is not seen to change until then, and whether the slot is a lease at all.
func (s sightings) lapses(role, n string) (moment time.Duration, lease bool, err error) {
	seen := s[[2]string{role, n}]
	ttl, err := profile.ParseTTL(seen.slot.TTL)
	if err != nil || ttl == 0 || seen.slot.Instance == "" {
		return 0, false, err
	}
	return seen.held + profile.TakeOverAfter(ttl), true, nil
}

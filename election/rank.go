package election

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"muster/profile"
)

// rank is this member's place, from 0, among the expected members that hold no
// slot of role and whose priority is not 0: the i-th goes for the i-th free slot, so that nobody races as
// long as everybody is there. Members that the seed did not list come last.
func (e *Elector) rank(d *profile.Document, role string) (int, error) {
	expected, err := d.Expected()
	if err != nil {
		return 0, err
	}
	slots, err := d.Slots()
	if err != nil {
		return 0, err
	}
	round, err := d.Round()
	if err != nil {
		return 0, err
	}
	holders := map[string]bool{}
	for _, s := range slots[role] {
		holders[s.Holder] = true
		if last := len(s.History) - 1; s.Free() && last >= 0 {
			holders[s.History[last].Holder] = true // it gave the slot up: nobody waits for it
		}
	}
	me := e.cfg.Member.UUID()
	options, err := d.RoleOptions(role)
	if err != nil {
		return 0, err
	}
	at := func(uuid string) standing { return standingOf(uuid, round.N, options.PriorityOf(uuid)) }
	mine, place, listed := at(me), 0, false
	for _, uuid := range expected.Members {
		switch {
		case uuid == me:
			listed = true
		case !holders[uuid] && options.PriorityOf(uuid) > 0 && at(uuid).before(mine):
			place++
		}
	}
	if !listed {
		return len(expected.Members), nil
	}
	return place, nil
}

// standing is what decides on the place of a member in a round.
type standing struct {
	priority int
	hash     uint64
	uuid     string
}

func standingOf(uuid string, round, priority int) standing {
	var text [64]byte // no allocation for each of a thousand members
	sum := sha256.Sum256(strconv.AppendInt(append(append(text[:0], uuid...), '/'), int64(round), 10))
	return standing{priority, binary.BigEndian.Uint64(sum[:]), uuid}
}

// before sorts by priority, the highest first, and spreads members of the same
// evenly and differently in every round. The UUID decides between equals.
func (s standing) before(other standing) bool {
	return cmp.Or(cmp.Compare(other.priority, s.priority), cmp.Compare(s.hash, other.hash), cmp.Compare(s.uuid, other.uuid)) < 0
}

package election

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

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
	order := func(uuid string) string { return order(uuid, round.N, options.PriorityOf(uuid)) }
	mine, place, listed := order(me), 0, false
	for _, uuid := range expected.Members {
		switch {
		case uuid == me:
			listed = true
		case !holders[uuid] && options.PriorityOf(uuid) > 0 && order(uuid) < mine:
			place++
		}
	}
	if !listed {
		return len(expected.Members), nil
	}
	return place, nil
}

// order sorts by priority, the highest first, and spreads members of the same
// evenly and differently in every round. The UUID decides between equals.
func order(uuid string, round, priority int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", uuid, round))
	return fmt.Sprintf("%020d/%016x/%s", math.MaxInt64-int64(priority), binary.BigEndian.Uint64(sum[:]), uuid)
}

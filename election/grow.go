package election

import (
	"context"
	"strconv"
	"time"

	"muster/profile"
)

// grow plants the slots that a role lacks because its count was raised.
// The first in rank does it, and others if it does not: the change tests all
// slots of the role, since the absence of one cannot be tested, so it is made
// once, and all the others would conflict. It returns when to look again.
func (e *Elector) grow(ctx context.Context, d *profile.Document, role string) (time.Duration, error) {
	turn := "slots of " + role
	if missing, err := lacks(d, role); err != nil || len(missing) == 0 {
		delete(e.waits, turn)
		return 0, nil // a count that cannot be read is told where a claim needs it
	}
	rank, err := e.rank(d, role)
	if err != nil {
		return 0, err
	}
	if left := e.hesitate(turn, rank-1); left > 0 {
		return left, nil
	}
	_, err = e.cfg.Member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		missing, err := lacks(d, role)
		if err != nil || len(missing) == 0 {
			return nil, err
		}
		_, count, err := d.SlotCount(role)
		if err != nil {
			return nil, err
		}
		c := &profile.Change{}
		c.TestAsRead(d, count)
		c.TestAsRead(d, profile.At(profile.ParamSlots, role))
		for _, n := range missing {
			c.Set(profile.At(profile.ParamSlots, role, n), profile.Slot{History: []profile.Transition{}})
		}
		return c, nil
	})
	return 0, err
}

// slotsMost bounds how many slots are planted because of a count: one beyond it
// was hardly meant.
const slotsMost = 10_000

// lacks returns the numbers of the slots that role should have and has not.
func lacks(d *profile.Document, role string) ([]string, error) {
	count, _, err := d.SlotCount(role)
	if err != nil || count > slotsMost {
		return nil, err
	}
	slots, err := d.Slots()
	if err != nil {
		return nil, err
	}
	var missing []string
	for n := 1; n <= count; n++ {
		if _, planted := slots[role][strconv.Itoa(n)]; !planted {
			missing = append(missing, strconv.Itoa(n))
		}
	}
	return missing, nil
}

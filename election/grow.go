package election

import (
	"context"
	"strconv"

	"muster/profile"
)

// grow plants the slots that a role lacks because its count was raised.
// Whoever sees it does it: the change tests all slots of the role, since the
// absence of one cannot be tested, so it is made once.
func (e *Elector) grow(ctx context.Context, d *profile.Document, role string) error {
	if missing, err := lacks(d, role); err != nil || len(missing) == 0 {
		return nil // a count that cannot be read is told where a claim needs it
	}
	_, err := e.cfg.Member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
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
	return err
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

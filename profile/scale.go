package profile

import (
	"fmt"
	"strconv"
)

// mostSlots bounds the slot count: each slot is bytes in a profile that
// everybody reads.
const mostSlots = 1000

// Scale changes how many slots a role has, while members hold and claim them.
// Slots that are missing are planted; those above the count are kept until
// their holders have given them up, highest number first (docs/adr/0006).
type Scale struct {
	Role  string
	Slots int
}

// Plan returns a nil change if the role has that many slots. When it plants
// some it tests all slots of the role, because absence cannot be tested.
func (s Scale) Plan(d *Document) (*Change, error) {
	if s.Slots < 0 || s.Slots > mostSlots {
		return nil, fmt.Errorf("%w: expected 0 to %d slots, found %d", ErrInvalid, mostSlots, s.Slots)
	}
	slots, err := d.Slots()
	if err != nil {
		return nil, err
	}
	if _, ok := slots[s.Role]; !ok {
		return nil, fmt.Errorf("%w: role %q: expected one of %s", ErrNoSuch, s.Role, some(sorted(slots)))
	}
	count, place, err := d.SlotCount(s.Role)
	if err != nil {
		return nil, err
	}
	c := &Change{}
	c.TestAsRead(d, place)
	if count != s.Slots {
		c.Set(place, s.Slots)
	}
	planted := false
	for i := 1; i <= s.Slots; i++ {
		n := strconv.Itoa(i)
		if _, ok := slots[s.Role][n]; !ok {
			c.Set(At(ParamSlots, s.Role, n), Slot{History: []Transition{}})
			planted = true
		}
	}
	if planted {
		c.TestAsRead(d, At(ParamSlots, s.Role))
	}
	if count == s.Slots && !planted {
		return nil, nil
	}
	return c, nil
}

// inCount reports whether a slot number is one of the first count.
func inCount(number string, count int) bool {
	i, err := strconv.Atoi(number)
	return err == nil && i >= 1 && i <= count && strconv.Itoa(i) == number
}

// Pause returns the plan that suspends claims, or lets them go on. Who holds a
// slot keeps it.
func Pause(paused bool) Plan {
	return func(d *Document) (*Change, error) {
		now, err := d.Paused()
		if err != nil || now == paused {
			return nil, err
		}
		c := &Change{}
		c.TestAsRead(d, At(ParamPaused))
		c.Set(At(ParamPaused), paused)
		return c, nil
	}
}

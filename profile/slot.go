package profile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Tenure is one unbroken holding of a slot by one instance. (Instance, Epoch)
// is never reused.
type Tenure struct {
	Role     string `json:"role"`
	Slot     string `json:"slot"`
	Instance string `json:"instance"`
	Epoch    int64  `json:"epoch"`
}

// Claimable returns the numbers of the free slots of role, lowest first, within
// its slot count.
func (d *Document) Claimable(role string) ([]string, error) {
	slots, err := d.Slots()
	if err != nil {
		return nil, err
	}
	count, _, err := d.SlotCount(role)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(SlotNumbers(slots[role]), func(n string) bool {
		i, err := strconv.Atoi(n)
		return err != nil || i < 1 || i > count || strconv.Itoa(i) != n || !slots[role][n].Free()
	}), nil
}

// SlotNumbers returns the numbers of slots in ascending order.
func SlotNumbers(slots map[string]Slot) []string {
	return slices.SortedFunc(maps.Keys(slots), func(a, b string) int {
		i, _ := strconv.Atoi(a)
		j, _ := strconv.Atoi(b)
		return cmp.Or(i-j, strings.Compare(a, b))
	})
}

// Claim is the change by which the member me takes slot number n of role, as
// read in d. It tests everything that the claim depends on: the slot's leaves,
// the role's slot count, that claims are not paused and that me is not barred
// (the member's own seq, which keeps it from holding two slots, is tested by
// Member.Write). The new epoch is above the slot's last and at least the
// endpoint's clock in Unix seconds (DESIGN, rule 7).
func Claim(d *Document, me Tenure, uuid string) (*Change, error) {
	slots, err := d.Slots()
	if err != nil {
		return nil, err
	}
	s, ok := slots[me.Role][me.Slot]
	if !ok {
		return nil, fmt.Errorf("%w: role %s has no slot %s", ErrMalformed, me.Role, me.Slot)
	}
	_, count, err := d.SlotCount(me.Role)
	if err != nil {
		return nil, err
	}
	at := func(leaf string) Pointer { return At(ParamSlots, me.Role, me.Slot, leaf) }
	c := &Change{}
	for _, leaf := range []string{"holder", "instance", "epoch", "wanted"} {
		c.TestAsRead(d, at(leaf))
	}
	c.TestAsRead(d, count)
	c.TestAsRead(d, At(ParamPaused))
	c.TestAsRead(d, At(ParamMembers, uuid, "barred", me.Role))

	me.Epoch = max(s.Epoch+1, d.Date.Unix())
	c.Set(at("holder"), uuid)
	c.Set(at("instance"), me.Instance)
	c.Set(at("epoch"), me.Epoch)
	c.transition(d, me, s, "claimed", uuid)
	c.claim = &me
	return c, nil
}

// Release is the change by which the holder of the tenure t gives it up. Like
// every write of a holder it tests the slot's instance and epoch, taken from
// the tenure and never from what was just read (DESIGN, rule 7).
func Release(d *Document, t Tenure, uuid string) (*Change, error) {
	slots, err := d.Slots()
	if err != nil {
		return nil, err
	}
	c := t.Guard()
	c.Set(At(ParamSlots, t.Role, t.Slot, "holder"), "")
	c.Set(At(ParamSlots, t.Role, t.Slot, "instance"), "")
	c.Set(At(ParamSlots, t.Role, t.Slot, "renewal"), "")
	c.transition(d, t, slots[t.Role][t.Slot], "released", uuid)
	return c, nil
}

// Guard returns a change that can only land while the tenure t holds its slot.
func (t Tenure) Guard() *Change {
	c := &Change{}
	c.testValue(At(ParamSlots, t.Role, t.Slot, "instance"), t.Instance)
	c.testValue(At(ParamSlots, t.Role, t.Slot, "epoch"), t.Epoch)
	return c
}

// transition appends to the slot's history and keeps it short.
func (c *Change) transition(d *Document, t Tenure, s Slot, event, uuid string) {
	history := append(slices.Clone(s.History), Transition{Event: event, Holder: uuid, Epoch: t.Epoch, At: d.Date.Unix()})
	if over := len(history) - historyLength; over > 0 {
		history = history[over:]
	}
	c.Set(At(ParamSlots, t.Role, t.Slot, "history"), history)
}

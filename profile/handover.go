package profile

import (
	"fmt"
	"slices"
	"strings"
)

// Transfer asks whoever holds a slot to hand it to another member. Its holder
// ends what runs under the slot before it gives it up, so nothing has changed
// hands yet when the change lands. A free slot is kept for the member for a
// while (docs/adr/0006).
type Transfer struct {
	Role, Slot string
	To         string // UUID of a member that has joined
}

// Plan returns a nil change if the member holds the slot or is asked for
// already. ErrNotNow: the member could not claim the slot as things are. The
// change tests what a claim of the member would depend on, and the member's
// seq: it takes no other slot of the role meanwhile.
func (t Transfer) Plan(d *Document) (*Change, error) {
	s, err := d.slot(t.Role, t.Slot)
	if err != nil {
		return nil, err
	}
	if s.Holder == t.To || s.Wanted == t.To {
		return nil, nil
	}
	if err := t.refusal(d); err != nil {
		return nil, fmt.Errorf("%w: slot %s/%s cannot go to %s: %w", ErrNotNow, t.Role, t.Slot, d.called(t.To), err)
	}
	_, count, err := d.SlotCount(t.Role)
	if err != nil {
		return nil, err
	}
	c := &Change{}
	c.testSlot(d, t.Role, t.Slot)
	c.TestAsRead(d, count)
	c.TestAsRead(d, At(ParamPaused))
	c.TestAsRead(d, At(ParamMembers, t.To, "seq"))
	for _, p := range []Pointer{At(ParamMembers, t.To, "barred", t.Role), At(ParamRoles, t.Role, "priority", t.To)} {
		if _, ok := d.Lookup(p); ok {
			c.TestAsRead(d, p)
		}
	}
	c.Set(slotAt(t.Role, t.Slot)("wanted"), t.To)
	return c, nil
}

// refusal says why the member could not claim the slot; nil if it could.
func (t Transfer) refusal(d *Document) error {
	record, _, err := d.Record(t.To)
	if err != nil {
		return err
	}
	options, err := d.RoleOptions(t.Role)
	if err != nil {
		return err
	}
	count, _, err := d.SlotCount(t.Role)
	if err != nil {
		return err
	}
	paused, err := d.Paused()
	if err != nil {
		return err
	}
	held, err := d.Held(t.To)
	if err != nil {
		return err
	}
	other := slices.IndexFunc(held, func(h Tenure) bool { return h.Role == t.Role })
	switch {
	case !record.Joined():
		return fmt.Errorf("it has not joined; start its agent first")
	case record.Barred[t.Role] != "":
		return fmt.Errorf("it is barred from role %s (%s); `muster allow` lifts that", t.Role, record.Barred[t.Role])
	case options.PriorityOf(t.To) == 0:
		return fmt.Errorf("its priority in role %s is 0: it never claims; change %s first", t.Role, ParamRoles)
	case other >= 0:
		return fmt.Errorf("it holds %s/%s, and a member holds one slot of a role", t.Role, held[other].Slot)
	case !inCount(t.Slot, count):
		return fmt.Errorf("the slot is above the slot count, %d, and drains; see `muster scale`", count)
	case paused:
		return fmt.Errorf("claims are paused; `muster resume` comes first")
	}
	return nil
}

// Evict bars a member from the roles whose slots it holds, and asks it to make
// room for anybody else. With Force the slots are freed at once: whatever the
// member runs under them goes on until its host sees it.
type Evict struct {
	Member     string // UUID
	Role, Slot string // of one slot; "" is all that the member holds
	Reason     string // for people; not empty
	Force      bool
}

// Plan returns a nil change if the member is barred for the same reason already
// and nothing is left to ask for. ErrNotNow: it holds no such slot.
func (e Evict) Plan(d *Document) (*Change, error) {
	if strings.TrimSpace(e.Reason) == "" {
		return nil, fmt.Errorf("%w: a reason is needed: it is what others see who ask why the member may not claim", ErrInvalid)
	}
	held, err := e.Held(d)
	if err != nil {
		return nil, err
	}
	record, known, err := d.Record(e.Member)
	if err != nil {
		return nil, err
	}
	if len(held) == 0 {
		return nil, e.nothing(d, record)
	}
	if known && record.Barred == nil {
		return nil, fmt.Errorf("%w: %s is absent, though every record has it; put {} there", ErrMalformed, At(ParamMembers, e.Member, "barred"))
	}
	c := &Change{}
	if known && e.Role == "" {
		c.TestAsRead(d, At(ParamMembers, e.Member, "seq")) // or it claims another slot meanwhile
	}
	asked := !e.Force
	for _, t := range held {
		s, _ := d.slot(t.Role, t.Slot) // it is among those held
		asked = asked && record.Barred[t.Role] == e.Reason && s.Wanted != "" && s.Wanted != e.Member
		if known {
			c.Set(At(ParamMembers, e.Member, "barred", t.Role), e.Reason)
		}
		c.testSlot(d, t.Role, t.Slot)
		e.vacate(d, c, t, s)
	}
	if asked {
		return nil, nil
	}
	if e.Force && slices.ContainsFunc(held, func(t Tenure) bool { return t.Role == Leader }) {
		c.unlist(d, e.Member)
	}
	return c, nil
}

// Held returns what the member holds of that which is to be taken from it.
func (e Evict) Held(d *Document) ([]Tenure, error) {
	held, err := d.Held(e.Member)
	return slices.DeleteFunc(held, func(t Tenure) bool {
		return e.Role != "" && (t.Role != e.Role || t.Slot != e.Slot)
	}), err
}

// vacate asks for the slot s, or frees it. A transfer that is asked for goes on.
func (e Evict) vacate(d *Document, c *Change, t Tenure, s Slot) {
	switch {
	case e.Force:
		c.free(d, t, s, Transition{Event: EventEvicted, Holder: e.Member, Epoch: t.Epoch, Reason: e.Reason})
	case s.Wanted == "" || s.Wanted == e.Member:
		c.Set(slotAt(t.Role, t.Slot)("wanted"), Anybody)
	}
}

// nothing is what comes of an eviction from no slot: nil if it was carried out
// before.
func (e Evict) nothing(d *Document, record Record) error {
	what := "no slot"
	for role, reason := range record.Barred {
		if reason == e.Reason && (e.Role == "" || e.Role == role) {
			return nil
		}
	}
	if e.Role != "" {
		what = "slot " + e.Role + "/" + e.Slot + " no longer"
	}
	return fmt.Errorf("%w: %s holds %s: there is nothing to evict it from; see `muster leaders`", ErrNotNow, d.called(e.Member), what)
}

// Allow lifts the bar of a member from a role.
type Allow struct {
	Member, Role string
}

// Plan returns a nil change if the member is not barred.
func (a Allow) Plan(d *Document) (*Change, error) {
	record, ok, err := d.Record(a.Member)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: no record of member %s", ErrNoSuch, a.Member)
	}
	if record.Barred[a.Role] == "" {
		return nil, nil
	}
	bar := At(ParamMembers, a.Member, "barred", a.Role)
	c := &Change{}
	c.TestAsRead(d, bar)
	c.Set(bar, "")
	return c, nil
}

// Held returns the tenures of the slots that name the member, in the order of
// role and slot. The instance of an adopted one is "".
func (d *Document) Held(uuid string) ([]Tenure, error) {
	slots, err := d.Slots()
	if err != nil {
		return nil, err
	}
	var held []Tenure
	for _, role := range sorted(slots) {
		for _, n := range SlotNumbers(slots[role]) {
			if s := slots[role][n]; s.Holder == uuid {
				held = append(held, Tenure{Role: role, Slot: n, Instance: s.Instance, Epoch: s.Epoch, TTL: s.TTL})
			}
		}
	}
	return held, nil
}

// testSlot makes the change depend on who holds the slot and for whom it is
// wanted. Its history changes with these only.
func (c *Change) testSlot(d *Document, role, number string) {
	for _, leaf := range []string{"holder", "instance", "epoch", "wanted"} {
		c.TestAsRead(d, slotAt(role, number)(leaf))
	}
}

// free empties the slot s of the tenure t, whoever runs under it.
func (c *Change) free(d *Document, t Tenure, s Slot, why Transition) {
	c.vacate(t, s)
	c.transition(d, t, why)
}

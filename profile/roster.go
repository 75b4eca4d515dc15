package profile

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Forget takes a member out of the cluster. Its record is emptied and not
// removed, with a seq that no write of its old process can follow; its slots
// are freed at once, whatever it runs under them.
type Forget struct {
	Member string // UUID
	Force  bool   // also if it holds slots
}

// Plan returns a nil change if the member is forgotten already. ErrNotNow: it
// holds slots and Force is not set, or nobody else is expected.
func (f Forget) Plan(d *Document) (*Change, error) {
	return departure{old: f.Member, force: f.Force}.plan(d)
}

// Replace puts a machine in the place of a member that is forgotten: among the
// expected members, in their roles and in the priorities. The slots that the
// member held are freed and wanted for the machine.
type Replace struct {
	Old, New string // UUIDs
	Force    bool   // also if Old holds slots
}

// Plan returns a nil change if that is done already. ErrNotNow: Old is not
// expected, or holds slots and Force is not set; or New is expected and has
// joined.
func (r Replace) Plan(d *Document) (*Change, error) {
	if r.Old == r.New || r.New == "" {
		return nil, fmt.Errorf("%w: %q cannot take the place of %q", ErrInvalid, r.New, r.Old)
	}
	expected, err := d.Expected()
	if err != nil {
		return nil, err
	}
	old, _, err := d.Record(r.Old)
	if err != nil {
		return nil, err
	}
	next, planted, err := d.Record(r.New)
	if err != nil {
		return nil, err
	}
	oldIn, newIn := slices.Contains(expected.Members, r.Old), slices.Contains(expected.Members, r.New)
	switch {
	case !oldIn && !old.Joined() && newIn:
		return nil, nil
	case !oldIn:
		return nil, fmt.Errorf("%w: %s is not expected, so it has no place to take", ErrNotNow, d.called(r.Old))
	case newIn && next.Joined():
		return nil, fmt.Errorf("%w: %s is a member of its own; `muster forget` takes %s out", ErrNotNow, d.called(r.New), d.called(r.Old))
	}
	c, err := departure{old: r.Old, next: r.New, force: r.Force}.plan(d)
	if err == nil && c != nil && !planted {
		err = c.plantRecords(d, r.New)
	}
	return c, err
}

// departure is what Forget and Replace have in common. next takes the place of
// old; "" leaves it empty.
type departure struct {
	old, next string
	force     bool
}

func (p departure) plan(d *Document) (*Change, error) {
	record, planted, err := d.Record(p.old)
	if err != nil {
		return nil, err
	}
	expected, err := d.Expected()
	if err != nil {
		return nil, err
	}
	held, err := d.Held(p.old)
	if err != nil {
		return nil, err
	}
	listed := slices.Contains(expected.Members, p.old)
	switch {
	case !listed && !planted:
		return nil, fmt.Errorf("%w: member %s: it is not expected and has no record", ErrNoSuch, p.old)
	case !listed && !record.Joined() && len(held) == 0:
		return nil, nil
	case len(held) > 0 && !p.force:
		return nil, fmt.Errorf("%w: %s holds %s; evict it first, or use --force if its host is gone for good", ErrNotNow, d.called(p.old), places(held))
	case listed && p.next == "" && len(expected.Members) == 1:
		return nil, fmt.Errorf("%w: %s is the only member that is expected; `muster replace` puts another in its place", ErrNotNow, d.called(p.old))
	}
	c := &Change{}
	if listed {
		p.expected(d, c, expected)
	}
	if err := p.slots(d, c); err != nil {
		return nil, err
	}
	if err := p.priorities(d, c); err != nil {
		return nil, err
	}
	if err := c.vacateSeats(d, p.old); err != nil {
		return nil, err
	}
	if _, ok := d.Lookup(At(ParamFacts, p.old)); ok {
		c.Remove(At(ParamFacts, p.old))
	}
	c.unlist(d, p.old)
	return c, p.empty(d, c, record, planted)
}

// expected changes the list of whom the barrier waits for. The version rises,
// so that no verdict is recorded about the old list.
func (p departure) expected(d *Document, c *Change, e Expected) {
	c.TestAsRead(d, At(ParamExpected))
	members := p.exchange(e.Members)
	c.Set(At(ParamExpected, "members"), members)
	c.Set(At(ParamExpected, "count"), max(len(members), e.Count-len(e.Members)+len(members)))
	c.Set(At(ParamExpected, "version"), e.Version+1)
	for _, role := range sorted(e.Roles) {
		if slices.Contains(e.Roles[role], p.old) {
			c.Set(At(ParamExpected, "roles", role), p.exchange(e.Roles[role]))
		}
	}
}

// exchange returns list with next in the place of old, and nobody twice.
func (p departure) exchange(list []string) []string {
	with := []string{}
	for _, uuid := range list {
		if uuid == p.old {
			uuid = p.next
		}
		if uuid != "" && !slices.Contains(with, uuid) {
			with = append(with, uuid)
		}
	}
	return with
}

// slots frees what old holds, and has it wanted for next; what is wanted for
// old is wanted for next, or nobody.
func (p departure) slots(d *Document, c *Change) error {
	all, err := d.Slots()
	if err != nil {
		return err
	}
	for _, role := range sorted(all) {
		next := p.next
		for _, s := range all[role] {
			if s.Holder == p.next {
				next = "" // a member holds one slot of a role
			}
		}
		for _, n := range SlotNumbers(all[role]) {
			s := all[role][n]
			if s.Holder != p.old && s.Wanted != p.old {
				continue
			}
			c.testSlot(d, role, n)
			if s.Holder == p.old {
				c.free(d, Tenure{Role: role, Slot: n}, s, Transition{Event: EventForgotten, Holder: p.old, Epoch: s.Epoch})
			}
			if next != "" || s.Wanted == p.old {
				c.Set(slotAt(role, n)("wanted"), next)
			}
		}
	}
	return nil
}

// priorities gives next the priorities of old.
func (p departure) priorities(d *Document, c *Change) error {
	if p.next == "" {
		return nil
	}
	roles, err := decode[map[string]RoleOptions](d, ParamRoles, "{ROLE: options}")
	if err != nil {
		return err
	}
	for _, role := range sorted(roles) {
		if n, named := roles[role].Priority[p.old]; named {
			c.TestAsRead(d, At(ParamRoles, role, "priority", p.old))
			c.Set(At(ParamRoles, role, "priority", p.next), n)
			c.Remove(At(ParamRoles, role, "priority", p.old))
		}
	}
	return nil
}

// empty empties the record. Whatever the old process still sends tests a seq
// that the record had before, so it cannot land; fields that are unknown to us
// stay.
func (p departure) empty(d *Document, c *Change, record Record, planted bool) error {
	if !planted {
		return c.plantRecords(d, p.old)
	}
	roles, err := d.Slots()
	if err != nil {
		return err
	}
	empty := EmptyRecord(sorted(roles))
	empty.Seq, empty.Write = record.Seq+1, RandomID()
	raw, err := json.Marshal(empty)
	if err != nil {
		return err
	}
	var leaves map[string]json.RawMessage
	if err := json.Unmarshal(raw, &leaves); err != nil {
		return err
	}
	at := func(leaf string) Pointer { return At(ParamMembers, p.old, leaf) }
	c.TestAsRead(d, at("seq"))
	for _, leaf := range sorted(leaves) {
		c.Set(at(leaf), leaves[leaf])
	}
	return nil
}

// plantRecords adds empty records, as the seed does for expected members.
// Whoever adds one bumps muster/joins (DESIGN, rule 3).
func (c *Change) plantRecords(d *Document, uuids ...string) error {
	joins, err := decode[int64](d, ParamJoins, "an integer")
	if err != nil {
		return err
	}
	roles, err := d.Slots()
	if err != nil {
		return err
	}
	c.TestAsRead(d, At(ParamJoins))
	c.Set(At(ParamJoins), joins+1)
	for _, uuid := range uuids {
		c.Set(At(ParamMembers, uuid), plantRecord(sorted(roles)))
	}
	return nil
}

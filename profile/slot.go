package profile

import (
	"cmp"
	"encoding/json"
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
	// TTL of the lease, a Go duration as in the slot; "" is sticky.
	TTL string `json:"ttl,omitempty"`
}

// Names reports whether the slot s is held under the tenure t.
func (t Tenure) Names(s Slot) bool {
	return t.Instance != "" && s.Instance == t.Instance && s.Epoch == t.Epoch
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
		return !inCount(n, count) || !slots[role][n].Free()
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

// Claim is the change by which the member uuid takes the slot that me names, as
// read in d: a free one, one that it holds without an instance (adopted), or
// one whose lease lapsed. It tests everything that the claim depends on: the
// slot's leaves, the role's slot count, that claims are not paused and that the
// member is not barred (its own seq, which keeps it from holding two slots, is
// tested by Member.Write). The new epoch is above the slot's last, above
// me.Epoch, the last that this instance went for (State.Epochs), and at least
// the endpoint's clock in Unix seconds (DESIGN, rule 7). renewal is a fresh
// random string for a lease, "" for a sticky slot.
func Claim(d *Document, me Tenure, uuid, renewal string) (*Change, error) {
	s, err := d.slot(me.Role, me.Slot)
	if err != nil {
		return nil, err
	}
	_, count, err := d.SlotCount(me.Role)
	if err != nil {
		return nil, err
	}
	at := slotAt(me.Role, me.Slot)
	c := &Change{}
	for _, leaf := range []string{"holder", "instance", "epoch", "renewal", "wanted"} {
		c.TestAsRead(d, at(leaf))
	}
	c.TestAsRead(d, count)
	c.TestAsRead(d, At(ParamPaused))
	c.TestAsRead(d, At(ParamMembers, uuid, "barred", me.Role))

	me.Epoch = max(s.Epoch+1, me.Epoch+1, d.Date.Unix())
	c.Set(at("holder"), uuid)
	c.Set(at("instance"), me.Instance)
	c.Set(at("epoch"), me.Epoch)
	c.Set(at("ttl"), me.TTL)
	c.Set(at("renewal"), renewal)
	if s.Wanted != "" {
		c.Set(at("wanted"), "")
	}
	claimed := []Transition{{Event: EventClaimed, Holder: uuid, Epoch: me.Epoch}}
	if s.Instance != "" {
		claimed = append([]Transition{{Event: EventExpired, Holder: s.Holder, Epoch: s.Epoch}}, claimed...)
	}
	c.transition(d, me, claimed...)
	c.claim = &me
	return c, nil
}

// Release is the change by which the holder of the tenure t gives it up. Like
// every write of a holder it tests the slot's instance and epoch, taken from
// the tenure and never from what was just read (DESIGN, rule 7). What the slot
// is wanted for stays, unless that is Anybody. The reason of an eviction is that
// of the bar, as far as d has it.
func Release(d *Document, t Tenure, uuid, event string) (*Change, error) {
	s, err := d.slot(t.Role, t.Slot)
	if err != nil {
		return nil, err
	}
	c := t.Guard()
	c.vacate(t, s)
	why := Transition{Event: event, Holder: uuid, Epoch: t.Epoch}
	if event == EventEvicted {
		record, _, err := d.Record(uuid)
		if err != nil {
			return nil, err
		}
		why.Reason = record.Barred[t.Role]
	}
	c.transition(d, t, why)
	return c, nil
}

// vacate empties the slot s of the tenure t; its epoch stays.
func (c *Change) vacate(t Tenure, s Slot) {
	at := slotAt(t.Role, t.Slot)
	for _, leaf := range []string{"holder", "instance", "ttl", "renewal"} {
		c.Set(at(leaf), "")
	}
	if s.Wanted == Anybody {
		c.Set(at("wanted"), "")
	}
}

// Guard returns a change that can only land while the tenure t holds its slot.
func (t Tenure) Guard() *Change {
	at := slotAt(t.Role, t.Slot)
	c := &Change{}
	c.testValue(at("instance"), t.Instance)
	c.testValue(at("epoch"), t.Epoch)
	return c
}

// transition adds to the slot's history and keeps it short. Entries that are
// there are not written again: they may have fields unknown to us, and the
// history as it was read is not tested.
func (c *Change) transition(d *Document, t Tenure, entries ...Transition) {
	for i := range entries {
		entries[i].At = d.Date.Unix()
	}
	history := slotAt(t.Role, t.Slot)("history")
	var kept []json.RawMessage
	if raw, ok := d.Lookup(history); !ok || unmarshal(raw, &kept) != nil {
		c.Set(history, entries) // edited by hand into something else: it begins anew
		return
	}
	for _, entry := range entries {
		c.Append(history, entry)
	}
	for range min(historyLength, len(kept)+len(entries)-historyLength) {
		c.Remove(history + "/0")
	}
}

// slot returns one slot, or ErrMalformed if there is none.
func (d *Document) slot(role, number string) (Slot, error) {
	slots, err := d.Slots()
	if err != nil {
		return Slot{}, err
	}
	s, ok := slots[role][number]
	if !ok {
		return s, fmt.Errorf("%w: role %s has no slot %s", ErrMalformed, role, number)
	}
	return s, nil
}

// slotAt returns what makes pointers to the leaves of a slot.
func slotAt(role, number string) func(leaf string) Pointer {
	return func(leaf string) Pointer { return At(ParamSlots, role, number, leaf) }
}

package profile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Adoptable reads cluster/leaders as content of before Muster left it: UUIDs,
// or objects with a Uuid, or both. It returns the members among them, in the
// order of the list and each once, and the other entries as they are.
// ErrMalformed: it is no list.
func Adoptable(d *Document, members []string) (leaders []string, others []json.RawMessage, err error) {
	entries, err := mirrorEntries(d.Params[ParamLeaders])
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		switch uuid := NamedBy(entry); {
		case !slices.Contains(members, uuid):
			others = append(others, entry)
		case !slices.Contains(leaders, uuid):
			leaders = append(leaders, uuid)
		}
	}
	return leaders, others, nil
}

// adopt returns the params that are planted beside what d has: as many leader
// slots as are counted there already, the first of them held by the members
// that cluster/leaders names. They have no instance: each claims its own when
// it joins.
func (s Seed) adopt(d *Document) (Params, error) {
	leaders, _, err := Adoptable(d, s.Members)
	if err != nil {
		return nil, err
	}
	switch raw, counted := d.Params[ParamLeaderCount]; {
	case counted:
		if unmarshal(raw, &s.Leaders) != nil {
			return nil, fmt.Errorf("%w: %s: expected an integer, found %s", ErrMalformed, ParamLeaderCount, clip(raw))
		}
	case s.MoreLeaders:
		s.Leaders = max(s.Leaders, len(leaders))
	}
	if len(leaders) > s.Leaders {
		return nil, fmt.Errorf("%w: %s names %d of the members but there are %d leader slots; allow %d (--leaders, or %s where it is set), or take those that are to lead no longer off the list",
			ErrInvalid, ParamLeaders, len(leaders), s.Leaders, len(leaders), ParamLeaderCount)
	}
	params, err := s.Params()
	if err != nil {
		return nil, err
	}
	planted := &Document{Params: params}
	slots, err := planted.Slots()
	if err != nil {
		return nil, err
	}
	for i, uuid := range leaders {
		slots[Leader][strconv.Itoa(i+1)] = Slot{Holder: uuid, History: []Transition{{Event: EventAdopted, Holder: uuid, At: d.Date.Unix()}}}
	}
	params[ParamSlots], err = json.Marshal(slots)
	return params, err
}

// mirrorEntries are the entries of cluster/leaders; none where it is absent or
// null, which DRP makes of a param that is posted without a value.
func mirrorEntries(raw json.RawMessage) ([]json.RawMessage, error) {
	var entries []json.RawMessage
	if raw != nil && json.Unmarshal(raw, &entries) != nil {
		return nil, fmt.Errorf("%w: %s: expected a list of UUIDs or of {\"Address\": string, \"Name\": string, \"Uuid\": string}, found %s; correct or remove it", ErrMalformed, ParamLeaders, clip(raw))
	}
	return entries, nil
}

// NamedBy returns the UUID that an entry of cluster/leaders names, or "". Old
// content has bare UUIDs in the place of objects.
func NamedBy(entry json.RawMessage) string {
	var uuid string
	var object Mirror
	if json.Unmarshal(entry, &uuid) == nil {
		return uuid
	}
	if json.Unmarshal(entry, &object) == nil {
		return object.UUID
	}
	return ""
}

// unlist takes the entries of a member out of cluster/leaders, the mirror, as
// it cannot be relied upon to do so itself. A list that is none is left to the
// next leader.
func (c *Change) unlist(d *Document, uuid string) {
	entries, _ := mirrorEntries(d.Params[ParamLeaders])
	for i := len(entries) - 1; i >= 0; i-- {
		if NamedBy(entries[i]) == uuid {
			at := At(ParamLeaders, strconv.Itoa(i))
			c.Test(at, entries[i])
			c.Remove(at)
		}
	}
}

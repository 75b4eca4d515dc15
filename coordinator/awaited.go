package coordinator

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"muster/profile"
)

// crowd is whom a barrier waits for.
type crowd struct {
	uuids []string // sorted
	total int      // more than uuids while a self-seeded cluster fills up
	// settled is false while slots are about to be taken, which changes who is
	// meant by a role.
	settled bool
	bySlot  bool              // they are who holds a slot
	seen    []profile.Pointer // what the crowd was computed from, beside the expected version
}

// errNobody is a cluster of nobody, who all would be done at once.
var errNobody = fmt.Errorf("%w: %s lists no member; run `muster seed` again to mend it", profile.ErrMalformed, profile.ParamExpected)

// errNobodyHas means that it is clear that nobody has a role.
var errNobodyHas = errors.New("nobody to wait for")

// awaited returns whom criteria mean. Nobody at all is an error: an empty list
// never counts as everybody.
func awaited(d *profile.Document, c profile.Criteria) (crowd, error) {
	expected, err := d.Expected()
	if err != nil {
		return crowd{}, err
	}
	if len(expected.Members) == 0 && expected.Count <= 0 {
		return crowd{}, errNobody
	}
	listed, isList := expected.Roles[c.Role]
	switch {
	case c.Role == "":
		who := crowd{uuids: unique(expected.Members), settled: true}
		who.total = max(expected.Count, len(who.uuids))
		return who, nil
	case isList:
		members := slices.DeleteFunc(unique(listed), func(uuid string) bool { return !slices.Contains(expected.Members, uuid) })
		if len(members) == 0 {
			return crowd{}, fmt.Errorf("%w: role %s in %s names no expected member; run `muster seed --update` to mend it", profile.ErrMalformed, c.Role, profile.ParamExpected)
		}
		return crowd{uuids: members, total: len(members), settled: true}, nil
	}
	return bySlots(d, c.Role, expected)
}

// bySlots returns who holds a slot of role, or, for the role worker, who of the
// expected members holds none.
func bySlots(d *profile.Document, role string, expected profile.Expected) (crowd, error) {
	slots, err := d.Slots()
	if err != nil {
		return crowd{}, err
	}
	if err := d.CheckRole(role); err != nil {
		return crowd{}, err
	}
	// Who is yet to join a self-seeded cluster may claim, or be a worker.
	who := crowd{settled: len(expected.Members) >= expected.Count, bySlot: role != profile.Worker}
	holders := []string{}
	for _, r := range sortedKeys(slots) {
		options, err := d.RoleOptions(r)
		if err != nil {
			return crowd{}, err
		}
		if r != role && (role != profile.Worker || options.OnDemand) {
			continue
		}
		held := []string{}
		for _, n := range profile.SlotNumbers(slots[r]) {
			who.seen = append(who.seen, profile.At(profile.ParamSlots, r, n, "holder"))
			if s := slots[r][n]; !s.Free() {
				held = append(held, s.Holder)
			}
		}
		full, err := isFull(d, r, options, len(held), expected)
		if err != nil {
			return crowd{}, err
		}
		who.settled = who.settled && full
		holders = append(holders, held...)
	}
	if who.uuids = unique(holders); role == profile.Worker {
		who.uuids = slices.DeleteFunc(unique(expected.Members), func(uuid string) bool { return slices.Contains(holders, uuid) })
	}
	who.total = len(who.uuids)
	if who.settled && who.total == 0 {
		return who, fmt.Errorf("%w: nobody is a %s: there is %w", ErrUsage, role, errNobodyHas)
	}
	return who, nil
}

// isFull reports whether as many slots of a role are held as can be: those of
// the count, as far as there are members that may claim them. Of a role on
// demand that is one.
func isFull(d *profile.Document, role string, options profile.RoleOptions, held int, expected profile.Expected) (bool, error) {
	count, _, err := d.SlotCount(role)
	if err != nil {
		return false, err
	}
	if options.OnDemand {
		return held > 0, nil
	}
	able := 0
	for _, uuid := range expected.Members {
		if options.PriorityOf(uuid) > 0 {
			able++
		}
	}
	return held >= min(count, able), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// unique returns list sorted, and nobody twice.
func unique(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

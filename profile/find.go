package profile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FindMember returns the UUID of the member that a word means: a UUID, or the
// name that one member has. ErrNoSuch lists what it could have been.
func (d *Document) FindMember(word string) (string, error) {
	records, err := d.Members()
	if err != nil {
		return "", err
	}
	expected, err := d.Expected()
	if err != nil {
		return "", err
	}
	if _, ok := records[word]; ok || slices.Contains(expected.Members, word) {
		return word, nil
	}
	var named, all []string
	for _, uuid := range sorted(records) {
		if r := records[uuid]; r.Joined() {
			all = append(all, r.Name)
			if r.Name == word {
				named = append(named, uuid)
			}
		}
	}
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(named) > 1:
		return "", fmt.Errorf("%w: %q is the name of %s; say which by its UUID", ErrNoSuch, word, strings.Join(named, " and of "))
	}
	return "", fmt.Errorf("%w: member %q: expected a UUID or one of the names %s", ErrNoSuch, word, some(all))
}

// FindSlot returns the role and number that a word means: ROLE/NUMBER, or, if
// that role has but one slot in its count, ROLE.
func (d *Document) FindSlot(word string) (role, number string, err error) {
	slots, err := d.Slots()
	if err != nil {
		return "", "", err
	}
	role, number = word, ""
	if _, ok := slots[word]; !ok {
		if i := strings.LastIndex(word, "/"); i >= 0 {
			role, number = word[:i], word[i+1:]
		}
	}
	if _, ok := slots[role]; !ok {
		return "", "", fmt.Errorf("%w: role %q: expected one of %s", ErrNoSuch, role, some(sorted(slots)))
	}
	if number == "" {
		count, _, err := d.SlotCount(role)
		if err != nil {
			return "", "", err
		}
		if number = "1"; count != 1 {
			return "", "", fmt.Errorf("%w: role %s has %d slots: say which, as %s/NUMBER", ErrNoSuch, role, count, role)
		}
	}
	if _, ok := slots[role][number]; !ok {
		return "", "", fmt.Errorf("%w: role %s has no slot %q; it has %s", ErrNoSuch, role, number, some(SlotNumbers(slots[role])))
	}
	return role, number, nil
}

// NameOf returns the name of a member, or its UUID where it has none.
func (d *Document) NameOf(uuid string) string {
	if r, _, err := d.Record(uuid); err == nil && r.Name != "" {
		return r.Name
	}
	return uuid
}

// called returns the name and the UUID of a member, for people.
func (d *Document) called(uuid string) string {
	if name := d.NameOf(uuid); name != uuid {
		return fmt.Sprintf("%s (%s)", name, uuid)
	}
	return uuid
}

func places(held []Tenure) string {
	var list []string
	for _, t := range held {
		list = append(list, t.Role+"/"+t.Slot)
	}
	return strings.Join(list, ", ")
}

// some lists words, but not hundreds of them.
func some(words []string) string {
	const most = 10
	switch {
	case len(words) == 0:
		return "(there is none)"
	case len(words) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
	}
	return strings.Join(words, ", ")
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package profile

import (
	"fmt"
	"slices"
	"strings"
)

// factsTotal is the most that all fact sheets together may take, and
// factsSheet the most of one; under factsLeast a sheet says too little to be
// worth its write (DESIGN, rule 8).
const (
	factsTotal = 256 << 10
	factsSheet = 2048
	factsLeast = 128
)

// factsBudget is how many bytes one of so many sheets may take.
func factsBudget(members int) int {
	budget := min(factsSheet, factsTotal/members)
	if budget < factsLeast {
		budget = 0
	}
	return budget
}

// count is how many members are expected.
func (s Seed) count() int { return max(len(s.Members), s.Expect) }

// check returns ErrInvalid for a seed that makes no sense.
func (s Seed) check() error {
	unique := slices.Compact(slices.Sorted(slices.Values(s.Members)))
	switch {
	case s.Expect < 0 || s.Expect > 0 && len(s.Members) > 0:
		return fmt.Errorf("%w: %d members are expected beside %d that are named: expected the one or the other", ErrInvalid, s.Expect, len(s.Members))
	case s.count() == 0:
		return fmt.Errorf("%w: no member is expected", ErrInvalid)
	case len(unique) < len(s.Members) || len(unique) > 0 && unique[0] == "":
		return fmt.Errorf("%w: an expected member is named twice, or not named", ErrInvalid)
	case s.Leaders < 0 || s.Leaders > mostSlots:
		return fmt.Errorf("%w: %d leader slots: expected 0 to %d", ErrInvalid, s.Leaders, mostSlots)
	}
	if err := s.checkRoles(); err != nil {
		return err
	}
	for _, name := range sorted(s.Others) {
		if strings.HasPrefix(name, "muster/") || slices.Contains([]string{"", ParamProfile, ParamFilter, ParamLeaderCount, ParamLeaders, ParamEscape}, name) {
			return fmt.Errorf("%w: param %q is planted by the seed itself, or by nobody: expected one of another's", ErrInvalid, name)
		}
	}
	return s.Criteria.Check()
}

// checkRoles checks the roles of members, and what is said of roles.
func (s Seed) checkRoles() error {
	for _, role := range sorted(s.MemberRoles) {
		if _, slots := s.Roles[role]; slots || role == "" || role == Leader || role == Worker {
			return fmt.Errorf("%w: role %q of members: expected a name that no role with slots has, nor %s", ErrInvalid, role, Worker)
		}
		if len(s.memberRoles()[role]) == 0 {
			return fmt.Errorf("%w: role %q has no expected member: nothing could wait for it", ErrInvalid, role)
		}
	}
	known := func(role string) bool {
		return role == Worker || role == Leader || s.Roles[role] > 0 || s.MemberRoles[role] != nil
	}
	if role := s.Criteria.Role; role != "" && !known(role) {
		return fmt.Errorf("%w: the barrier waits for role %q, which the seed does not have", ErrInvalid, role)
	}
	for _, role := range sorted(s.Workflows) {
		if !known(role) {
			return fmt.Errorf("%w: a workflow of role %q, which the seed does not have", ErrInvalid, role)
		}
	}
	return nil
}

// memberRoles returns the roles of members, without who is not expected.
func (s Seed) memberRoles() map[string][]string {
	roles := map[string][]string{}
	for role, list := range s.MemberRoles {
		roles[role] = slices.DeleteFunc(slices.Clone(list), func(uuid string) bool { return !slices.Contains(s.Members, uuid) })
	}
	return roles
}

// options checks the options of the roles and returns what muster/roles says.
func (s Seed) options() (map[string]any, error) {
	options := map[string]any{}
	for role, n := range s.Roles {
		if role == Leader || n < 0 || n > mostSlots {
			return nil, fmt.Errorf("%w: role %q with %d slots: role %s has its own count, and counts are 0 to %d", ErrInvalid, role, n, Leader, mostSlots)
		}
		options[role] = RoleOptions{Slots: n}
	}
	for role, o := range s.Options {
		if _, err := ParseTTL(o.TTL); err != nil {
			return nil, fmt.Errorf("role %s: %w", role, err)
		}
		n, ok := s.Roles[role]
		if o.Slots = n; ok {
			options[role] = o
			continue
		}
		if role != Leader {
			return nil, fmt.Errorf("%w: options of role %q, which has no slots", ErrInvalid, role)
		}
		priority := o.Priority
		if priority == nil {
			priority = map[string]int{}
		}
		// Without slots: a second count beside cluster/leader-count would be taken for it.
		options[role] = map[string]any{"ttl": o.TTL, "priority": priority, "on_demand": o.OnDemand}
	}
	return options, nil
}

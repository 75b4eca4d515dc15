package profile

import (
	"slices"
)

// Update brings a profile that is seeded up to the seed that would be planted
// now, as far as that is about who is expected. Nobody is taken away by it: that
// is a Forget for each of Gone.
type Update Seed

// Gone returns who is expected, and not by the update, sorted.
func (u Update) Gone(d *Document) ([]string, error) {
	expected, err := d.Expected()
	if err != nil {
		return nil, err
	}
	gone := slices.DeleteFunc(slices.Clone(expected.Members), func(uuid string) bool { return slices.Contains(u.Members, uuid) })
	slices.Sort(gone)
	return gone, nil
}

// Plan adds the members that are not expected yet, with an empty record unless
// they have one, and sets the filter, the roles of members and the workflows that
// the update has. The version of muster/expected rises, so that no verdict is
// recorded about the old list. It returns a nil change if all is as it should be.
func (u Update) Plan(d *Document) (*Change, error) {
	if err := Seed(u).check(); err != nil {
		return nil, err
	}
	c := &Change{}
	if err := u.expected(d, c); err != nil {
		return nil, err
	}
	if filter, err := decode[string](d, ParamFilter, "a string"); err != nil || filter != u.Filter {
		c.Set(At(ParamFilter), u.Filter)
	}
	if len(u.Workflows) > 0 {
		workflows, err := decode[map[string]string](d, ParamWorkflows, "{ROLE: workflow}")
		if err != nil {
			return nil, err
		}
		for _, role := range sorted(u.Workflows) {
			if workflows[role] != u.Workflows[role] {
				c.Set(At(ParamWorkflows, role), u.Workflows[role])
			}
		}
	}
	if len(c.sets) == 0 {
		return nil, nil
	}
	return c, nil
}

// expected changes the list of whom the barrier waits for.
func (u Update) expected(d *Document, c *Change) error {
	e, err := d.Expected()
	if err != nil {
		return err
	}
	records, err := d.Members()
	if err != nil {
		return err
	}
	members, unknown := slices.Clone(e.Members), []string{}
	for _, uuid := range u.Members {
		if slices.Contains(members, uuid) {
			continue
		}
		members = append(members, uuid)
		if _, planted := records[uuid]; !planted {
			unknown = append(unknown, uuid)
		}
	}
	roles := Seed(u).memberRoles()
	changed := slices.DeleteFunc(sorted(roles), func(role string) bool { return slices.Equal(roles[role], e.Roles[role]) })
	if len(members) == len(e.Members) && len(changed) == 0 {
		return nil
	}
	c.TestAsRead(d, At(ParamExpected))
	c.Set(At(ParamExpected, "version"), e.Version+1)
	c.Set(At(ParamExpected, "members"), members)
	c.Set(At(ParamExpected, "count"), max(len(members), e.Count))
	for _, role := range changed {
		c.Set(At(ParamExpected, "roles", role), roles[role])
	}
	if budget, err := d.FactsBudget(); err == nil && budget > factsBudget(len(members)) {
		c.Set(At(ParamFactsBudget), factsBudget(len(members)))
	}
	if len(unknown) == 0 {
		return nil
	}
	return c.plantRecords(d, unknown...)
}

package profile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Seed is what the cluster manager plants.
type Seed struct {
	Profile string
	Filter  string   // drpcli filter words, for cluster/filter
	Members []string // UUIDs of the expected machines, without the manager
	// Expect, in the place of Members, is how many members are expected of a
	// self-seeded cluster: whoever joins first.
	Expect  int
	Leaders int // slots of role leader
	// MoreLeaders lets Leaders rise to the number of leaders that are adopted
	// from cluster/leaders: it is only a default.
	MoreLeaders bool
	Roles       map[string]int         // slots of other roles
	Options     map[string]RoleOptions // of any of the roles; their Slots are not used
	MemberRoles map[string][]string    // roles of Members, which a barrier can wait for
	Workflow    string                 // of round 1, for people
	Workflows   map[string]string      // role → what its members start on themselves; of any of the roles
	Criteria    Criteria               // of the barrier of round 1
	Others      Params                 // params that are not of the contract
}

// Params returns everything that is planted, as it is in a new profile.
func (s Seed) Params() (Params, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	options, err := s.options()
	if err != nil {
		return nil, err
	}
	slots := s.slots()
	members := map[string]plantedRecord{}
	for _, uuid := range s.Members {
		members[uuid] = plantRecord(sorted(slots))
	}
	round := Round{N: 1, ID: RandomID(), Workflow: s.Workflow}
	planted := map[string]any{
		ParamProfile: s.Profile, ParamFilter: s.Filter, ParamLeaderCount: s.Leaders, ParamLeaders: []Mirror{},
		ParamFormat:   Format,
		ParamExpected: Expected{Version: 1, Round: 1, Count: s.count(), Members: append([]string{}, s.Members...), Roles: s.memberRoles()},
		ParamRound:    round,
		ParamRoles:    options, ParamSlots: slots, ParamMembers: members,
		ParamFacts: map[string]any{}, ParamFactsBudget: factsBudget(s.count()),
		ParamBarriers: map[string]map[string]Barrier{BarrierComplete: {"1": newBarrier(round, s.Criteria)}},
		ParamSteps:    map[string]any{},
		ParamOps:      Ops{}, ParamJoins: 0, ParamPaused: false,
	}
	if len(s.Workflows) > 0 {
		planted[ParamWorkflows] = s.Workflows
	}
	params := maps.Clone(s.Others)
	if params == nil {
		params = Params{}
	}
	for name, v := range planted {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", name, err)
		}
		params[name] = raw
	}
	return params, nil
}

// slots returns the slots of all roles, free.
func (s Seed) slots() map[string]map[string]Slot {
	slots := map[string]map[string]Slot{}
	plant := func(role string, n int) {
		slots[role] = map[string]Slot{}
		for i := 1; i <= n; i++ {
			slots[role][strconv.Itoa(i)] = Slot{History: []Transition{}}
		}
	}
	for role, n := range s.Roles {
		plant(role, n)
	}
	plant(Leader, s.Leaders)
	return slots
}

// Plan plants what an existing profile lacks and leaves alone what it has, so
// seeding twice, or twice at once, changes nothing. It tests the params as a
// whole, because absence cannot be tested (wire contract, fact 2). Params that
// hold what has happened since (round, expected, slots, members, barriers) are
// planted together or not at all. The leaders that cluster/leaders names when the
// slots are planted hold the first of them.
func (s Seed) Plan(d *Document) (*Change, error) {
	if s.Profile != d.Name {
		return nil, fmt.Errorf("%w: the seed is of profile %q, not of %q", ErrInvalid, s.Profile, d.Name)
	}
	params, err := s.Params()
	if err != nil {
		return nil, err
	}
	if raw, ok := d.Params[ParamProfile]; ok && !SameJSON(raw, params[ParamProfile]) {
		return nil, d.Check()
	}
	if d.Params[ParamSlots] == nil {
		if params, err = s.adopt(d); err != nil {
			return nil, err
		}
	}
	c := &Change{}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if _, ok := d.Params[name]; ok {
			continue
		}
		if _, seeded := d.Params[ParamFormat]; seeded && live(name) {
			return nil, fmt.Errorf("%w: profile %q was seeded, but %s is gone; %s", ErrMalformed, d.Name, name, remedy(name))
		}
		c.Set(At(name), params[name])
	}
	if len(c.sets) == 0 {
		return nil, nil
	}
	c.TestAsRead(d, "")
	return c, nil
}

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
	Leaders int      // slots of role leader
	// MoreLeaders lets Leaders rise to the number of leaders that are adopted
	// from cluster/leaders: it is only a default.
	MoreLeaders bool
	Roles       map[string]int         // slots of other roles
	Options     map[string]RoleOptions // of any of the roles; their Slots are not used
	Workflow    string                 // of round 1, for people
	Criteria    Criteria               // of the barrier of round 1
}

// factsTotal is the most that all fact sheets together may take, and
// factsSheet the most of one; under factsLeast a sheet says too little to be
// worth its write (DESIGN, rule 8).
const (
	factsTotal = 256 << 10
	factsSheet = 2048
	factsLeast = 128
)

// Params returns everything that is planted, as it is in a new profile.
func (s Seed) Params() (Params, error) {
	if len(s.Members) == 0 {
		return nil, fmt.Errorf("%w: no member is expected", ErrInvalid)
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(s.Members))); len(unique) < len(s.Members) || unique[0] == "" {
		return nil, fmt.Errorf("%w: an expected member is named twice, or not named", ErrInvalid)
	}
	if s.Leaders < 0 || s.Leaders > mostSlots {
		return nil, fmt.Errorf("%w: %d leader slots: expected 0 to %d", ErrInvalid, s.Leaders, mostSlots)
	}
	if err := s.Criteria.Check(); err != nil {
		return nil, err
	}
	if role := s.Criteria.Role; role != "" && role != Worker && role != Leader && s.Roles[role] == 0 {
		return nil, fmt.Errorf("%w: the barrier waits for role %q, which the seed does not have", ErrInvalid, role)
	}
	budget := min(factsSheet, factsTotal/len(s.Members))
	if budget < factsLeast {
		budget = 0
	}
	options, err := s.options()
	if err != nil {
		return nil, err
	}
	slots := s.slots()
	members := map[string]Record{}
	for _, uuid := range s.Members {
		members[uuid] = EmptyRecord(sorted(slots))
	}
	round := Round{N: 1, ID: RandomID(), Workflow: s.Workflow}
	planted := map[string]any{
		ParamProfile: s.Profile, ParamFilter: s.Filter, ParamLeaderCount: s.Leaders, ParamLeaders: []Mirror{},
		ParamFormat:   Format,
		ParamExpected: Expected{Version: 1, Round: 1, Count: len(s.Members), Members: s.Members, Roles: map[string][]string{}},
		ParamRound:    round,
		ParamRoles:    options, ParamSlots: slots, ParamMembers: members,
		ParamFacts: map[string]any{}, ParamFactsBudget: budget,
		ParamBarriers: map[string]map[string]Barrier{BarrierComplete: {"1": newBarrier(round, s.Criteria)}},
		ParamOps:      Ops{}, ParamJoins: 0, ParamPaused: false,
	}
	params := Params{}
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
	if raw, ok := d.Params[ParamProfile]; ok && !sameJSON(raw, params[ParamProfile]) {
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

// RoundSpec says how the next round is opened.
type RoundSpec struct {
	After    int    // the round that is to be followed; makes the plan idempotent
	Workflow string // for people
	Criteria Criteria
	Force    bool // supersede an open verdict
}

// Plan opens the round after s.After: it plants its barrier and, with Force,
// records an open verdict as superseded, in one patch. Without Force an open
// verdict is an ErrOpenRound, and a round that somebody else opened an ErrLost.
func (s RoundSpec) Plan(d *Document) (*Change, error) {
	now, err := d.Round()
	if err != nil {
		return nil, err
	}
	if now.N != s.After {
		return nil, fmt.Errorf("%w: the round is %d by now, not %d: somebody else opened one", ErrLost, now.N, s.After)
	}
	if err := s.Criteria.Check(); err != nil {
		return nil, err
	}
	if err := d.CheckRole(s.Criteria.Role); err != nil {
		return nil, err
	}
	barriers, err := d.Barriers()
	if err != nil {
		return nil, err
	}
	expected, err := d.Expected()
	if err != nil {
		return nil, err
	}
	c := &Change{}
	c.TestAsRead(d, At(ParamRound))
	c.TestAsRead(d, At(ParamExpected, "version"))
	c.TestAsRead(d, At(ParamBarriers)) // as a whole: one that is opened meanwhile would stay open for ever
	next := Round{N: now.N + 1, ID: RandomID(), Workflow: s.Workflow}
	for _, name := range sorted(barriers) {
		if err := s.leave(c, name, barriers[name], now); err != nil {
			return nil, err
		}
	}
	c.Set(At(ParamRound), next)
	c.Set(At(ParamExpected, "version"), expected.Version+1)
	c.Set(At(ParamExpected, "round"), next.N)
	c.Set(At(ParamBarriers, BarrierComplete, strconv.Itoa(next.N)), newBarrier(next, s.Criteria))
	return c, nil
}

// leave has c supersede the barrier in the round of now, if it is open, and
// remove its rounds that are too old to keep.
func (s RoundSpec) leave(c *Change, name string, rounds map[string]Barrier, now Round) error {
	at := func(n string, leaf ...string) Pointer {
		return At(ParamBarriers, append([]string{name, n}, leaf...)...)
	}
	n := strconv.Itoa(now.N)
	if barrier, planted := rounds[n]; planted {
		if barrier.Verdict == "" && !s.Force {
			return fmt.Errorf("%w: barrier %s of round %d has no verdict yet; wait for it, or supersede it with --force", ErrOpenRound, name, now.N)
		}
		if barrier.Verdict == "" {
			c.Set(at(n, "verdict"), VerdictSuperseded)
			c.Set(at(n, "by"), "operator")
		}
	}
	for _, old := range sorted(rounds) {
		if k, err := strconv.Atoi(old); err == nil && k <= now.N+1-roundsKept {
			c.Remove(at(old))
		}
	}
	return nil
}

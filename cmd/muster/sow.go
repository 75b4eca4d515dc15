package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"muster/profile"
	"muster/profile/drp"
)

// sowing is one run of `muster seed`. Its steps are in an order that leaves
// nothing wrong behind wherever it is interrupted, and each finds out by itself
// what is to be done: seeding again completes them (ADR 12).
type sowing struct {
	*app
	seed                profile.Seed
	roleFilters         map[string]string // role of members → filter words
	secret              profile.Edit      // of a secure param; no Key is none
	update, force, self bool

	store    target
	fleet    drp.Fleet
	machines map[string]drp.Listed // that the filter selects, without the manager
	shown    int                   // requests that a dry run has shown
	result   seeded
}

// seeded is what the command prints.
type seeded struct {
	Profile  string   `json:"profile"`
	Created  bool     `json:"created"`
	Members  []string `json:"members"` // UUIDs
	Expected int      `json:"expected"`
	Round    int      `json:"round"`
	Attached []string `json:"attached"` // UUIDs of the machines that carry the profile from now on
	Added    []string `json:"added"`    // UUIDs, by an update
	Removed  []string `json:"removed"`
}

func (s *sowing) run(ctx context.Context) error {
	s.result = seeded{Profile: s.cfg.Profile, Attached: []string{}, Added: []string{}, Removed: []string{}}
	if err := s.connect(); err != nil {
		return err
	}
	planting, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	d, err := s.plantAll(planting)
	if err != nil {
		return err
	}
	if !s.self {
		// Each request is bounded by itself: there may be a thousand machines.
		if err := s.tend(ctx, d); err != nil {
			return err
		}
	}
	if s.dryRun {
		if s.shown == 0 {
			if err := s.app.show(json.RawMessage("[]")); err != nil {
				return err
			}
		}
		return drp.ErrDryRun
	}
	return s.report(d)
}

func (s *sowing) connect() error {
	client, err := s.client()
	if err != nil {
		return err
	}
	auth := drp.TokenFile(s.cfg.ProfileTokenFile)
	if !s.self {
		if auth, err = s.operator(); err != nil {
			return err
		}
	}
	store := client.Profile(s.cfg.Profile, auth)
	s.store, s.fleet = store, drp.Fleet{Client: client, Auth: auth}
	if s.dryRun {
		s.store = drp.DryRun{Store: store, Show: s.show}
		s.fleet.Show = func(m drp.Listed, patch json.RawMessage) error {
			s.notice("this would be sent to machine %s (%s):", m.Name, m.UUID)
			return s.show(patch)
		}
	}
	return nil
}

// show prints the body of a request that a dry run does not send.
func (s *sowing) show(body json.RawMessage) error {
	s.shown++
	return s.app.show(body)
}

// plantAll does what is to be done in the profile, which comes before all
// machines: none carries a profile that is not seeded.
func (s *sowing) plantAll(ctx context.Context) (*profile.Document, error) {
	found, err := s.store.Read(ctx)
	switch {
	case errors.Is(err, profile.ErrNotFound) && !s.self:
		found = nil
	case errors.Is(err, profile.ErrNotFound):
		return nil, fmt.Errorf("%w; --self-seed needs a profile that exists, and a token of it", err)
	case err != nil:
		return nil, err
	}
	if !s.self {
		if err := s.choose(ctx, found); err != nil {
			return nil, err
		}
	}
	if err := s.guarded(ctx); err != nil {
		return nil, err
	}
	d, err := s.plant(ctx, found)
	if err == nil {
		d, err = s.seal(ctx, d)
	}
	if err != nil {
		return nil, err
	}
	unseeded := found == nil || found.Params[profile.ParamExpected] == nil
	if s.update && !(s.dryRun && unseeded) { // what was not planted cannot be brought up to date
		return s.bringUp(ctx, d)
	}
	return d, s.differs(d)
}

// choose lists the members, before anything is changed.
func (s *sowing) choose(ctx context.Context, found *profile.Document) error {
	if s.seed.Filter == "" && found != nil {
		var recorded string
		if json.Unmarshal(found.Params[profile.ParamFilter], &recorded) == nil {
			s.seed.Filter = recorded
		}
	}
	if s.seed.Filter == "" {
		s.seed.Filter = "Profiles Eq $CLUSTER_PROFILE"
	}
	var err error
	if s.machines, err = s.list(ctx, s.seed.Filter); err != nil {
		return err
	}
	if len(s.machines) == 0 {
		return fmt.Errorf("no member: filter %q selects no machine besides the manager; select some with --filter, or add the profile to the machines first, and check that the credentials may list them (DRP shows an empty list otherwise)", s.seed.Filter)
	}
	s.seed.Members = sortedKeys(s.machines)
	clusters, err := s.fleet.Clusters(ctx)
	if err != nil {
		return fmt.Errorf("list the profiles: %w", err)
	}
	for _, uuid := range s.seed.Members {
		if err := s.machines[uuid].Free(s.cfg.Profile, clusters); err != nil {
			return err
		}
	}
	s.seed.MemberRoles = map[string][]string{}
	for role, words := range s.roleFilters {
		machines, err := s.list(ctx, words)
		if err != nil {
			return fmt.Errorf("--member-role %s: %w", role, err)
		}
		s.seed.MemberRoles[role] = sortedKeys(machines)
	}
	return nil
}

// list returns the machines of the filter, without the manager: the one
// that carries cluster/manager: true. The machine on which this runs is left out
// for no other reason: left out by mistake, nobody would ever wait for it.
func (s *sowing) list(ctx context.Context, words string) (map[string]drp.Listed, error) {
	filter, err := drp.Filter(words, s.cfg.Profile)
	if err != nil {
		return nil, err
	}
	listed, err := s.fleet.Client.Machines(ctx, filter, s.fleet.Auth)
	if err != nil {
		return nil, fmt.Errorf("list the members: %w", err)
	}
	machines := map[string]drp.Listed{}
	for _, m := range listed {
		if !m.Manager {
			machines[m.UUID] = m
		}
	}
	return machines, nil
}

// plant creates the profile, or adds what it lacks. In a dry run it returns the
// profile as it would be.
func (s *sowing) plant(ctx context.Context, found *profile.Document) (*profile.Document, error) {
	if m, member := s.machines[s.cfg.UUID]; member {
		s.notice("this machine, %s, is expected as a member; if it is the manager, set its param cluster/manager to true before seeding", m.Name)
	}
	params, err := s.seed.Params()
	if err != nil {
		return nil, err
	}
	if found == nil {
		err := s.store.Create(ctx, "Shared profile of cluster "+s.cfg.Profile, params)
		switch {
		case err == nil:
			s.result.Created = true
		case errors.Is(err, drp.ErrDryRun):
			return &profile.Document{Name: s.cfg.Profile, Params: params}, nil
		case !errors.Is(err, profile.ErrConflict) && !errors.Is(err, profile.ErrUnknownOutcome):
			return nil, fmt.Errorf("create profile %q: %w", s.cfg.Profile, err)
		}
	} else if err := s.strangers(found, s.seed.Members); err != nil {
		return nil, err
	} else {
		s.kept(found)
	}
	d, err := s.write(ctx, s.seed.Plan)
	if errors.Is(err, drp.ErrDryRun) {
		lacking := profile.Params{}
		for name, raw := range params {
			if _, there := found.Params[name]; !there {
				lacking[name] = raw
			}
		}
		return found.With(lacking, sortedKeys(lacking)), nil
	}
	return d, err
}

// write carries plan out. A dry run that has shown its patch ends with ErrDryRun.
func (s *sowing) write(ctx context.Context, plan profile.Plan) (*profile.Document, error) {
	return profile.NewOperator(s.store).Write(ctx, plan)
}

// kept says which params of --param are there with another value.
func (s *sowing) kept(d *profile.Document) {
	for _, name := range sortedKeys(s.seed.Others) {
		if raw, there := d.Params[name]; there && string(raw) != string(s.seed.Others[name]) {
			s.notice("param %s is there already, and is left as it is", name)
		}
	}
}

// strangers names the entries of cluster/leaders that the first seed cannot
// give a slot to.
func (s *sowing) strangers(d *profile.Document, members []string) error {
	if _, planted := d.Params[profile.ParamSlots]; planted {
		return nil
	}
	_, others, err := profile.Adoptable(d, members)
	for _, entry := range others {
		s.notice("%s names %s, which is no expected member: it stays in the list, and gets no slot", profile.ParamLeaders, entry)
	}
	return err
}

// differs says in what the members of an earlier seed are not those of the filter.
func (s *sowing) differs(d *profile.Document) error {
	expected, err := d.Expected()
	if err != nil || s.self {
		return err
	}
	var added, gone []string
	for _, uuid := range s.seed.Members {
		if !slices.Contains(expected.Members, uuid) {
			added = append(added, clean(s.machines[uuid].Name))
		}
	}
	for _, uuid := range expected.Members {
		if _, selected := s.machines[uuid]; !selected {
			gone = append(gone, d.NameOf(uuid))
		}
	}
	if len(added) > 0 {
		s.notice("not expected, though the filter selects them: %s; --update adds them", strings.Join(added, ", "))
	}
	if len(gone) > 0 {
		s.notice("expected, though the filter does not select them: %s; --update removes them", strings.Join(gone, ", "))
	}
	return nil
}

func (s *sowing) report(d *profile.Document) error {
	expected, err := d.Expected()
	if err != nil {
		return err
	}
	round, err := d.Round()
	if err != nil {
		return err
	}
	s.result.Members, s.result.Expected, s.result.Round = expected.Members, max(expected.Count, len(expected.Members)), round.N
	return s.print(s.result, func(w io.Writer) {
		fmt.Fprintf(w, "profile %s is seeded: %d members expected, round %d\n", s.result.Profile, s.result.Expected, s.result.Round)
	})
}

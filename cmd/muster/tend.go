package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"muster/profile"
	"muster/profile/drp"
)

// bringUp adds the members that the filter selects by now, and then forgets those
// that it does not: between the two a barrier waits for all of them. Nothing is
// changed if one of those holds slots, unless --force is given.
func (s *sowing) bringUp(ctx context.Context, d *profile.Document) (*profile.Document, error) {
	update := profile.Update(s.seed)
	gone, err := update.Gone(d)
	if err != nil {
		return nil, err
	}
	for _, uuid := range gone {
		held, err := d.Held(uuid)
		if err != nil {
			return nil, err
		}
		if len(held) == 0 {
			continue
		}
		if _, err := (profile.Forget{Member: uuid, Force: s.force}).Plan(d); err != nil {
			return nil, err
		}
		s.mayGoOn(forgotten{Member: said{UUID: uuid, Name: d.NameOf(uuid)}, Slots: names(held)})
	}
	expected, err := d.Expected()
	if err != nil {
		return nil, err
	}
	for _, uuid := range s.seed.Members {
		if !slices.Contains(expected.Members, uuid) {
			s.result.Added = append(s.result.Added, uuid)
		}
	}
	plans := []profile.Plan{update.Plan}
	for _, uuid := range gone {
		plans = append(plans, profile.Forget{Member: uuid, Force: s.force}.Plan)
	}
	for _, plan := range plans {
		after, err := s.write(ctx, plan)
		switch {
		case errors.Is(err, drp.ErrDryRun):
		case err != nil:
			return nil, err
		default:
			d = after
		}
	}
	s.result.Removed = append(s.result.Removed, gone...)
	return d, nil
}

// tend does what is to be done to machines, by the profile as it is by now.
func (s *sowing) tend(ctx context.Context, d *profile.Document) error {
	expected, err := d.Expected()
	if err != nil {
		return err
	}
	members := expected.Members
	if s.dryRun && s.update {
		members = s.seed.Members
	}
	if err := s.attach(ctx, members); err != nil {
		return err
	}
	if s.update {
		if err := s.detach(ctx, d, members); err != nil {
			return err
		}
	}
	return s.manage(ctx, d, members)
}

// attach adds the profile to the machines of members that the filter selects.
func (s *sowing) attach(ctx context.Context, members []string) error {
	clusters, err := s.fleet.Clusters(ctx)
	if err != nil {
		return fmt.Errorf("list the profiles: %w", err)
	}
	if _, listed := clusters[s.cfg.Profile]; !listed && !s.dryRun {
		return fmt.Errorf("%w: profile %q exists, but the credentials do not list it: whether a machine is of another cluster cannot be seen, and none was changed", profile.ErrRefused, s.cfg.Profile)
	}
	for _, uuid := range members {
		m, selected := s.machines[uuid]
		if !selected {
			continue
		}
		changed, err := s.fleet.Attach(ctx, m, s.cfg.Profile, clusters)
		if err != nil && !errors.Is(err, drp.ErrDryRun) {
			return fmt.Errorf("add profile %q: %w; seed again to go on", s.cfg.Profile, err)
		}
		if changed {
			s.result.Attached = append(s.result.Attached, uuid)
		}
	}
	return nil
}

// detach takes the profile off the machines that carry it and were forgotten, now
// or by an earlier run that was interrupted.
func (s *sowing) detach(ctx context.Context, d *profile.Document, members []string) error {
	machines, err := s.list(ctx, "Profiles Eq $CLUSTER_PROFILE")
	if err != nil {
		return err
	}
	for _, uuid := range sortedKeys(machines) {
		record, planted, err := d.Record(uuid)
		if err != nil {
			return err
		}
		removed := slices.Contains(s.result.Removed, uuid)
		if slices.Contains(members, uuid) || !removed && (!planted || record.Joined()) {
			continue
		}
		if _, err := s.fleet.Detach(ctx, machines[uuid], s.cfg.Profile); err != nil && !errors.Is(err, drp.ErrDryRun) {
			return fmt.Errorf("take profile %q off: %w; seed again to go on", s.cfg.Profile, err)
		}
	}
	return nil
}

// manage marks the machine that this runs on as the manager, unless it is a member
// or selected to be one.
func (s *sowing) manage(ctx context.Context, d *profile.Document, members []string) error {
	uuid := s.cfg.UUID
	record, _, err := d.Record(uuid)
	if err != nil {
		return err
	}
	if _, selected := s.machines[uuid]; uuid == "" || selected || record.Joined() || slices.Contains(members, uuid) {
		return nil
	}
	if _, err := s.fleet.Manage(ctx, uuid); err != nil && !errors.Is(err, drp.ErrDryRun) {
		return fmt.Errorf("mark this machine as the cluster manager: %w", err)
	}
	return nil
}

package agent

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"muster/profile"
)

var roleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// slotsMost bounds how many slots a role is planted with.
const slotsMost = 10_000

// ensureRole refuses a role that is not what is asked for, and plants one that
// is not there if it is said how: as a role on demand.
func (a *Agent) ensureRole(ctx context.Context, ask LeadAsk) error {
	if !roleName.MatchString(ask.Role) {
		return fmt.Errorf("%w: role: expected letters, digits and . _ -, at most 64, found %q", ErrUsage, ask.Role)
	}
	if ask.Slots < 0 || ask.Slots > slotsMost {
		return fmt.Errorf("%w: slots: expected 1 to %d, found %d", ErrUsage, slotsMost, ask.Slots)
	}
	if ask.TTL != nil {
		if _, err := profile.ParseTTL(*ask.TTL); err != nil {
			return fmt.Errorf("%w: %w", ErrUsage, err)
		}
	}
	d, _ := a.view.Latest()
	if there, err := matchRole(d, ask); there && err == nil {
		return nil
	}
	if err := a.view.Refresh(ctx, a.cfg.Store, profile.HotParams()...); err != nil { // it may be new
		return err
	}
	_, err := a.member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		if there, err := matchRole(d, ask); there || err != nil {
			return nil, err
		}
		return plantRole(d, ask)
	})
	return a.written(err)
}

// matchRole reports whether the role is there and as it is asked for.
func matchRole(d *profile.Document, ask LeadAsk) (bool, error) {
	if _, there := d.Lookup(profile.At(profile.ParamRoles, ask.Role)); !there && ask.Role != profile.Leader {
		if ask.Slots == 0 && ask.TTL == nil {
			return false, fmt.Errorf("%w: the profile has no role %s: say how it is to be with --slots N and --ttl DURATION (without a ttl the slot stays with a host that is dead), or seed it", ErrUsage, ask.Role)
		}
		return false, nil
	}
	count, _, err := d.SlotCount(ask.Role)
	if err != nil {
		return false, err
	}
	options, err := d.RoleOptions(ask.Role)
	if err != nil {
		return false, err
	}
	var differ []string
	if ask.Slots > 0 && ask.Slots != count {
		differ = append(differ, fmt.Sprintf("--slots %d, but it has %d", ask.Slots, count))
	}
	if ask.TTL != nil && !sameTTL(*ask.TTL, options.TTL) {
		differ = append(differ, fmt.Sprintf("--ttl %q, but it has %q", *ask.TTL, options.TTL))
	}
	if len(differ) > 0 {
		return true, fmt.Errorf("%w: role %s is there and is not what is asked for: %s; leave the flags out to take it as it is", ErrUsage, ask.Role, strings.Join(differ, ", "))
	}
	return true, nil
}

func sameTTL(a, b string) bool {
	x, errX := profile.ParseTTL(a)
	y, errY := profile.ParseTTL(b)
	return errX == nil && errY == nil && x == y
}

// plantRole adds a role and its slots. That there is none cannot be tested but
// on all roles together.
func plantRole(d *profile.Document, ask LeadAsk) (*profile.Change, error) {
	if _, there := d.Lookup(profile.At(profile.ParamSlots, ask.Role)); there {
		return nil, fmt.Errorf("%w: %s has slots of role %s, but %s has no such role: seed it", profile.ErrMalformed, profile.ParamSlots, ask.Role, profile.ParamRoles)
	}
	ttl := ""
	if ask.TTL != nil {
		ttl = *ask.TTL
	}
	count := max(1, ask.Slots)
	slots := map[string]profile.Slot{}
	for n := 1; n <= count; n++ {
		slots[strconv.Itoa(n)] = profile.Slot{History: []profile.Transition{}}
	}
	c := &profile.Change{}
	c.TestAsRead(d, profile.At(profile.ParamRoles))
	// Every leaf is there, so that operators' changes can test it.
	c.Set(profile.At(profile.ParamRoles, ask.Role), map[string]any{"slots": count, "ttl": ttl, "priority": map[string]int{}, "on_demand": true})
	c.Set(profile.At(profile.ParamSlots, ask.Role), slots)
	return c, nil
}

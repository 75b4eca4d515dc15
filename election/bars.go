package election

import (
	"context"
	"fmt"
	"time"

	"muster/profile"
)

// barrier returns what keeps this member from claiming any slot of role, in
// words, or ""; and when to look again though nothing changes.
func (e *Elector) barrier(ctx context.Context, d *profile.Document, role string) (string, time.Duration, error) {
	options, err := d.RoleOptions(role)
	if err != nil {
		return "", 0, err
	}
	if _, err := profile.ParseTTL(options.TTL); err != nil {
		return "", 0, fmt.Errorf("%w: %s of role %s: %w", profile.ErrMalformed, profile.ParamRoles, role, err)
	}
	paused, err := d.Paused()
	if err != nil {
		return "", 0, err
	}
	switch {
	case (options.OnDemand || e.cfg.OnDemand) && !e.isAsked(role):
		return "nobody on this host asks for it: it is on demand, see `muster lead`", 0, nil
	case options.PriorityOf(e.cfg.Member.UUID()) == 0:
		return "this member's priority is 0", 0, nil
	case paused:
		return "claims are paused, see `muster resume`", 0, nil
	}
	if left := e.cool(d, role); left > 0 {
		return fmt.Sprintf("this member resigned, and leaves it to others for %s", coolFor), left, nil
	}
	if reason, wait, err := e.gathering(ctx, d, role, options); err != nil || reason != "" {
		return reason, wait, err
	}
	return e.barred(ctx, role)
}

// cool returns for how long a member that resigned still leaves the role to
// others: until one of them holds the slot, or coolFor has passed.
func (e *Elector) cool(d *profile.Document, role string) time.Duration {
	e.mu.Lock()
	c, resigned := e.cooling[role]
	e.mu.Unlock()
	if !resigned {
		return 0
	}
	slots, _ := d.Slots()
	if slots[role][c.slot].Epoch > c.epoch {
		return 0
	}
	return c.since + coolFor - e.cfg.Clock.Now()
}

// barred says whether the own record bars this member from role. A bar that is
// missing, for a role that is newer than the record, is planted, so that a claim
// has something to test. A bar that is there is read again now and then: the
// view does not follow records.
func (e *Elector) barred(ctx context.Context, role string) (string, time.Duration, error) {
	d, _ := e.cfg.View.Latest()
	if err := e.plantBar(ctx, d, role); err != nil {
		return "", 0, err
	}
	reason, err := e.bar(role)
	if err != nil || reason == "" {
		return "", 0, err
	}
	if left := barredEvery - time.Since(e.asked); left > 0 {
		return "barred: " + reason, left, nil
	}
	e.asked = time.Now()
	if err := e.cfg.View.Refresh(ctx, e.cfg.Store, profile.ParamMembers, profile.ParamExpected); err != nil {
		return "", 0, err
	}
	if reason, err = e.bar(role); err != nil || reason == "" {
		return "", 0, err
	}
	return "barred: " + reason, barredEvery, nil
}

// bar returns why the own record bars this member from role, or "".
func (e *Elector) bar(role string) (string, error) {
	d, _ := e.cfg.View.Latest()
	record, _, err := d.Record(e.cfg.Member.UUID())
	return record.Barred[role], err
}

// plantBar gives the own record a bar for a role that is newer than it.
func (e *Elector) plantBar(ctx context.Context, d *profile.Document, role string) error {
	uuid := e.cfg.Member.UUID()
	lacks := func(d *profile.Document) (bool, error) {
		record, ok, err := d.Record(uuid)
		_, planted := record.Barred[role]
		return ok && !planted, err
	}
	if lack, err := lacks(d); err != nil || !lack {
		return err
	}
	_, err := e.cfg.Member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		if lack, err := lacks(d); err != nil || !lack {
			return nil, err
		}
		c := &profile.Change{}
		c.TestAsRead(d, profile.At(profile.ParamMembers, uuid, "barred"))
		c.Set(profile.At(profile.ParamMembers, uuid, "barred", role), "")
		return c, nil
	})
	return err
}

// gathering says whether members are still expected that may rank better by
// priority: where priorities are in use, a slot that was never held waits until
// all have joined, or the profile rested for quietFor.
func (e *Elector) gathering(ctx context.Context, d *profile.Document, role string, options profile.RoleOptions) (string, time.Duration, error) {
	if len(options.Priority) == 0 {
		return "", 0, nil
	}
	slots, err := d.Slots()
	if err != nil {
		return "", 0, err
	}
	for _, s := range slots[role] {
		if s.Epoch > 0 {
			return "", 0, nil
		}
	}
	left := quietFor - (e.cfg.Clock.Now() - e.rest.since)
	if left <= 0 {
		return "", 0, nil
	}
	joined, err := e.allJoined(d)
	if err != nil || joined {
		return "", 0, err
	}
	if time.Since(e.counted) >= time.Second { // records are no hot params
		e.counted = time.Now()
		if err := e.cfg.View.Refresh(ctx, e.cfg.Store, profile.ParamMembers, profile.ParamExpected); err != nil {
			return "", 0, err
		}
	}
	return "not all members have joined that may rank better", min(left, 2*time.Second), nil
}

func (e *Elector) allJoined(d *profile.Document) (bool, error) {
	expected, err := d.Expected()
	if err != nil {
		return false, err
	}
	records, err := d.Members()
	if err != nil || len(expected.Members) < expected.Count {
		return false, err
	}
	for _, uuid := range expected.Members {
		if !records[uuid].Joined() {
			return false, nil
		}
	}
	return true, nil
}

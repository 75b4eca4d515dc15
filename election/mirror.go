package election

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"muster/profile"
)

// mirror keeps the copies of the truth that DRP's portal and old scripts read:
// the own entry of cluster/leaders, and the mark on the own machine. A claim or
// release never waits for them.
func (e *Elector) mirror(ctx context.Context, d *profile.Document) error {
	_, leads := e.cfg.Member.Tenure(d, profile.Leader)
	change, err := e.mirrorChange(d)
	if err != nil {
		return err
	}
	if change != nil {
		if _, err := e.cfg.Member.Write(ctx, e.mirrorChange); err != nil {
			return fmt.Errorf("%s: %w", profile.ParamLeaders, err)
		}
	}
	if e.cfg.Machine == nil || e.marked == leads {
		return nil
	}
	if err := e.cfg.Machine.Mark(ctx, leads); err != nil {
		return fmt.Errorf("mark the machine: %w", err)
	}
	e.marked = leads
	return nil
}

// mirrorChange is what brings the own entry of cluster/leaders in line with the
// leader slots, or nil. A holder's change is guarded by its tenure. A missing
// list, or one that is no list, is mended; entries of others, whatever their
// shape, are left alone.
func (e *Elector) mirrorChange(d *profile.Document) (*profile.Change, error) {
	uuid := e.cfg.Member.UUID()
	tenure, leads := e.cfg.Member.Tenure(d, profile.Leader)
	own := profile.Mirror{UUID: uuid}
	if leads {
		record, _, err := d.Record(uuid)
		if err != nil {
			return nil, err
		}
		own.Address, own.Name = record.Address, record.Name
	}
	list := profile.At(profile.ParamLeaders)
	raw, planted := d.Lookup(list)
	var entries []json.RawMessage
	if json.Unmarshal(raw, &entries) != nil || entries == nil {
		if !leads {
			return nil, nil
		}
		c := tenure.Guard()
		if planted {
			c.Test(list, raw)
		}
		c.Set(list, []profile.Mirror{own})
		return c, nil
	}
	for i, entry := range entries {
		var found profile.Mirror
		if json.Unmarshal(entry, &found) != nil || found.UUID != uuid {
			continue
		}
		at := profile.At(profile.ParamLeaders, strconv.Itoa(i))
		c := &profile.Change{}
		c.Test(at, entry)
		switch {
		case !leads:
			c.Remove(at)
		case found != own:
			c = tenure.Guard()
			c.Test(at, entry)
			c.Remove(at)
			c.Append(list, own)
		default:
			return nil, nil
		}
		return c, nil
	}
	if !leads {
		return nil, nil
	}
	c := tenure.Guard()
	c.Append(list, own)
	return c, nil
}

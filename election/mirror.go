package election

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

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
	return e.mark(ctx, leads)
}

// markFor bounds the marking of the machine, for which nothing else waits longer.
const markFor = 2 * time.Second

// mark marks the own machine as one that leads, or does not; what fails is
// tried again.
func (e *Elector) mark(ctx context.Context, leads bool) error {
	if e.cfg.Machine == nil || e.marked == leads {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, markFor)
	defer cancel()
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
	list := profile.At(profile.ParamLeaders)
	raw, planted := d.Lookup(list)
	var entries []json.RawMessage
	isList := json.Unmarshal(raw, &entries) == nil && entries != nil
	if !leads {
		slots, err := d.Slots()
		if err != nil || !isList || adopted(slots[profile.Leader], uuid) {
			return nil, err
		}
		return unlist(entries, uuid), nil
	}
	record, _, err := d.Record(uuid)
	if err != nil {
		return nil, err
	}
	own := profile.Mirror{Address: record.Address, Name: record.Name, UUID: uuid}
	if isList {
		return enlist(entries, own, tenure), nil
	}
	c := tenure.Guard()
	if planted {
		c.Test(list, raw)
	}
	c.Set(list, []profile.Mirror{own})
	return c, nil
}

// adopted reports whether a slot names the member as old content left it: it is
// about to claim that slot, and its entry of before stays.
func adopted(slots map[string]profile.Slot, uuid string) bool {
	for _, s := range slots {
		if s.Holder == uuid && s.Instance == "" {
			return true
		}
	}
	return false
}

// unlist takes the first entry of the member out of the list; nil if there is
// none.
func unlist(entries []json.RawMessage, uuid string) *profile.Change {
	i := slices.IndexFunc(entries, func(entry json.RawMessage) bool { return profile.NamedBy(entry) == uuid })
	if i < 0 {
		return nil
	}
	c := &profile.Change{}
	c.Test(entryAt(i), entries[i])
	c.Remove(entryAt(i))
	return c
}

// enlist makes own the one entry of the member; nil if it is. A bare UUID, as
// old content has it, gives way to the object.
func enlist(entries []json.RawMessage, own profile.Mirror, tenure profile.Tenure) *profile.Change {
	listed := false
	for i, entry := range entries {
		if profile.NamedBy(entry) != own.UUID {
			continue
		}
		var found profile.Mirror
		if json.Unmarshal(entry, &found) == nil && found == own && !listed {
			listed = true
			continue
		}
		c := tenure.Guard()
		c.Test(entryAt(i), entry)
		c.Remove(entryAt(i))
		if !listed {
			c.Append(profile.At(profile.ParamLeaders), own)
		}
		return c
	}
	if listed {
		return nil
	}
	c := tenure.Guard()
	c.Append(profile.At(profile.ParamLeaders), own)
	return c
}

func entryAt(i int) profile.Pointer { return profile.At(profile.ParamLeaders, strconv.Itoa(i)) }

package profile

import (
	"bytes"
	"encoding/json"
	"fmt"
)

const recordShape = `{"name": string, "instance": string, "seq": integer, …}`

// records are those of a param that were decoded.
type records struct {
	raw     map[string]json.RawMessage
	decoded map[string]Record
}

// Members returns all records by UUID. Of two states of a view it decodes those
// that differ: there may be a thousand, of which one has changed.
func (d *Document) Members() (map[string]Record, error) {
	text := d.Params[ParamMembers]
	if known, ok := recall[records](d.memo, ParamMembers, text); ok {
		return known.decoded, nil
	}
	raw, err := d.rawRecords()
	if err != nil {
		return nil, err
	}
	before := last[records](d.memo, ParamMembers)
	now := records{raw, make(map[string]Record, len(raw))}
	for uuid, one := range raw {
		if r, ok := before.decoded[uuid]; ok && bytes.Equal(before.raw[uuid], one) {
			now.decoded[uuid] = r
			continue
		}
		var r Record
		if err := json.Unmarshal(one, &r); err != nil {
			return nil, unexpected(ParamMembers, "{UUID: "+recordShape+"}", text, fmt.Errorf("%s: %w", uuid, err))
		}
		now.decoded[uuid] = r
	}
	keep(d.memo, ParamMembers, text, now)
	return now.decoded, nil
}

// Record returns the record of one member, and whether there is one.
func (d *Document) Record(uuid string) (Record, bool, error) {
	var r Record
	all, err := d.rawRecords()
	raw, ok := all[uuid]
	if err != nil || !ok { // in what is no object nobody is known to be missing
		return r, false, err
	}
	if err := unmarshal(raw, &r); err != nil {
		return r, true, fmt.Errorf("%w: record of %s in %s: expected %s, found %s (%v)", ErrMalformed, uuid, ParamMembers, recordShape, clip(raw), err)
	}
	return r, true, nil
}

func (d *Document) rawRecords() (map[string]json.RawMessage, error) {
	return decode[map[string]json.RawMessage](d, ParamMembers, "{UUID: "+recordShape+"}")
}

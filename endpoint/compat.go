package endpoint

import (
	"bytes"
	"encoding/json"
	"slices"

	"muster/endpoint/rawjson"
)

// Fields that 3.13 does not have, by type; "" stands for every type. Machines
// keep Context: without it the present runner waits for its machine for ever.
var newerFields = map[string][]string{
	"":         {"CreatedBy", "CreatedAt", "LastModifiedBy", "LastModifiedAt"},
	"profiles": {"Profiles"},
	"machines": {
		"WorkflowComplete", "Pool", "PoolAllocated", "PoolStatus",
		"JobState", "JobExitState", "JobResultErrors",
		"WorkOrderMode", "PendingWorkOrders", "RunningWorkOrders",
	},
	"jobs": {"Context", "WorkOrder", "ResultErrors"},
}

// hidden returns the fields that clients do not see; nil values mean "drop".
func (s *store) hidden(prefix string) map[string][]byte {
	fields := map[string][]byte{}
	if prefix == "users" {
		fields["PasswordHash"] = nil
	}
	if s.compat313 {
		for _, name := range slices.Concat(newerFields[""], newerFields[prefix]) {
			fields[name] = nil
		}
	}
	return fields
}

// present returns an object as clients may see it.
func (s *store) present(prefix string, raw []byte) ([]byte, error) {
	hidden := s.hidden(prefix)
	if len(hidden) == 0 {
		return raw, nil
	}
	return rawjson.With(raw, hidden)
}

// restore puts the fields of old that clients do not see into raw, which was
// made from what they see.
func (s *store) restore(old *record, raw json.RawMessage) (json.RawMessage, error) {
	hidden := s.hidden(old.head.Prefix())
	if len(hidden) == 0 {
		return raw, nil
	}
	out := new(bytes.Buffer)
	err := rawjson.Each(raw, func(name string, value []byte) {
		if _, ok := hidden[name]; !ok {
			rawjson.WriteMember(out, name, value)
		}
	})
	if err != nil {
		return nil, err
	}
	err = rawjson.Each(old.raw, func(name string, value []byte) {
		if _, ok := hidden[name]; ok {
			rawjson.WriteMember(out, name, value)
		}
	})
	rawjson.EndObject(out)
	return out.Bytes(), err
}

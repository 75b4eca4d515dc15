package profile

import (
	"context"
	"encoding/json"
	"slices"
)

// ReadToJoin reads what a host needs to join the profile called name: the whole
// profile if state says that it may have joined before, or if its machine is not
// expected. Else it leaves out the records and the fact sheets, which are nearly all
// of a large profile: Join then supposes that the record is as the seed planted it,
// which its patch tests, and the answer to that brings the rest. Errors are those of
// Store.Read; whether this is a cluster profile at all is for Document.Check to say.
func ReadToJoin(ctx context.Context, store Store, name string, state State) (*Document, error) {
	if state.Instance != "" {
		return store.Read(ctx)
	}
	params, err := store.ReadParams(ctx, append(HotParams(), ParamExpected, ParamFactsBudget, ParamJoins)...)
	if err != nil {
		return nil, err
	}
	d := &Document{Name: name, Params: params, memo: newMemo()} // Join looks at the same again
	if e, err := d.Expected(); err != nil || !slices.Contains(e.Members, state.UUID) {
		return store.Read(ctx)
	}
	return d, nil
}

// supposed returns d with the member's record as the seed plants it, if d was read
// without records.
func (m *Member) supposed(d *Document) (*Document, error) {
	if _, read := d.Params[ParamMembers]; read {
		return d, nil
	}
	slots, err := d.Slots()
	if err != nil {
		return d, nil // which joining says
	}
	raw, err := json.Marshal(map[string]plantedRecord{m.state.UUID: plantRecord(sorted(slots))})
	if err != nil {
		return nil, err
	}
	return d.With(Params{ParamMembers: raw}, []string{ParamMembers}), nil
}

package profile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Set returns the plan that sets the param key to value under the tenure t: it
// tests the slot's instance and epoch, taken from the tenure, in the same patch
// (DESIGN, rule 7). ErrLost: the slot is not held under this tenure any more,
// and nothing was changed. ErrInvalid: the param is one of the contract, which
// only its verbs write, or value is no JSON.
func (t Tenure) Set(key string, value json.RawMessage) (Plan, error) {
	switch {
	case key == "" || strings.HasPrefix(key, "muster/") || slices.Contains(reserved, key):
		return nil, fmt.Errorf("%w: key: expected a param of your own, found %q, which is Muster's or empty", ErrInvalid, key)
	case !json.Valid(value) || unmarshal(value, new(any)) != nil:
		return nil, fmt.Errorf("%w: value: expected JSON other than null, found %s", ErrInvalid, clip(value))
	}
	return func(d *Document) (*Change, error) {
		s, err := d.slot(t.Role, t.Slot)
		if err != nil {
			return nil, err
		}
		if !t.Names(s) {
			return nil, fmt.Errorf("%w: slot %s/%s is not held in epoch %d by instance %.8s any more; nothing was changed", ErrLost, t.Role, t.Slot, t.Epoch, t.Instance)
		}
		c := t.Guard()
		c.Set(At(key), value)
		return c, nil
	}, nil
}

// reserved are the params of DRP's own names that the contract gives a meaning.
var reserved = []string{ParamProfile, ParamFilter, ParamLeaderCount, ParamLeaders, ParamEscape}

package drp

import (
	"encoding/json"
	"fmt"

	"gitlab.com/rackn/jp"
)

// names adds what holds only if the params have exactly these names. A test of
// an absent place always fails and a test of all params names every value, so the
// params are moved aside, those that are known are moved back one by one, and
// then nothing may be left (ADR 9). No value is in the patch, and none is
// changed: the whole patch is applied, or nothing of it.
func names(patcher *jp.Patcher, raw json.RawMessage) error {
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("names of params: %w", err)
	}
	params, aside := jp.PtrTo("Params"), jp.PtrTo("MusterAside")
	patcher.Move(aside, params)
	patcher.Add(params, struct{}{})
	for _, name := range list {
		patcher.Move(jp.PtrTo("Params", name), jp.PtrTo("MusterAside", name))
	}
	patcher.Test(aside, struct{}{})
	patcher.Remove(aside)
	return nil
}

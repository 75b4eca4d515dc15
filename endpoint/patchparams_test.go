package endpoint

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every row is patched in both ways: with the whole profile taken apart, and with
// no more than what the patch names.
func TestPatchOfParamsAloneEndsAsThatOfTheWholeProfile(t *testing.T) {
	for _, compat313 := range []bool{false, true} {
		s := newStore(compat313)
		plant := func(prefix, raw string) {
			t.Helper()
			err := s.update("user:root", func(tx *tx) error { _, err := tx.putRaw(prefix, []byte(raw)); return err })
			if err != nil {
				t.Fatal(err)
			}
		}
		plant("params", `{"Name":"m/count","Schema":{"type":"integer"}}`)
		plant("params", `{"Name":"m/secret","Secure":true,"Schema":{"type":"string"}}`)
		plant("profiles", `{"Name":"c1","Description":"d","Params":{"m/z":{"u2":{"seq":1},"u1":{}},"m/count":1,"m/list":[{"a":1}]}}`)
		alone := 0
		for _, patch := range []string{
			`[{"op":"test","path":"/Params/m~1z/u2/seq","value":1},{"op":"add","path":"/Params/m~1z/u2/seq","value":2},{"op":"add","path":"/Params/m~1new","value":{"b":1,"a":2}}]`,
			`[{"op":"test","path":"/Params/m~1z/u2/seq","value":9},{"op":"add","path":"/Params/m~1z/u2/seq","value":2}]`,
			`[{"op":"remove","path":"/Params/m~1z/u9"}]`,
			`[{"op":"add","path":"/Params/m~1z/u9/seq","value":1}]`,
			`[{"op":"replace","path":"/Params/m~1list/0/a","value":[]},{"op":"remove","path":"/Params/m~1z"}]`,
			`[{"op":"replace","path":"/Params/m~1count","value":"many"}]`,
			`[{"op":"replace","path":"/Params/m~1count","value":2}]`,
			`[{"op":"add","path":"/Params/m~1secret","value":"in clear"}]`,
			`[{"op":"add","path":"/Params/","value":1}]`,
			`[{"op":"add","path":"/Params/a~1b","value":1},{"op":"replace","path":"/Description","value":"e"}]`,
			`[{"op":"test","path":"/Params/m~1count","value":1}]`,
		} {
			ops, err := parsePatch([]byte(patch))
			if err != nil {
				t.Fatal(err)
			}
			var results [2]string
			for i := range results {
				_ = s.update("user:root", func(tx *tx) error {
					old := tx.record("profiles", "c1")
					rec, ok, err := tx.patchParams(old, ops)
					switch {
					case ok:
						alone++
					case i == 1: // as the whole, which was looked at
						results[i] = results[0]
						return nil
					}
					if i == 0 {
						var patched []byte
						if patched, err = ops.Apply(old.shown); err == nil {
							rec, err = tx.patched(old, patched)
						} else {
							err = patchError(err, old)
						}
					}
					results[i] = told(t, rec, err)
					return fmt.Errorf("undone")
				})
			}
			if diff := cmp.Diff(results[0], results[1]); diff != "" {
				t.Errorf("3.13 %v: %s (-whole +params):\n%s", compat313, patch, diff)
			}
		}
		if alone != 2*8 {
			t.Errorf("3.13 %v: %d patches were of params alone, want 16", compat313, alone)
		}
	}
}

// told is what a client learns of a patch, but for its time.
func told(t *testing.T, rec *record, err error) string {
	t.Helper()
	if err != nil {
		return err.Error()
	}
	var object map[string]any
	if err := json.Unmarshal(rec.shown, &object); err != nil {
		t.Fatal(err)
	}
	delete(object, "LastModifiedAt")
	var params any
	if err := json.Unmarshal(rec.params, &params); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal([]any{object, params, string(rec.key)})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

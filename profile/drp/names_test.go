package drp_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/rackn/jp"

	"muster/profile"
	"muster/profile/drp"
)

// The library that DRP 4 applies patches with, without the embedded endpoint
// around it.
func TestDRPsOwnLibraryTestsTheNamesOfTheParams(t *testing.T) {
	read := profile.Params{"site/a": json.RawMessage(`{"x":[1.50,{}]}`), "b~c": json.RawMessage(`""`), "größe 1": json.RawMessage(`null`)}
	c := &profile.Change{}
	c.TestNames(&profile.Document{Params: read})
	c.Set(profile.At("site/new"), 1)
	ops, err := c.Ops()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := drp.Patch(ops)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jp.NewPatch(raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct{ before, after string }{
		"as read": {
			`{"Name":"alpha","Params":{"site/a":{"x":[1.50,{}]},"b~c":"","größe 1":null},"Meta":{}}`,
			`{"Name":"alpha","Params":{"site/a":{"x":[1.50,{}]},"b~c":"","größe 1":null,"site/new":1},"Meta":{}}`,
		},
		"with other values": {
			`{"Name":"alpha","Params":{"b~c":[2],"site/a":{},"größe 1":7},"Meta":{}}`,
			`{"Name":"alpha","Params":{"b~c":[2],"site/a":{},"größe 1":7,"site/new":1},"Meta":{}}`,
		},
		"with the param that is to be new": {`{"Name":"alpha","Params":{"site/a":{},"b~c":"","größe 1":null,"site/new":null}}`, ""},
		"with another one":                 {`{"Name":"alpha","Params":{"site/a":{},"b~c":"","größe 1":null,"site/b":0}}`, ""},
		"with one less":                    {`{"Name":"alpha","Params":{"site/a":{},"b~c":""}}`, ""},
		"without params":                   {`{"Name":"alpha"}`, ""},
	} {
		after, err, _ := patch.Apply([]byte(try.before), nil)
		if try.after == "" {
			if err == nil {
				t.Errorf("%s: the patch is applied: %s", name, after)
			}
			continue
		}
		var got, want any
		if err != nil || json.Unmarshal(after, &got) != nil || json.Unmarshal([]byte(try.after), &want) != nil {
			t.Errorf("%s: %v: %s", name, err, after)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

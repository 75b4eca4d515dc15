package profile_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

func TestRecordsOfAViewAreThoseOfItsState(t *testing.T) {
	states := []string{
		`{"u1":{"name":"a","seq":1,"results":{"1":"complete"}},"u2":{"name":"b","seq":1}}`,
		`{"u1":{"name":"a","seq":1,"results":{"1":"complete"}},"u2":{"name":"b","seq":2}}`,
		`{"u2":{"name":"b","seq":2},"u3":{"name":"a","seq":1,"results":{"1":"complete"}}}`,
		`{"u2":{"name":"b","seq":"2"},"u3":{"name":"c"}}`, // edited by hand
		`{"u2":{"name":"b","seq":2},"u3":null}`,
		`{}`,
		`{"u1":{"name":"a","seq":1,"results":{"1":"failed"}},"u1":{"name":"a","seq":1,"results":{"1":"complete"}}}`,
	}
	view := profile.NewView(&profile.Document{})
	for _, text := range states {
		_, n := view.Latest()
		params := profile.Params{profile.ParamMembers: json.RawMessage(text)}
		view.PutParams(params, []string{profile.ParamMembers}, n)
		d, _ := view.Latest()
		var want map[string]profile.Record
		wantErr := json.Unmarshal([]byte(text), &want)
		for range 2 {
			got, err := d.Members()
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("%s: got %v, want %v", text, err, wantErr)
			}
			if diff := cmp.Diff(want, got); err == nil && diff != "" {
				t.Errorf("%s (-want +got):\n%s", text, diff)
			}
			for uuid, r := range maps.All(want) {
				if one, ok, err := d.Record(uuid); wantErr == nil && text != states[4] && (!ok || err != nil || !cmp.Equal(one, r)) {
					t.Errorf("%s: record of %s: %+v, %v, %v", text, uuid, one, ok, err)
				}
			}
		}
	}
}

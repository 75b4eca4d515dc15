package drp_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/drp"
)

func TestADryRunShowsTheVeryBodyThatWouldBeSentAndSendsNone(t *testing.T) {
	r := serve(t, "")
	var shown []string
	dry := drp.DryRun{
		Store: r.client(t).Profile("alpha", drp.Token("no token")),
		Show:  func(body json.RawMessage) error { shown = append(shown, string(body)); return nil },
	}
	c := &profile.Change{}
	c.Set(profile.At("muster/slots", "db/1", "a~b"), "<new>")
	c.Test(profile.At("muster/paused"), json.RawMessage(`1.0`))
	c.Remove(profile.At("muster/facts", "u1"))
	if _, err := dry.Apply(t.Context(), c); !errors.Is(err, drp.ErrDryRun) {
		t.Errorf("error %v, want %v", err, drp.ErrDryRun)
	}
	if err := dry.Create(t.Context(), "made", profile.Params{"a": json.RawMessage(`1.0`)}); !errors.Is(err, drp.ErrDryRun) {
		t.Errorf("error %v, want %v", err, drp.ErrDryRun)
	}
	want := []string{
		`[{"op":"test","path":"/Params/muster~1paused","value":1.0},` +
			`{"op":"add","path":"/Params/muster~1slots/db~11/a~0b","value":"\u003cnew\u003e"},` +
			`{"op":"remove","path":"/Params/muster~1facts/u1"}]`,
		`{"Description":"made","Name":"alpha","Params":{"a":1.0}}`,
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	unshown := errors.New("disk full")
	dry.Show = func(json.RawMessage) error { return unshown }
	if _, err := dry.Apply(t.Context(), c); !errors.Is(err, unshown) {
		t.Errorf("error %v, want %v", err, unshown)
	}
}

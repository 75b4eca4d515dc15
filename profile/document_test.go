package profile_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

// accessors are all that decode one param.
var accessors = []struct {
	param string
	read  func(*profile.Document) error
	wrong []string // values that people leave there
}{
	{profile.ParamRound, func(d *profile.Document) error { _, err := d.Round(); return err }, []string{`2`, `"2"`, `{"n":"2"}`, `[]`}},
	{profile.ParamExpected, func(d *profile.Document) error { _, err := d.Expected(); return err }, []string{`["u1"]`, `{"members":"u1"}`, `{"count":"2"}`}},
	{profile.ParamSlots, func(d *profile.Document) error { _, err := d.Slots(); return err }, []string{`[]`, `{"leader":[]}`, `{"leader":{"1":"u1"}}`, `{"leader":{"1":{"epoch":"7"}}}`}},
	{profile.ParamMembers, func(d *profile.Document) error { _, err := d.Members(); return err }, []string{`[]`, `{"u1":[]}`, `{"u1":{"seq":"1"}}`}},
	{profile.ParamMembers, func(d *profile.Document) error { _, _, err := d.Record("u1"); return err }, []string{`{"u1":[]}`, `{"u1":null}`, `{"u1":{"seq":1.5}}`}},
	{profile.ParamBarriers, func(d *profile.Document) error { _, _, err := d.Barrier("complete", 1); return err }, []string{`{"complete":{"1":"done"}}`, `{"complete":{"1":null}}`}},
	{profile.ParamLeaders, func(d *profile.Document) error { _, err := d.Mirrors(); return err }, []string{`{}`, `["u1"]`, `"u1"`}},
	{profile.ParamFacts, func(d *profile.Document) error { _, err := d.Facts(); return err }, []string{`[]`, `1`}},
	{profile.ParamFactsBudget, func(d *profile.Document) error { _, err := d.FactsBudget(); return err }, []string{`"2048"`, `1.5`}},
	{profile.ParamOps, func(d *profile.Document) error { _, err := d.Ops(); return err }, []string{`1`, `{"n":"1"}`}},
	{profile.ParamPaused, func(d *profile.Document) error { _, err := d.Paused(); return err }, []string{`"true"`, `1`}},
	{profile.ParamLeaderCount, func(d *profile.Document) error { _, _, err := d.SlotCount(profile.Leader); return err }, []string{`"3"`, `1.5`, `true`}},
	{profile.ParamRoles, func(d *profile.Document) error { _, _, err := d.SlotCount("db"); return err }, []string{`{"db":2}`, `[]`}},
	{profile.ParamFormat, func(d *profile.Document) error { return d.Check() }, []string{`"1"`, `{}`}},
}

// document is a seeded one, with raw in place of a param, or without it.
func document(t *testing.T, param, raw string) *profile.Document {
	t.Helper()
	seed := two()
	seed.Profile = cluster
	params, err := seed.Params()
	if err != nil {
		t.Fatal(err)
	}
	if params[param] = json.RawMessage(raw); raw == "" {
		delete(params, param)
	}
	return &profile.Document{Name: cluster, Params: params}
}

func TestAParamOfTheWrongTypeIsNamedWithWhatWasExpectedAndFound(t *testing.T) {
	for _, a := range accessors {
		if err := a.read(document(t, "", "")); err != nil {
			t.Errorf("%s as seeded: %v", a.param, err)
		}
		wrong := a.wrong
		if a.param != profile.ParamMembers && a.param != profile.ParamBarriers {
			wrong = append(wrong, `null`)
		}
		for _, raw := range wrong {
			err := a.read(document(t, a.param, raw))
			if !errors.Is(err, profile.ErrMalformed) {
				t.Errorf("%s: %s: error %v, want %v", a.param, raw, err, profile.ErrMalformed)
				continue
			}
			found := strings.TrimSuffix(strings.TrimPrefix(raw, `{"complete":{"1":`), `}}`)
			if strings.Contains(err.Error(), "record of") {
				found = strings.TrimSuffix(strings.TrimPrefix(raw, `{"u1":`), `}`)
			}
			for _, part := range []string{a.param, "expected ", found} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %s: %q does not say %q", a.param, raw, err, part)
				}
			}
		}
	}
}

func TestAnAbsentParamIsMalformedAndSaysHowToMendIt(t *testing.T) {
	for _, a := range accessors {
		switch a.param {
		case profile.ParamFormat: // not seeded, see below
			continue
		case profile.ParamMembers, profile.ParamBarriers: // one record or barrier may be absent
			continue
		}
		err := a.read(document(t, a.param, ""))
		if !errors.Is(err, profile.ErrMalformed) || !strings.Contains(err.Error(), a.param) || !strings.Contains(err.Error(), "muster seed") {
			t.Errorf("%s: error %v, want %v, with the param and the command that mends it", a.param, err, profile.ErrMalformed)
		}
	}
}

func TestALongValueIsCutInErrors(t *testing.T) {
	err := accessors[0].read(document(t, profile.ParamRound, `"`+strings.Repeat("ж", 500)+`"`))
	if err == nil || len(err.Error()) > 400 || strings.ContainsRune(err.Error(), '�') {
		t.Errorf("error %q, want a short and legible one", err)
	}
}

func TestCheckRefusesWhatIsNoProfileOfThisFormat(t *testing.T) {
	for _, test := range []struct {
		param, raw string
		want       error
		says       string
	}{
		{profile.ParamProfile, "", profile.ErrNotSeeded, "muster seed"},
		{profile.ParamFormat, "", profile.ErrNotSeeded, "muster seed"},
		{profile.ParamProfile, `"other"`, profile.ErrMalformed, cluster},
		{profile.ParamProfile, `["` + cluster + `"]`, profile.ErrMalformed, cluster},
		{profile.ParamProfile, `null`, profile.ErrMalformed, cluster},
		{profile.ParamFormat, `2`, profile.ErrMalformed, "upgrade"},
		{profile.ParamFormat, `1`, nil, ""},
	} {
		err := document(t, test.param, test.raw).Check()
		if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s %s: error %v, want %v that says %q", test.param, test.raw, err, test.want, test.says)
		}
	}
}

func TestEscapeIsItsPresence(t *testing.T) {
	for raw, want := range map[string]bool{"": false, `0`: true, `null`: true, `false`: true, `"x"`: true} {
		if got := document(t, profile.ParamEscape, raw).Escaped(); got != want {
			t.Errorf("Escaped with %q = %v, want %v", raw, got, want)
		}
	}
}

func TestOnlyFreeSlotsOfTheCountAreClaimable(t *testing.T) {
	const free = `{"holder":"","instance":""}`
	slots := `{"leader":{"10":` + free + `,"2":` + free + `,"1":{"holder":"u1","instance":"i"},"3":{"holder":"","instance":"i"},` +
		`"11":` + free + `,"0":` + free + `,"-1":` + free + `,"02":` + free + `,"x":` + free + `}}`
	d := document(t, profile.ParamSlots, slots)
	d.Params[profile.ParamLeaderCount] = json.RawMessage(`10`)
	got, err := d.Claimable(profile.Leader)
	if diff := cmp.Diff([]string{"2", "10"}, got); diff != "" || err != nil {
		t.Errorf("Claimable (-want +got), error %v:\n%s", err, diff)
	}
}

func TestPointersEscapeTheirParts(t *testing.T) {
	for want, parts := range map[profile.Pointer][]string{
		"/a~1b/c~0d":   {"a/b", "c~d"},
		"/~01/~10":     {"~1", "/0"},
		"/größe/a b.c": {"größe", "a b.c"},
		"/a/":          {"a", ""},
	} {
		got := profile.At(parts[0], parts[1:]...)
		if got != want {
			t.Errorf("At(%q) = %q, want %q", parts, got, want)
		}
		if diff := cmp.Diff(parts, got.Parts()); diff != "" {
			t.Errorf("Parts of %q (-want +got):\n%s", got, diff)
		}
	}
}

func TestWhatIsAbsentCannotBeTested(t *testing.T) {
	c := &profile.Change{}
	c.TestAsRead(document(t, "", ""), profile.At("muster/absent"))
	c.Set(profile.At("muster/absent"), 1)
	if _, err := c.Ops(); !errors.Is(err, profile.ErrMalformed) {
		t.Errorf("Ops: error %v, want %v", err, profile.ErrMalformed)
	}
}

func TestWithReplacesAddsAndRemovesOnACopy(t *testing.T) {
	d := &profile.Document{Params: profile.Params{"a": json.RawMessage(`1`), "b": json.RawMessage(`2`), "c": json.RawMessage(`3`)}}
	got := d.With(profile.Params{"a": json.RawMessage(`9`), "d": json.RawMessage(`4`)}, []string{"a", "b", "d"})
	want := profile.Params{"a": json.RawMessage(`9`), "c": json.RawMessage(`3`), "d": json.RawMessage(`4`)}
	if diff := cmp.Diff(want, got.Params); diff != "" {
		t.Errorf("With (-want +got):\n%s", diff)
	}
	if string(d.Params["a"]) != "1" || len(d.Params) != 3 {
		t.Errorf("the original has become %v", d.Params)
	}
	if got := (&profile.Document{}).With(want, []string{"a"}); string(got.Params["a"]) != "9" {
		t.Errorf("With on a document without params: %v", got.Params)
	}
}

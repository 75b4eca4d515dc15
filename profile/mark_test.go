package profile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"muster/profile"
	"muster/profile/profiletest"
)

// plain is a record as members write it.
const plain = `{"name":"a","address":"192.0.2.1","instance":"i","seq":7,"write":"w","life":"l","hardware":"h",` +
	`"run":{"n":1,"round":2,"round_id":"id","workflow":"install","job":"j","task":3,"state":"running","at":1800000000,"known":"k"},` +
	`"results":{"1":"complete","2":"failed"},"steps":{"s":{"round":1,"result":"done","exit":0}},"arrived":{"meet":"id"},"barred":{"leader":""},` +
	`"state":"joined","version":"1"}`

// marksAsDecoded holds the marks of d to what encoding/json makes of every record.
func marksAsDecoded(t *testing.T, d *profile.Document) {
	t.Helper()
	var raw map[string]json.RawMessage
	wantErr := json.Unmarshal(d.Params[profile.ParamMembers], &raw)
	got, err := d.Marks()
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s: got %v, want %v", d.Params[profile.ParamMembers], err, wantErr)
	}
	if err != nil {
		return
	}
	if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(raw)); !slices.Equal(a, b) {
		t.Fatalf("marks of %q, want of %q", a, b)
	}
	for uuid, text := range raw {
		var r profile.Record
		if json.Unmarshal(text, &r) != nil {
			r = profile.Record{}
		}
		want := profile.Mark{Name: r.Name, Life: r.Life, Results: r.Results, Arrived: r.Arrived, RunID: r.Run.RoundID, State: r.Run.State, At: r.Run.At}
		if diff := cmp.Diff(want, got[uuid], cmpopts.IgnoreUnexported(profile.Mark{}), cmpopts.EquateEmpty()); diff != "" || got[uuid].Joined() != r.Joined() {
			t.Errorf("%s: joined is %v, want %v (-want +got):\n%s", text, got[uuid].Joined(), r.Joined(), diff)
		}
	}
}

// among returns a document with this record beside a plain one.
func among(record string) *profile.Document {
	return &profile.Document{Params: profile.Params{profile.ParamMembers: json.RawMessage(`{"u1":` + record + `,"u2":` + plain + `}`)}}
}

// FuzzMarks holds Marks to encoding/json.
func FuzzMarks(f *testing.F) {
	for _, record := range []string{
		plain, `{}`, ` { } `, `null`, `[]`, `5`, `"x"`, `true`, `{"instance":"i"}`, `{"INSTANCE":"i"}`, `{"instance":"i","Instance":""}`, `{"\u0069nstance":"\u0069"}`,
		`{"in\u017ftance":"i","\u212anown":1}`, `{"instance":"` + "\xff" + `","results":{"` + "\xff" + `":"a","` + "\xfe" + `":"b"}}`, `{"instance":"i","later":[{}]}`,
		`{"instance":"i","results":{"1":"a"},"results":{"2":"b"}}`, `{"instance":"i","results":{"1":"a","1":"b"}}`, `{"instance":"i","results":null}`,
		`{"instance":"i","results":{"1":null}}`, `{"instance":"i","seq":9223372036854775807}`, `{"instance":"i","seq":9223372036854775808}`, `{"instance":"i","seq":-0}`,
	} {
		f.Add([]byte(record))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		if json.Valid(record) {
			marksAsDecoded(t, among(string(record)))
		}
	})
}

func TestAMarkIsThatOfTheRecordWhateverAValueInItBecomes(t *testing.T) {
	var whole map[string]json.RawMessage
	if err := json.Unmarshal([]byte(plain), &whole); err != nil {
		t.Fatal(err)
	}
	values := []string{
		`null`, `true`, `"x"`, `""`, `"\u00e4\n"`, `5`, `-5`, `0`, `-0`, `1.0`, `1e3`, `2147483648`, `99999999999`, `9223372036854775808`, `[]`, `["x"]`, `{}`, `{"x":5}`,
		`{"x":null}`, `{"x":"y"}`, `{"x":"y","x":"z"}`, `{"x":{}}`, `{"x":{"round":1,"round":2}}`, `{"x":{"round":"1"}}`, `{"x":{"Exit":1}}`, `{"x":{"exit":1.5}}`, `{"x":{"y":1}}`,
	}
	try := func(name, was, value string) {
		for _, name := range []string{name, strings.ToUpper(name), name + "_"} {
			member := fmt.Sprintf(`%q:%s`, name, value)
			marksAsDecoded(t, among(strings.Replace(plain, was, member, 1)))
			marksAsDecoded(t, among(strings.Replace(plain, was, was+","+member, 1)))
			marksAsDecoded(t, among(strings.Replace(plain, was, member+","+was, 1)))
		}
	}
	for _, value := range values {
		marksAsDecoded(t, among(value))
		for name, now := range whole {
			try(name, fmt.Sprintf("%q:%s", name, now), value)
		}
		for name, was := range map[string]string{"n": `"n":1`, "round": `"round":2`, "round_id": `"round_id":"id"`, "task": `"task":3`, "state": `"state":"running"`, "at": `"at":1800000000`, "known": `"known":"k"`} {
			try(name, was, value)
		}
	}
}

func TestMarksOfAViewAreThoseOfItsState(t *testing.T) {
	states := []string{
		`{"u1":` + plain + `,"u2":{"name":"b","instance":"i"}}`,
		`{"u1":` + plain + `,"u2":{"name":"b","instance":"j","results":{"1":"complete"}}}`,
		`{"u2":` + plain + `,"u1":{"name":"b","instance":"j","results":{"1":"complete"}}}`,
		`{"u2":` + plain + `,"u1":{"name":"b","instance":"j","results":5}}`, // edited by hand
		`{"u2":` + plain + `,"u1":{"name":"b","instance":"j","seq":"x"},"u1":{"name":"c","instance":"i"}}`,
		`null`, `{}`, `[]`, `{"u1":`, `{"u1":` + plain + `}`,
	}
	view := profile.NewView(&profile.Document{})
	for range 2 {
		for _, text := range states {
			_, n := view.Latest()
			view.PutParams(profile.Params{profile.ParamMembers: json.RawMessage(text)}, []string{profile.ParamMembers}, n)
			d, _ := view.Latest()
			marksAsDecoded(t, d)
			marksAsDecoded(t, d) // as it is kept
		}
	}
}

func TestMarksSayWhatIsWrongAsRecordsDo(t *testing.T) {
	for text, d := range map[string]*profile.Document{
		"absent": {}, "an array": {Params: profile.Params{profile.ParamMembers: json.RawMessage(`[]`)}},
	} {
		_, want := d.Members()
		if _, err := d.Marks(); err == nil || err.Error() != want.Error() {
			t.Errorf("%s: got %v, want %v", text, err, want)
		}
	}
}

// What members write must not be left to encoding/json, which makes many more
// objects of it.
func TestMarksOfPlainRecordsAreReadWithoutDecodingThem(t *testing.T) {
	params, err := profiletest.Large(100)
	if err != nil {
		t.Fatal(err)
	}
	objects := func(records json.RawMessage) float64 {
		d := &profile.Document{Params: profile.Params{profile.ParamMembers: records}}
		return testing.AllocsPerRun(10, func() { _, _ = d.Marks() })
	}
	whole := json.RawMessage(`{"u1":` + plain + `,"u2":` + plain + `}`)
	for what, records := range map[string]json.RawMessage{"after a round": params[profile.ParamMembers], "with every member": whole} {
		odd := bytes.ReplaceAll(records, []byte(`"seq":`), []byte(`"SEQ":`))
		if lean, decoded := objects(records), objects(odd); lean > decoded/2 {
			t.Errorf("%s: %v objects are made, and %v by decoding all", what, lean, decoded)
		}
	}
}

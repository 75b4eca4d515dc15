package profile_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"muster/profile"
	"muster/profile/profiletest"
)

func large(b *testing.B) profile.Params {
	b.Helper()
	params, err := profiletest.Large(1000)
	if err != nil {
		b.Fatal(err)
	}
	return params
}

// The records of a thousand members, of a document that nobody has decoded yet.
func BenchmarkDecodeAThousandRecords(b *testing.B) {
	params := large(b)
	b.SetBytes(int64(len(params[profile.ParamMembers])))
	b.ReportAllocs()
	for b.Loop() {
		d := &profile.Document{Params: params}
		if records, err := d.Members(); err != nil || len(records) != 1000 {
			b.Fatal(len(records), err)
		}
	}
}

// The same of the next state of a view, in which one member has changed.
func BenchmarkDecodeAThousandRecordsOfWhichOneChanged(b *testing.B) {
	params := large(b)
	var texts [2]json.RawMessage
	for i, name := range []string{"node-x001", "node-y001"} {
		texts[i] = bytes.Replace(params[profile.ParamMembers], []byte("node-0001"), []byte(name), 1)
	}
	view := profile.NewView(&profile.Document{Params: params})
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		_, before := view.Latest()
		view.PutParams(profile.Params{profile.ParamMembers: bytes.Clone(texts[n%2])}, []string{profile.ParamMembers}, before)
		d, _ := view.Latest()
		if records, err := d.Members(); err != nil || len(records) != 1000 {
			b.Fatal(len(records), err)
		}
	}
}

// One member's own record, and what a guarded change of it tests.
func BenchmarkOwnRecordAmongAThousand(b *testing.B) {
	params := large(b)
	uuid := profiletest.UUID(500)
	b.ReportAllocs()
	for b.Loop() {
		d, _ := profile.NewView(&profile.Document{Params: params}).Latest()
		if _, ok, err := d.Record(uuid); err != nil || !ok {
			b.Fatal(ok, err)
		}
		c := &profile.Change{}
		c.TestAsRead(d, profile.At(profile.ParamMembers, uuid, "seq"))
		c.TestAsRead(d, profile.At(profile.ParamMembers, uuid, "instance"))
		c.Set(profile.At(profile.ParamMembers, uuid, "seq"), 3)
		if _, err := c.Ops(); err != nil {
			b.Fatal(err)
		}
	}
}

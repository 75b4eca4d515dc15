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

// What a barrier looks at in the records of a thousand members, of a document that
// nobody has looked at yet.
func BenchmarkMarkAThousandRecords(b *testing.B) {
	params := large(b)
	b.SetBytes(int64(len(params[profile.ParamMembers])))
	b.ReportAllocs()
	for b.Loop() {
		d := &profile.Document{Params: params}
		if marks, err := d.Marks(); err != nil || len(marks) != 1000 {
			b.Fatal(len(marks), err)
		}
	}
}

// All records of the next state of a view, in which one member has changed.
func BenchmarkDecodeAThousandRecordsOfWhichOneChanged(b *testing.B) {
	ofWhichOneChanged(b, func(d *profile.Document) (int, error) {
		records, err := d.Members()
		return len(records), err
	})
}

// What a barrier looks at in them.
func BenchmarkMarkAThousandRecordsOfWhichOneChanged(b *testing.B) {
	ofWhichOneChanged(b, func(d *profile.Document) (int, error) {
		marks, err := d.Marks()
		return len(marks), err
	})
}

func ofWhichOneChanged(b *testing.B, look func(*profile.Document) (int, error)) {
	b.Helper()
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
		if n, err := look(d); err != nil || n != 1000 {
			b.Fatal(n, err)
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

package drp

import (
	"encoding/json"
	"testing"

	"muster/profile"
	"muster/profile/profiletest"
)

// An answer with the profile of a thousand members.
func BenchmarkDecodeAThousandMembers(b *testing.B) {
	params, err := profiletest.Large(1000)
	if err != nil {
		b.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"Name": profiletest.Name, "Params": params})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var p wireProfile
		if err := p.decode(body); err != nil || len(p.params) != len(params) {
			b.Fatal(len(p.params), err)
		}
	}
}

// The completion of one member, as it is sent.
func BenchmarkEncodeAGuardedChange(b *testing.B) {
	uuid := profiletest.UUID(1)
	b.ReportAllocs()
	for b.Loop() {
		c := &profile.Change{}
		c.Test(profile.At(profile.ParamBarriers, "complete", "1", "id"), json.RawMessage(`"0123456789abcdef"`))
		c.Test(profile.At(profile.ParamMembers, uuid, "seq"), json.RawMessage(`1`))
		c.Set(profile.At(profile.ParamMembers, uuid, "results", "1"), profile.Complete)
		c.Set(profile.At(profile.ParamMembers, uuid, "run"), profile.Run{N: 1, Round: 1, State: profile.Complete})
		c.Set(profile.At(profile.ParamMembers, uuid, "seq"), 2)
		c.Set(profile.At(profile.ParamMembers, uuid, "write"), "0123456789abcdef")
		if _, err := encode(c); err != nil {
			b.Fatal(err)
		}
	}
}

package election

import (
	"testing"

	"muster/profile"
	"muster/profile/profiletest"
)

// The place of one of a thousand members.
func BenchmarkRankAmongAThousand(b *testing.B) {
	params, err := profiletest.Large(1000)
	if err != nil {
		b.Fatal(err)
	}
	view := profile.NewView(&profile.Document{Name: profiletest.Name, Params: params})
	member := profile.NewMember(profile.MemberConfig{View: view, State: profile.State{UUID: profiletest.UUID(500)}})
	e := New(Config{Member: member, View: view})
	d, _ := view.Latest()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.rank(d, profile.Leader); err != nil {
			b.Fatal(err)
		}
	}
}

package jsonpatch

import (
	"encoding/json"
	"fmt"
	"testing"

	"muster/profile/profiletest"
)

// The text of all records, after each of a thousand members has changed its own.
func BenchmarkPickAThousandChangedMembers(b *testing.B) {
	params, err := profiletest.Large(1000)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := json.Marshal(params)
	if err != nil {
		b.Fatal(err)
	}
	tree := NewTree(raw)
	for n := range 1000 {
		patch, err := Parse(fmt.Appendf(nil, `[{"op":"add","path":"/Params/muster~1members/%s/seq","value":7}]`, profiletest.UUID(n)))
		if err != nil {
			b.Fatal(err)
		}
		inside, _ := patch.Inside("Params")
		if tree, err = inside.ApplyTo(tree); err != nil {
			b.Fatal(err)
		}
	}
	wanted := func(name string) bool { return name == "muster/members" }
	b.SetBytes(int64(len(tree.Pick(wanted))))
	b.ReportAllocs()
	for b.Loop() {
		tree.Pick(wanted)
	}
}

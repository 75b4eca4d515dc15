package endpoint

import (
	"encoding/json"
	"fmt"
	"testing"

	"muster/profile/profiletest"
)

// The completion of one of a thousand members, applied under the store's lock.
func BenchmarkPatchAThousandMembers(b *testing.B) {
	params, err := profiletest.Large(1000)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"Name": profiletest.Name, "Params": params})
	if err != nil {
		b.Fatal(err)
	}
	s := newStore(false)
	err = s.update("user:bench", func(t *tx) error {
		_, err := t.putRaw("profiles", raw)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for n := 2; b.Loop(); n++ {
		member := "/Params/muster~1members/" + profiletest.UUID(n%1000)
		ops, err := parsePatch(fmt.Appendf(nil, `[{"op":"test","path":"%[1]s/instance","value":"0123456789abcdef0123456789abcdef"},`+
			`{"op":"add","path":"%[1]s/results/1","value":"complete"},{"op":"add","path":"%[1]s/seq","value":%[2]d},{"op":"add","path":"%[1]s/write","value":"%[2]d"}]`, member, n))
		if err != nil {
			b.Fatal(err)
		}
		err = s.update("user:bench", func(t *tx) error {
			_, err := t.patch(t.record("profiles", profiletest.Name), ops)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

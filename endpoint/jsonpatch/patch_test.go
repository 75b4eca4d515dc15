package jsonpatch

import (
	"errors"
	"strings"
	"testing"
)

func TestPatchBombsEnd(t *testing.T) {
	doc := []byte(`{"a":[` + strings.Repeat("1,", 300_000) + `1]}`)
	ops := make([]string, maxOps)
	for i := range ops {
		ops[i] = `{"op":"add","path":"/a/0","value":1}`
	}
	p, err := Parse([]byte("[" + strings.Join(ops, ",") + "]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Apply(doc); err == nil || !errors.Is(err.(*OpError).Err, errTooSlow) {
		t.Errorf("got %v", err)
	}
	small := []byte(`{"a":["` + strings.Repeat("x", 100_000) + `"]}`)
	for _, row := range []struct{ patch, want string }{
		{`[{"op":"add","path":"/a/99999999","value":1}]`, "Path not found."},
		{`[{"op":"add","path":"/a/99999999999999999999999","value":1}]`, "Path not found."},
		{`[{"op":"add","path":"/a/-1/x","value":1}]`, ""},
		{`[{"op":"add","path":"` + strings.Repeat("/a", maxDepth+1) + `","value":1}]`, "Not a JSON pointer."},
		{`[` + strings.TrimSuffix(strings.Repeat(`{"op":"copy","from":"/a","path":"/b"},`, 100), ",") + `]`, "Patch copies too much."},
	} {
		p, err := Parse([]byte(row.patch))
		if err == nil {
			_, err = p.Apply(small)
		}
		if err == nil || row.want != "" && err.Error() != row.want {
			t.Errorf("%.60s: %v", row.patch, err)
		}
	}
}

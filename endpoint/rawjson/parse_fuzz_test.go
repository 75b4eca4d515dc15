package rawjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// FuzzParse holds what Parse accepts to what the store relies on.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		``, ` `, `null`, `{"a":1}`, `{"a":1,"a":2}`, `[1e400]`, `-0`, `1e-999999999`, `"\ud800"`, "\"\xff\"", `"\u0000"`,
		`{"a" : [ 1 , {"b":null} ] }`, `{} {}`, nested(MaxDepth + 1), strings.Repeat("9", MaxNumber+1), `["\"[{", "\\"]`, `-`, `1e5`, `+1`,
		strings.Repeat("9", 309), // found by fuzzing: Go cannot decode it
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		body, err := Parse(raw)
		if err != nil || body == nil {
			return
		}
		if !json.Valid(body) || !utf8.Valid(body) {
			t.Fatalf("%q became %q", raw, body)
		}
		again, err := Parse(body)
		if err != nil || !bytes.Equal(again, body) {
			t.Fatalf("%q read again is %q, %v", body, again, err)
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("%q cannot be decoded: %v", body, err)
		}
	})
}

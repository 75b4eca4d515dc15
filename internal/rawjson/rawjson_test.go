package rawjson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"muster/internal/rawjson"
)

// FuzzObject holds Object to encoding/json.
func FuzzObject(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { "a" : 1 , "b":[ true , false , null ] } `, `{"a":{"b":{"c":"d"}},"a":2}`, `{"a":-0.5e+10,"b":0,"c":1E5}`,
		`{"\u0061\n\"":"\ud83d\ude00 \\ \/"}`, `{"ä":"ö","` + "\xff" + `":1}`, `{"":""}`, `[]`, `null`, `"a"`, `1`, ``, ` `,
		`{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{a:1}`, `{"a":01}`, `{"a":1.}`, `{"a":.1}`, `{"a":1e}`, `{"a":-}`, `{"a":+1}`,
		`{"a":tru}`, `{"a":nulll}`, `{"a":"` + "\n" + `"}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u12`, `{"a":"`, `{"a":"\`, `{"a":[1,]}`, `{"a":[1 2]}`,
		`{"a":[`, `{"a":1`, `{`, `{"a":1}}`, `{"a":1} x`, `{"a":1}` + "\x00",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		got, err := rawjson.Object(text)
		if !bytes.Equal(text, before) {
			t.Fatalf("%q became %q", before, text)
		}
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(text, &want)
		if want == nil && wantErr == nil { // null
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: got %v, want %v", text, err, wantErr)
		}
		if err == nil && !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Fatalf("%q: got %s, want %s", text, got, want)
		}
		for _, value := range got {
			var want string
			if value[0] != '"' || json.Unmarshal(value, &want) != nil {
				continue
			}
			if got := rawjson.String(value); got != want {
				t.Fatalf("%s: got %q, want %q", value, got, want)
			}
		}
	})
}

func TestWhatIsNestedTooDeeplyIsRefusedAsByEncodingJSON(t *testing.T) {
	for _, depth := range []int{9_998, 9_999, 10_000, 10_001, 2_000_000} {
		for _, brackets := range []string{"[]", "{}"} {
			open, value := brackets[:1], "1"
			if brackets == "{}" {
				open = `{"a":`
			}
			text := []byte(`{"a":` + strings.Repeat(open, depth) + value + strings.Repeat(brackets[1:], depth) + `}`)
			_, err := rawjson.Object(text)
			if valid := json.Valid(text); valid != (err == nil) {
				t.Errorf("%d times %s: got %v, encoding/json takes it: %v", depth, brackets, err, valid)
			}
		}
	}
}

func BenchmarkObject(b *testing.B) {
	var text bytes.Buffer
	text.WriteString("{")
	for i := range 1000 {
		fmt.Fprintf(&text, `"00000000-0000-4000-8000-%012d":{"name":"node-%d","address":"192.0.2.1","instance":"0123456789abcdef","seq":7,"results":{"1":"complete"},"barred":{"leader":""}},`, i, i)
	}
	text.WriteString(`"end":{}}`)
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := rawjson.Object(text.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkObjectByEncodingJSON(b *testing.B) {
	var text bytes.Buffer
	text.WriteString("{")
	for i := range 1000 {
		fmt.Fprintf(&text, `"00000000-0000-4000-8000-%012d":{"name":"node-%d","address":"192.0.2.1","instance":"0123456789abcdef","seq":7,"results":{"1":"complete"},"barred":{"leader":""}},`, i, i)
	}
	text.WriteString(`"end":{}}`)
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(text.Bytes(), &m); err != nil {
			b.Fatal(err)
		}
	}
}

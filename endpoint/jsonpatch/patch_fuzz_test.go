package jsonpatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gitlab.com/rackn/jp"

	"muster/endpoint/rawjson"
)

// FuzzPatch holds patches to a straightforward reading of RFC 6902, and to their
// bounds: whatever the patch, the document stays as it was, and the result is
// JSON of bounded size.
func FuzzPatch(f *testing.F) {
	const doc = `{"Name":"c1","Params":{"a":1,"b/c":[1,2,{"x~y":null}],"":"empty"},"Meta":{"k":"v"}}`
	for _, patch := range []string{
		`[]`,
		`[{"op":"test","path":"/Params/a","value":1},{"op":"replace","path":"/Params/a","value":2}]`,
		`[{"op":"test","path":"","value":{"a":1}}]`,
		`[{"op":"add","path":"/Params/b~1c/-","value":[]},{"op":"remove","path":"/Params/b~1c/0"}]`,
		`[{"op":"move","from":"/Params","path":"/Params/x"}]`,
		`[{"op":"move","from":"/Params/a","path":"/Params/b~1c/2/x~0y"},{"op":"copy","from":"/Meta","path":"/Params/m"}]`,
		`[{"op":"copy","from":"","path":"/Params/self"},{"op":"copy","from":"","path":"/Params/self2"}]`,
		`[{"op":"add","path":"","value":{}},{"op":"add","path":"/","value":1}]`,
		`[{"op":"add","path":"/Params/b~1c/99999999","value":0}]`,
		`[{"op":"add","path":"/Params/b~1c/-1","value":0},{"op":"add","path":"/Params/b~1c/01","value":0}]`,
		`[{"op":"remove","path":""}]`,
		`[{"op":"test","path":"/Params/a","value":1.0},{"op":"test","path":"/Params/a","value":10e-1}]`,
		`[{"op":"missing","path":"/x"}]`,
		`[null]`, `[{}]`, `{}`, `[{"op":"test","path":"/~2"}]`,
	} {
		f.Add(doc, patch)
	}
	for _, patch := range []string{
		`[{"op":"test","path":"/Params/m/u1/seq","value":1},{"op":"add","path":"/Params/m/u1/seq","value":2},{"op":"add","path":"/Params/m/u3","value":{"seq":0}}]`,
		`[{"op":"remove","path":"/Params/m/u2"},{"op":"add","path":"/Params/m/u2","value":[]},{"op":"add","path":"/Params/m/u2/-","value":{"a":1.50}}]`,
		`[{"op":"replace","path":"/Params/m/u1/r/1","value":"x"},{"op":"test","path":"/Params/m","value":{"u1":{"seq":1,"r":{"1":"x"}},"u2":{}}},{"op":"remove","path":"/Params/m"}]`,
		`[{"op":"replace","path":"/Params/n","value":1}]`, `[{"op":"add","path":"/Params/l/0/a","value":1},{"op":"remove","path":"/Params/s/0"}]`,
		`[{"op":"add","path":"/Params/a~1b","value":"ä"},{"op":"test","path":"/Params/a~1b","value":"\u00e4"},{"op":"add","path":"/Params/","value":{}}]`,
	} {
		f.Add(`{"Name":"c1","Params":{"m":{"u2":{},"u1":{"seq":1,"r":{"1":"y"}}},"l":[{}],"s":"text"}}`, patch)
	}
	f.Add(`{"a":[[[]]]}`, `[{"op":"copy","from":"/a","path":"/a/0/0"},{"op":"test","path":"/a/0","value":[[]]}]`)
	// Found by fuzzing: the library panicked, and took one key for another.
	f.Add(`{"Params":{"b/c":[]},"X":{}}`, `[{"op":"add","path":"/X00000000/","value":"0"}]`)
	f.Add(`{"P":{"a":1,"a b":2,"a!":3}}`, `[{"op":"replace","path":"/P/a b","value":0},{"op":"remove","path":"/P/a!"}]`)
	// Likewise: the library writes 0.0 as 0, which it does not take for equal.
	f.Add(`{"":[[[0.0]]]}`, ``)
	f.Fuzz(func(t *testing.T, docText, patchText string) {
		doc, err := rawjson.Parse([]byte(docText))
		if err != nil || len(doc) == 0 {
			return
		}
		body, err := rawjson.Parse([]byte(patchText))
		if err != nil {
			return
		}
		ops, err := Parse(body)
		if err != nil {
			return
		}
		before := bytes.Clone(doc)
		out, err := ops.Apply(doc)
		if !bytes.Equal(doc, before) {
			t.Fatalf("the document became %s", doc)
		}
		if err != nil {
			if _, ok := errors.AsType[*OpError](err); !ok || out != nil {
				t.Fatalf("failed with %v and %s", err, out)
			}
		} else {
			if !json.Valid(out) {
				t.Fatalf("result %s", out)
			}
			if len(out) > 2*len(doc)+2*maxBytes {
				t.Fatalf("result of %d bytes", len(out))
			}
			if !ops.Changes() && !same(t, out, doc) {
				t.Fatalf("tests alone changed %s to %s", doc, out)
			}
		}
		holdTree(t, doc, ops, out, err)
		if oddIndex.MatchString(patchText) {
			return // the library knows indexes that the RFC does not
		}
		want, ok := reference(t, doc, ops)
		if ok != (err == nil) {
			t.Fatalf("patch ends with %v, expected success %v", err, ok)
		}
		if ok && !same(t, out, want) {
			t.Fatalf("result %s, want %s", out, want)
		}
	})
}

// holdTree holds patches of trees to those of documents.
func holdTree(t *testing.T, doc []byte, ops Patch, want []byte, wantErr error) {
	t.Helper()
	params := rawjson.Lookup(doc, "Params")
	inside, ok := ops.Inside("Params")
	if !ok || len(params) == 0 || params[0] != '{' {
		return
	}
	before := NewTree(params)
	got, err := inside.ApplyTo(before)
	if text := before.Text(); !bytes.Equal(text, params) {
		t.Fatalf("the tree became %s", text)
	}
	if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
		t.Fatalf("a tree's patch ends with %v, want %v", err, wantErr)
	}
	if err != nil {
		return
	}
	if patched := rawjson.Lookup(want, "Params"); !same(t, got.Text(), patched) {
		t.Fatalf("a tree became %s, want %s", got.Text(), patched)
	}
	if a, b := got.CheckShape(before, 2), rawjson.CheckShapeBelow(got.Text(), 2); rawjson.CheckShape(doc) == nil && (a == nil) != (b == nil) {
		t.Fatalf("the shape of %s: %v, want %v", got.Text(), a, b)
	}
}

// same reports whether two documents have the same values, however their numbers
// are written.
func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	if jp.Equal(a, b) {
		return true
	}
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// oddIndex matches array indexes that are negative, in brackets, or begin with 0.
var oddIndex = regexp.MustCompile(`/-[^"/]|/[+0][0-9]|\[[-0-9]+\]|\\`)

var errReference = errors.New("no")

// reference applies a patch in the simplest way.
func reference(t *testing.T, doc []byte, ops Patch) ([]byte, bool) {
	t.Helper()
	tree := decodeExact(t, doc)
	for _, o := range ops {
		var value any
		var err error
		switch o.Op {
		case "move", "copy":
			if value, err = fetch(tree, pathOf(*o.From)); err != nil {
				return nil, false
			}
			value = decodeExact(t, encodeExact(t, value)) // a copy
			if o.Op == "move" {
				if *o.From == *o.Path {
					continue
				}
				if strings.HasPrefix(*o.Path, *o.From+"/") {
					return nil, false
				}
				if tree, err = alter(tree, pathOf(*o.From), "remove", nil); err != nil {
					return nil, false
				}
			}
		case "add", "replace", "test":
			value = decodeExact(t, o.Value)
		}
		switch o.Op {
		case "test":
			have, err := fetch(tree, pathOf(*o.Path))
			if err != nil || !jp.Equal(encodeExact(t, have), encodeExact(t, value)) {
				return nil, false
			}
			continue
		case "remove", "replace":
			tree, err = alter(tree, pathOf(*o.Path), o.Op, value)
		default:
			tree, err = alter(tree, pathOf(*o.Path), "add", value)
		}
		if err != nil {
			return nil, false
		}
	}
	return encodeExact(t, tree), true
}

func pathOf(pointer string) []string {
	steps := strings.Split(pointer, "/")[1:]
	for i := range steps {
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(steps[i])
	}
	return steps
}

func fetch(tree any, steps []string) (any, error) {
	for _, step := range steps {
		switch here := tree.(type) {
		case map[string]any:
			v, ok := here[step]
			if !ok {
				return nil, errReference
			}
			tree = v
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(here) {
				return nil, errReference
			}
			tree = here[i]
		default:
			return nil, errReference
		}
	}
	return tree, nil
}

// alter returns the tree with one change.
func alter(tree any, steps []string, op string, value any) (any, error) {
	if len(steps) == 0 {
		if op == "remove" {
			return nil, errReference
		}
		return value, nil
	}
	step, last := steps[0], len(steps) == 1
	switch here := tree.(type) {
	case map[string]any:
		old, ok := here[step]
		switch {
		case !last:
			if !ok {
				return nil, errReference
			}
			next, err := alter(old, steps[1:], op, value)
			here[step] = next
			return here, err
		case op != "add" && !ok:
			return nil, errReference
		case op == "remove":
			delete(here, step)
		default:
			here[step] = value
		}
		return here, nil
	case []any:
		i, err := strconv.Atoi(step)
		if step == "-" && op == "add" && last {
			i, err = len(here), nil
		}
		most := len(here) - 1
		if op == "add" && last {
			most++
		}
		if err != nil || i < 0 || i > most {
			return nil, errReference
		}
		switch {
		case !last:
			here[i], err = alter(here[i], steps[1:], op, value)
			return here, err
		case op == "add":
			return slices.Insert(here, i, value), nil
		case op == "remove":
			return slices.Delete(here, i, i+1), nil
		}
		here[i] = value
		return here, nil
	}
	return nil, errReference
}

func decodeExact(t *testing.T, raw []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return v
}

func encodeExact(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

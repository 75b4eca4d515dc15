package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// state is the document. It is not changed once it is sealed; states share what
// they have in common.
type state struct {
	params map[string]any    // decoded; numbers as their text
	texts  map[string]string // canonical, by param
	key    string            // tells documents apart
	open   map[int]*compiled // see glance
	over   bool
}

func (s state) same(other state) bool {
	if len(s.open) != len(other.open) || s.over != other.over || s.key != other.key {
		return false
	}
	for id := range s.open {
		if _, also := other.open[id]; !also {
			return false
		}
	}
	return true
}

// sealed returns the state with its texts.
func (s state) sealed() state {
	s.texts = make(map[string]string, len(s.params))
	for name, v := range s.params {
		s.texts[name] = canonical(v)
	}
	return s.keyed()
}

func (s state) keyed() state {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.texts)) {
		fmt.Fprintf(&b, "%s=%s\n", name, s.texts[name])
	}
	s.key = b.String()
	return s
}

func (s state) canonical(name string) string {
	if text, ok := s.texts[name]; ok {
		return text
	}
	return "null"
}

// apply returns the state after a patch, and whether the patch can be applied.
func (s state) apply(patch []step) (state, bool) {
	after := state{params: maps.Clone(s.params), texts: maps.Clone(s.texts), over: s.over}
	touched := map[string]bool{}
	var root any = after.params
	for _, op := range patch {
		if op.Kind == "test" {
			found, ok := lookup(root, op.Path)
			if !ok || canonical(found) != canonical(op.value) {
				return s, false
			}
			continue
		}
		changed, ok := put(root, op.Path, op)
		if !ok {
			return s, false
		}
		root = changed
		touched[op.Path[0]] = true
	}
	after.params = root.(map[string]any)
	for name := range touched {
		delete(after.texts, name)
		if v, ok := after.params[name]; ok {
			after.texts[name] = canonical(v)
		}
	}
	return after.keyed(), true
}

func lookup(v any, path []string) (any, bool) {
	for _, part := range path {
		var ok bool
		switch node := v.(type) {
		case map[string]any:
			v, ok = node[part]
		case []any:
			i, err := strconv.Atoi(part)
			if ok = err == nil && i >= 0 && i < len(node); ok {
				v = node[i]
			}
		}
		if !ok {
			return nil, false
		}
	}
	return v, true
}

// put returns v with the step carried out at path. v stays as it is.
func put(v any, path []string, op step) (any, bool) {
	switch node := v.(type) {
	case map[string]any:
		return putMember(maps.Clone(node), path, op)
	case []any:
		return putElement(slices.Clone(node), path, op)
	}
	return v, false
}

func putMember(node map[string]any, path []string, op step) (any, bool) {
	child, there := node[path[0]]
	switch {
	case len(path) > 1:
		changed, ok := put(child, path[1:], op)
		node[path[0]] = changed
		return node, there && ok
	case op.Kind == "remove":
		delete(node, path[0])
		return node, there
	}
	node[path[0]] = op.value
	return node, true
}

func putElement(node []any, path []string, op step) (any, bool) {
	if len(path) == 1 && op.Kind == "add" && path[0] == "-" {
		return append(node, op.value), true
	}
	i, err := strconv.Atoi(path[0])
	if err != nil || i < 0 || i > len(node) || i == len(node) && (len(path) > 1 || op.Kind != "add") {
		return node, false
	}
	switch {
	case len(path) > 1:
		changed, ok := put(node[i], path[1:], op)
		node[i] = changed
		return node, ok
	case op.Kind == "remove":
		return slices.Delete(node, i, i+1), true
	}
	return slices.Insert(node, i, op.value), true
}

func decode(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// canonical is the same text for the same value.
func canonical(v any) string {
	raw, err := json.Marshal(v) // sorts the keys
	if err != nil {
		panic(fmt.Sprintf("document: a decoded value cannot be encoded: %v", err))
	}
	return string(raw)
}

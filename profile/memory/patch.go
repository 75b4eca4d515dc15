package memory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"muster/profile"
)

var (
	errTest    = errors.New("test does not hold")
	errMissing = errors.New("no such place")
)

// patch applies ops, all or none, and returns new params. Numbers are compared
// by their text, as DRP's library does.
func patch(params profile.Params, ops []profile.Op) (profile.Params, error) {
	root := make(map[string]any, len(params)) // decoded params; others stay raw
	params = maps.Clone(params)
	decoded, set := map[string]bool{}, map[string]bool{}
	for i, op := range ops {
		if op.Op == profile.OpNames {
			names, err := json.Marshal(slices.Sorted(maps.Keys(params)))
			if err != nil {
				return nil, err
			}
			if len(set) > 0 || !equal(names, op.Value) {
				return nil, fmt.Errorf("operation %d: %w", i, errTest)
			}
			continue
		}
		if op.Path == "" {
			whole, err := json.Marshal(params)
			if err != nil {
				return nil, err
			}
			if len(set) > 0 || op.Op != "test" || !equal(whole, op.Value) {
				return nil, fmt.Errorf("operation %d: %w", i, errTest)
			}
			continue
		}
		parts := op.Path.Parts()
		name := parts[0]
		if raw, ok := params[name]; ok && !decoded[name] {
			v, err := parse(raw)
			if err != nil {
				return nil, err
			}
			root[name] = v
		}
		decoded[name] = true
		if op.Op != "test" {
			set[name] = true // what is only tested stays byte for byte
		}
		var value any
		if op.Op != "remove" {
			v, err := parse(op.Value)
			if err != nil {
				return nil, err
			}
			value = v
		}
		if _, err := step(root, parts, op.Op, value); err != nil {
			return nil, fmt.Errorf("operation %d (%s %s): %w", i, op.Op, op.Path, err)
		}
	}
	for name := range set {
		v, ok := root[name]
		if !ok {
			delete(params, name)
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		params[name] = raw
	}
	return params, nil
}

// step carries one operation out below node and returns what node becomes:
// arrays are replaced, objects changed in place.
func step(node any, parts []string, op string, value any) (any, error) {
	key, last := parts[0], len(parts) == 1
	switch node := node.(type) {
	case map[string]any:
		child, ok := node[key]
		switch {
		case last && op == "add":
			node[key] = value
			return node, nil
		case !ok:
			return node, errMissing
		case last && op == "remove":
			delete(node, key)
			return node, nil
		case last:
			return node, test(child, value)
		}
		child, err := step(child, parts[1:], op, value)
		node[key] = child
		return node, err
	case []any:
		if last && op == "add" && key == "-" {
			return append(slices.Clone(node), value), nil
		}
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(node) {
			return node, errMissing
		}
		switch {
		case last && op == "add":
			return slices.Insert(slices.Clone(node), i, value), nil
		case last && op == "remove":
			return slices.Delete(slices.Clone(node), i, i+1), nil
		case last:
			return node, test(node[i], value)
		}
		node[i], err = step(node[i], parts[1:], op, value)
		return node, err
	}
	return node, errMissing
}

func test(found, wanted any) error {
	if !reflect.DeepEqual(found, wanted) {
		return errTest
	}
	return nil
}

func equal(a, b json.RawMessage) bool {
	x, errx := parse(a)
	y, erry := parse(b)
	return errx == nil && erry == nil && reflect.DeepEqual(x, y)
}

func parse(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

package endpoint

import (
	"slices"
	"strings"

	"muster/endpoint/filter"
	"muster/endpoint/rawjson"
)

// field is something of an object that a list can be filtered or sorted by.
type field struct {
	kind filter.Kind
	of   func(t *tx, rec *record) []byte // its JSON, nil if the object lacks it
}

// field finds what a name in a list's query means.
func (t *tx) field(prefix, name string, aggregate bool) (field, error) {
	param := func(name string) field {
		// 3.13 knows no aggregate option and always looks at inherited params.
		return field{filter.Any, func(t *tx, rec *record) []byte {
			v, _ := viewOptions{aggregate: aggregate || t.s.compat313}.param(t, rec, name)
			return v
		}}
	}
	switch idx, ok := indexes()[prefix][name]; {
	case !ok || t.s.lacks(prefix, name):
	case name == "Key":
		return field{filter.Text, func(_ *tx, rec *record) []byte { return rawjson.Quote(rec.key) }}, nil
	case name == "Params":
		return field{filter.Text, func(_ *tx, rec *record) []byte { return rawjson.Names(rec.params) }}, nil
	case name == "Valid":
		return field{filter.Boolean, func(_ *tx, rec *record) []byte { return rawjson.Lookup(rec.shown, "Validated") }}, nil
	default:
		return field{idx.kind, func(_ *tx, rec *record) []byte { return rawjson.Lookup(rec.shown, name) }}, nil
	}
	if key, ok := strings.CutPrefix(name, "Meta."); ok {
		return field{filter.Text, func(_ *tx, rec *record) []byte { return rawjson.Lookup(rawjson.Lookup(rec.shown, "Meta"), key) }}, nil
	}
	if key, ok := strings.CutPrefix(name, "Params."); ok {
		return param(key), nil
	}
	if t.record("params", name) != nil {
		return param(name), nil
	}
	return field{}, notAcceptable("Filter not found: " + name)
}

// fieldFilter holds for an object if any of its conditions does.
type fieldFilter struct {
	field field
	any   []filter.Condition
}

func (f fieldFilter) matches(t *tx, rec *record) bool {
	value := f.field.of(t, rec)
	return slices.ContainsFunc(f.any, func(c filter.Condition) bool { return c.Holds(value) })
}

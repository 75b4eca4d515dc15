package endpoint

import (
	"maps"
	"strings"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/filter"
	"muster/endpoint/rawjson"
)

// part is where in an object the value of a field is.
type part int

const (
	inKey        part = iota // the key itself
	inMembers                // a member of the object
	inMeta                   // a member of its Meta
	inParams                 // a param
	inParamNames             // the names of its params
)

// field is something of an object that a list can be filtered or sorted by.
type field struct {
	kind filter.Kind
	part part
	name string // of the member or param
}

// field finds what a name in a list's query means.
func (t *tx) field(prefix, name string) (field, error) {
	switch idx, ok := indexes()[prefix][name]; {
	case !ok || t.s.lacks(prefix, name):
	case name == "Key":
		return field{filter.Text, inKey, ""}, nil
	case name == "Params":
		return field{filter.Text, inParamNames, ""}, nil
	case name == "Valid":
		return field{filter.Boolean, inMembers, "Validated"}, nil
	default:
		return field{idx.kind, inMembers, name}, nil
	}
	if key, ok := strings.CutPrefix(name, "Meta."); ok {
		return field{filter.Text, inMeta, key}, nil
	}
	if key, ok := strings.CutPrefix(name, "Params."); ok {
		return field{t.paramKind(key), inParams, key}, nil
	}
	if t.record("params", name) != nil {
		return field{t.paramKind(name), inParams, name}, nil
	}
	return field{}, notAcceptable("Filter not found: " + name)
}

// paramKind is the kind of a param by the type in the schema of its declaration.
func (t *tx) paramKind(name string) filter.Kind {
	if decl := t.record("params", name); decl != nil {
		switch paramIndex(decl.head.(*models.Param)).Type {
		case "integer", "number":
			return filter.Number
		case "boolean":
			return filter.Boolean
		}
	}
	return filter.Any
}

// values returns the JSON of an object's fields, nil for those that it lacks. It
// reads the object once, however many fields there are.
func (t *tx) values(rec *record, fields []field, aggregate bool) [][]byte {
	wanted := map[part]map[string][]byte{}
	for _, f := range fields {
		if wanted[f.part] == nil {
			wanted[f.part] = map[string][]byte{}
		}
		wanted[f.part][f.name] = nil
	}
	if meta := wanted[inMeta]; meta != nil {
		rawjson.Pick(rawjson.Lookup(rec.shown, "Meta"), meta)
	}
	if members := wanted[inMembers]; members != nil {
		rawjson.Pick(rec.shown, members)
	}
	if params := wanted[inParams]; params != nil {
		// 3.13 knows no aggregate option and always looks at inherited params.
		t.pickParams(rec, params, aggregate || t.s.compat313)
	}
	values := make([][]byte, len(fields))
	for i, f := range fields {
		switch f.part {
		case inKey:
			values[i] = rawjson.Quote(rec.key)
		case inParamNames:
			values[i] = rawjson.Names(rec.params)
		default:
			values[i] = wanted[f.part][f.name]
		}
	}
	return values
}

// pickParams sets the values of the params that are named in wanted. With aggregate
// they may be inherited, and in the end be the defaults of their declarations.
func (t *tx) pickParams(rec *record, wanted map[string][]byte, aggregate bool) {
	layers := []*record{rec}
	if aggregate {
		layers = t.layers(rec)
	}
	for _, layer := range layers {
		found := make(map[string][]byte, len(wanted))
		for name, value := range wanted {
			if value == nil {
				found[name] = nil
			}
		}
		rawjson.Pick(layer.params, found)
		maps.Copy(wanted, found)
	}
	for name, value := range wanted {
		if value == nil && aggregate {
			wanted[name] = t.defaultOf(name)
		}
	}
}

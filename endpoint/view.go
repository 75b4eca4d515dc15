package endpoint

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
)

// viewOptions says how much of an object a client wants to see.
type viewOptions struct {
	aggregate bool            // inherited params as well
	decode    bool            // the values of secure params instead of the sealed ones
	slim      []string        // leave the contents of these members out
	only      map[string]bool // just these params, unless nil
}

// parseView reads the options from a query.
func (s *Server) parseView(q url.Values) (o viewOptions, err error) {
	if o.aggregate, err = flag(q, "aggregate"); err != nil {
		return o, err
	}
	if o.decode, err = flag(q, "decode"); err != nil {
		return o, err
	}
	for _, v := range q["slim"] {
		o.slim = append(o.slim, split(v)...)
	}
	for _, v := range q["params"] {
		if o.only == nil {
			o.only = map[string]bool{}
		}
		for _, name := range split(v) {
			o.only[name] = true
		}
	}
	return o, nil
}

// flag reads a boolean option; its name alone means true.
func flag(q url.Values, name string) (bool, error) {
	if !q.Has(name) {
		return false, nil
	}
	v := q.Get(name)
	if v == "" {
		return true, nil
	}
	on, err := strconv.ParseBool(v)
	if err != nil {
		return false, notAcceptable("Invalid value for " + name + ": expected true or false")
	}
	return on, nil
}

// allow checks that p may see what the options ask for.
func (o viewOptions) allow(p *principal, rec *record) error {
	if !o.decode {
		return nil
	}
	return authorize(p, rec.head.Prefix(), "getSecure", rec.authKey())
}

// show returns an object as the client wants to see it.
func (o viewOptions) show(t *tx, rec *record) (json.RawMessage, error) {
	change := map[string][]byte{}
	if rec.params != nil && (o.aggregate || o.decode || o.only != nil) {
		params, err := o.params(t, rec)
		if err != nil {
			return nil, err
		}
		change["Params"] = params
	}
	if slices.Contains(o.slim, "Params") && rec.params != nil {
		change["Params"] = []byte("{}")
	}
	if slices.Contains(o.slim, "Meta") {
		change["Meta"] = []byte("{}")
	}
	if len(change) == 0 {
		return rec.shown, nil
	}
	if o.only != nil || o.slim != nil {
		change["Partial"] = []byte("true")
	}
	return rawjson.With(rec.shown, change)
}

// params returns the params of an object as the client wants to see them.
func (o viewOptions) params(t *tx, rec *record) (json.RawMessage, error) {
	if !o.aggregate && !o.decode && o.only == nil {
		return rec.params, nil
	}
	if rec.tree != nil && !o.aggregate && !o.decode {
		return rec.tree.Pick(func(name string) bool { return o.only[name] }), nil
	}
	layers := []*record{rec}
	if o.aggregate {
		layers = t.layers(rec)
	}
	seen := map[string]bool{}
	out := new(bytes.Buffer)
	for _, layer := range layers {
		err := rawjson.Each(layer.params, func(name string, value []byte) {
			if seen[name] || o.only != nil && !o.only[name] {
				return
			}
			seen[name] = true
			if o.decode {
				value = t.plain(layer, name, value)
			}
			rawjson.WriteMember(out, name, value)
		})
		if err != nil {
			return nil, err
		}
	}
	rawjson.EndObject(out)
	return out.Bytes(), nil
}

// layers returns the objects whose params an object sees, nearest first: itself,
// its profiles in order and, for a machine, its stage with its profiles and the
// profile global. Each comes once, which also ends circles of profiles.
func (t *tx) layers(rec *record) (layers []*record) {
	var add func(rec *record)
	add = func(rec *record) {
		if rec == nil || slices.Contains(layers, rec) {
			return
		}
		layers = append(layers, rec)
		if p, ok := rec.head.(models.Profiler); ok {
			for _, name := range p.GetProfiles() {
				add(t.record("profiles", name))
			}
		}
	}
	add(rec)
	if m, ok := rec.head.(*models.Machine); ok {
		add(t.record("stages", m.Stage))
		add(t.record("profiles", "global"))
	}
	return layers
}

// param returns the value of one param of an object, opened if the param is
// secure. With aggregate it may be inherited, and in the end be the default of
// the param's declaration.
func (t *tx) param(rec *record, name string, aggregate bool) (json.RawMessage, bool) {
	return viewOptions{aggregate: aggregate, decode: true}.param(t, rec, name)
}

// param returns the value of one param as the client wants to see it.
func (o viewOptions) param(t *tx, rec *record, name string) (json.RawMessage, bool) {
	layers := []*record{rec}
	if o.aggregate {
		layers = t.layers(rec)
	}
	for _, layer := range layers {
		value := layer.param(name)
		if value != nil && o.decode {
			value = t.plain(layer, name, value)
		}
		if value != nil {
			return value, true
		}
	}
	if !o.aggregate {
		return nil, false
	}
	value := t.defaultOf(name)
	return value, value != nil
}

// defaultOf returns the default of a param's declaration, nil if there is none.
func (t *tx) defaultOf(name string) json.RawMessage {
	decl := t.record("params", name)
	if decl == nil {
		return nil
	}
	v, ok := decl.head.(*models.Param).DefaultValue()
	if !ok {
		return nil
	}
	raw, _ := json.Marshal(v) // it came as JSON
	return raw
}

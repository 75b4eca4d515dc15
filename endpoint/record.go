package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"

	"gitlab.com/rackn/jp"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/jsonpatch"
	"muster/endpoint/rawjson"
	"muster/endpoint/schema"
)

// record is one object as stored. It is immutable from the moment that its
// version is set, just before the commit. A restart makes it again from its raw,
// keys and version: whatever else is added must follow from these.
//
// The Params of an object can be large and are never needed as Go values, so
// they stay the JSON that the client sent, and only the head is decoded.
type record struct {
	key     string
	head    models.Model    // without Params
	params  []byte          // the JSON object of the params, nil if the type has none
	tree    *jsonpatch.Tree // the same as params, of a profile that was patched; else nil
	raw     []byte          // the complete object
	shown   []byte          // the complete object as clients may see it
	keys    *keyPair        // of an object with params
	schema  *schema.Schema  // of a param declaration that has one
	version uint64
	checked uint64 // the store's schemas version that the params were checked with
}

// param returns the value of one of the object's own params as it is stored, nil if
// there is none.
func (r *record) param(name string) []byte {
	if r.tree != nil { // else all of a large profile would be read for one name
		return r.tree.Lookup(name)
	}
	return rawjson.Lookup(r.params, name)
}

// model returns the complete object as a private Go value.
func (r *record) model() models.Model {
	m, err := newModel(r.head.Prefix())
	if err != nil {
		panic(err) // the prefix made a head before
	}
	if err := json.Unmarshal(r.raw, m); err != nil {
		panic(err) // raw was made by json.Marshal from the same type
	}
	m.Fill()
	return m
}

// newModel returns an empty object of a type.
func newModel(prefix string) (models.Filler, error) {
	if prefix == "contents" { // which DRP does not count among its objects
		return &models.Content{}, nil
	}
	return models.New(prefix)
}

// authKey is what claims are compared with.
func (r *record) authKey() string {
	if a, ok := r.head.(interface{ AuthKey() string }); ok {
		return a.AuthKey()
	}
	return r.key
}

func nameOf(m models.Model) string {
	if n, ok := m.(*models.Machine); ok {
		return n.Name
	}
	return m.Key()
}

// decode splits the compact JSON of an object into its head and its params.
// Unknown fields are dropped.
func decode(prefix string, raw []byte) (models.Model, []byte, error) {
	head, err := newModel(prefix)
	if err != nil {
		return nil, nil, err
	}
	_, hasParams := head.(models.Paramer)
	var params []byte
	rest := new(bytes.Buffer)
	err = rawjson.Each(raw, func(name string, value []byte) {
		if hasParams && name == "Params" {
			params = value
			return
		}
		rawjson.WriteMember(rest, name, value)
	})
	if err != nil {
		return nil, nil, errors.New("not a JSON object")
	}
	rawjson.EndObject(rest)
	if err := json.Unmarshal(rest.Bytes(), head); err != nil {
		return nil, nil, misfit(rest.Bytes(), head, err)
	}
	if hasParams {
		// Go would have filled Params from a field that differs in case only.
		head.(models.Paramer).SetParams(nil)
		if len(params) == 0 || jp.IsNull(params) {
			params = []byte("{}")
		}
		if params[0] != '{' {
			return nil, nil, errors.New("field Params must be an object")
		}
	}
	head.Fill()
	return head, params, nil
}

// encode puts head and params together again.
func encode(head models.Model, params []byte) ([]byte, error) {
	raw, err := json.Marshal(head)
	if err != nil || params == nil {
		return raw, err
	}
	return rawjson.With(raw, map[string][]byte{"Params": params})
}

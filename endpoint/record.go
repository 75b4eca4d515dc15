package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/xeipuuv/gojsonschema"
	"gitlab.com/rackn/jp"
	"gitlab.com/rackn/provision/v4/models"
)

// record is one object as stored. It is immutable from the moment that its
// version is set, just before the commit. A restart makes it again from its raw,
// keys and version: whatever else is added must follow from these.
//
// The Params of an object can be large and are never needed as Go values, so
// they stay the JSON that the client sent, and only the head is decoded.
type record struct {
	key     string
	head    models.Model         // without Params
	params  []byte               // the JSON object of the params, nil if the type has none
	raw     []byte               // the complete object
	shown   []byte               // the complete object as clients may see it
	keys    *keyPair             // of an object with params
	schema  *gojsonschema.Schema // of a param declaration that has one
	version uint64
	checked uint64 // the store's schemas version that the params were checked with
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
	err = eachMember(raw, func(name string, value []byte) {
		if hasParams && name == "Params" {
			params = value
			return
		}
		writeMember(rest, name, value)
	})
	if err != nil {
		return nil, nil, errors.New("not a JSON object")
	}
	endObject(rest)
	if err := json.Unmarshal(rest.Bytes(), head); err != nil {
		return nil, nil, misfit(err)
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
	return withMembers(raw, map[string][]byte{"Params": params})
}

// withMembers returns the object raw with members replaced, or dropped where
// the new value is nil.
func withMembers(raw []byte, members map[string][]byte) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, len(raw)+len(members["Params"])))
	err := eachMember(raw, func(name string, value []byte) {
		with, ok := members[name]
		switch {
		case !ok:
			writeMember(out, name, value)
		case with != nil:
			writeMember(out, name, with)
		}
	})
	endObject(out)
	return out.Bytes(), err
}

// withMember returns the object raw with one member set.
func withMember(raw []byte, name string, value []byte) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, len(raw)+len(name)+len(value)+8))
	err := eachMember(raw, func(n string, v []byte) {
		if n != name {
			writeMember(out, n, v)
		}
	})
	writeMember(out, name, value)
	endObject(out)
	return out.Bytes(), err
}

// lookup returns a member of the object raw, nil if there is none.
func lookup(raw []byte, name string) (value []byte) {
	_ = eachMember(raw, func(n string, v []byte) {
		if n == name {
			value = v
		}
	})
	return value
}

// eachMember calls fn for every member of a JSON object, with the value as it
// stands in raw.
func eachMember(raw []byte, fn func(name string, value []byte)) error {
	return jp.ObjectEach(raw, func(key, value []byte, _ jp.ValueType) error {
		fn(string(key), value)
		return nil
	})
}

func writeMember(out *bytes.Buffer, name string, value []byte) {
	if out.Len() == 0 {
		out.WriteByte('{')
	} else {
		out.WriteByte(',')
	}
	quoted, _ := json.Marshal(name) // a string always marshals
	out.Write(quoted)
	out.WriteByte(':')
	out.Write(value)
}

func endObject(out *bytes.Buffer) {
	if out.Len() == 0 {
		out.WriteByte('{')
	}
	out.WriteByte('}')
}

package rawjson

import (
	"bytes"
	"encoding/json"

	"gitlab.com/rackn/jp"
)

// With returns the object raw with the values of members that it has replaced, or
// dropped where the new value is nil. It returns an error if raw is no object.
func With(raw []byte, members map[string][]byte) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, len(raw)+len(members["Params"])))
	err := Each(raw, func(name string, value []byte) {
		with, ok := members[name]
		switch {
		case !ok:
			WriteMember(out, name, value)
		case with != nil:
			WriteMember(out, name, with)
		}
	})
	EndObject(out)
	return out.Bytes(), err
}

// Set returns the object raw with one member set, as its last. It returns an error
// if raw is no object.
func Set(raw []byte, name string, value []byte) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, len(raw)+len(name)+len(value)+8))
	err := Each(raw, func(n string, v []byte) {
		if n != name {
			WriteMember(out, n, v)
		}
	})
	WriteMember(out, name, value)
	EndObject(out)
	return out.Bytes(), err
}

// Lookup returns a member of the object raw, nil if there is none.
func Lookup(raw []byte, name string) (value []byte) {
	_ = Each(raw, func(n string, v []byte) {
		if n == name {
			value = v
		}
	})
	return value
}

// Pick sets the values of those members of the object raw that wanted has keys for.
func Pick(raw []byte, wanted map[string][]byte) {
	_ = Each(raw, func(name string, value []byte) {
		if _, ok := wanted[name]; ok {
			wanted[name] = value
		}
	})
}

// Each calls fn for every member of the object raw, with the value as it stands in
// raw. It returns an error if raw is no object.
func Each(raw []byte, fn func(name string, value []byte)) error {
	return jp.ObjectEach(raw, func(key, value []byte, _ jp.ValueType) error {
		fn(string(key), value)
		return nil
	})
}

// WriteMember appends a member to the object that begins with out, for EndObject to
// end.
func WriteMember(out *bytes.Buffer, name string, value []byte) {
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

// EndObject ends the object that WriteMember wrote, which may have no member.
func EndObject(out *bytes.Buffer) {
	if out.Len() == 0 {
		out.WriteByte('{')
	}
	out.WriteByte('}')
}

// Names returns the JSON list of an object's member names.
func Names(raw []byte) []byte {
	names := []string{}
	_ = Each(raw, func(name string, _ []byte) { names = append(names, name) })
	list, _ := json.Marshal(names) // strings always marshal
	return list
}

// Quote returns the JSON of a text.
func Quote(s string) []byte {
	raw, _ := json.Marshal(s) // a string always marshals
	return raw
}

// Unquote returns the text of a JSON string and other JSON as it is.
func Unquote(v []byte) string {
	var s string
	if json.Unmarshal(v, &s) != nil {
		return string(v)
	}
	return s
}

package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"time"

	puuid "github.com/pborman/uuid"

	"muster/endpoint/rawjson"
)

// misfit says why the JSON raw cannot be decoded into v, a pointer, with the error
// err: by the name of the field that the client used, what was expected and what
// kind of value was found, without the value itself. It leaves v undefined.
func misfit(raw []byte, v any, err error) error {
	t := reflect.TypeOf(v).Elem()
	if t.Kind() != reflect.Struct {
		return mismatch("", err, t, nil)
	}
	fields := fieldsOf(t)
	found := false
	_ = rawjson.Each(raw, func(name string, value []byte) {
		field, ok := fields[strings.ToLower(name)]
		if found || !ok {
			return
		}
		one := new(bytes.Buffer)
		rawjson.WriteMember(one, name, value)
		rawjson.EndObject(one)
		if bad := json.Unmarshal(one.Bytes(), v); bad != nil {
			found, err = true, mismatch(name, bad, field, value)
		}
	})
	if !found {
		return mismatch("", err, t, nil)
	}
	return err
}

// fieldsOf returns the types of the fields of a struct by their JSON names in lower
// case: letter case does not matter to Go's decoder.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		fields[strings.ToLower(name)] = f.Type
	}
	return fields
}

// mismatch words the error of decoding value, of the member name, into a t.
func mismatch(name string, err error, t reflect.Type, value []byte) error {
	expected, kind := expectation(t), ""
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		expected, kind = expectation(e.Type), foundKind(e.Value)
		// The error's path has Go's names of embedded structs in it, too.
		field := name
		_, below, _ := strings.Cut(e.Field, name)
		for part := range strings.SplitSeq(below, ".") {
			if part != "" && bytes.Contains(value, append(rawjson.Quote(part), ':')) {
				name += "." + part
			}
		}
		if value != nil && name == field && e.Type != t {
			expected += " in it" // an element of a list or a value of a map
		}
	}
	if name != "" {
		name = "field " + name + ": "
	}
	if kind != "" {
		kind = ", found " + kind
	}
	return errors.New(name + "expected " + expected + kind)
}

func foundKind(value string) string {
	switch value, _, _ := strings.Cut(value, " "); value { // "number 12"
	case "array":
		return "a list"
	case "object":
		return "an object"
	default:
		return "a " + value
	}
}

// expectation describes the values of a type without naming Go's types.
func expectation(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[puuid.UUID]():
		return "a UUID"
	case reflect.TypeFor[net.IP]():
		return "an IP address"
	case reflect.TypeFor[time.Time]():
		return fmt.Sprintf("a time such as %s", time.RFC3339)
	case reflect.TypeFor[[]byte]():
		return "a string in base64"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return expectation(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "another value"
}

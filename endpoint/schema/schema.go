package schema

import (
	"encoding/json"

	"github.com/xeipuuv/gojsonschema"

	"muster/endpoint/rawjson"
)

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct {
	root     any
	compiled *gojsonschema.Schema
}

// Compile compiles a schema, given as encoding/json decodes it. It returns what
// Check returns, or an error if the library finds the schema malformed.
func Compile(schema any) (*Schema, error) {
	if err := Check(schema); err != nil {
		return nil, err
	}
	compiled, err := gojsonschema.NewSchema(gojsonschema.NewGoLoader(schema))
	if err != nil {
		return nil, err
	}
	return &Schema{schema, compiled}, nil
}

// Mismatches says how a value, given as JSON, differs from what the schema wants: one
// text each, without the value, none if it fits. An error means that the value cannot
// be checked: it is no JSON that rawjson.Parse accepts, or costs too much.
func (s *Schema) Mismatches(value []byte) (faults []string, err error) {
	if err := rawjson.CheckShape(value); err != nil {
		return nil, err
	}
	var decoded any
	if err := json.Unmarshal(value, &decoded); err != nil {
		return nil, err
	}
	if err := CheckCost(s.root, decoded); err != nil {
		return nil, err
	}
	res, err := s.compiled.Validate(gojsonschema.NewBytesLoader(value))
	if err != nil {
		return nil, err
	}
	for _, fault := range res.Errors() {
		faults = append(faults, fault.String())
	}
	return faults, nil
}

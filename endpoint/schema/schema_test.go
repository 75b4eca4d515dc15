package schema

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"muster/endpoint/rawjson"
)

func compile(t *testing.T, text string) (*Schema, error) {
	t.Helper()
	var decoded any
	if err := json.Unmarshal([]byte(text), &decoded); err != nil {
		t.Fatal(err)
	}
	return Compile(decoded)
}

func TestMismatchesNameFieldsAndNoValues(t *testing.T) {
	s, err := compile(t, `{"type":"object","properties":{"n":{"type":"number"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if faults, err := s.Mismatches([]byte(`{"n":1}`)); len(faults) > 0 || err != nil {
		t.Errorf("what fits: got %q, %v", faults, err)
	}
	faults, err := s.Mismatches([]byte(`{"n":"hidden"}`))
	if err != nil || len(faults) != 1 || !strings.Contains(faults[0], "n:") || strings.Contains(faults[0], "hidden") {
		t.Errorf("got %q, %v", faults, err)
	}
}

// The library would overflow its stack, which ends the process.
func TestSchemaThatRefersToItselfIsEnded(t *testing.T) {
	s, err := compile(t, `{"$ref":"#"}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mismatches([]byte(`1`)); !errors.Is(err, errTooCostly) {
		t.Errorf("got %v", err)
	}
}

func TestOtherDocumentsAreNotFetched(t *testing.T) {
	if _, err := compile(t, `{"$ref":"http://127.0.0.1:1/"}`); !errors.Is(err, errRef) {
		t.Errorf("got %v", err)
	}
}

// FuzzSchema lets the library check values by schemas that passed our checks. It
// must come back; its stack must not overflow.
func FuzzSchema(f *testing.F) {
	for _, schema := range []string{
		`{"type":"object","properties":{"a":{"$ref":"#"}}}`, `{"$ref":"#"}`, `{"allOf":[{"$ref":"#"}]}`,
		`{"$ref":"#/definitions/a","definitions":{"a":{"not":{"$ref":"#/definitions/a"}}}}`,
		`{"items":[{"$ref":"#"}],"additionalItems":{"$ref":"#"}}`, `{"if":{"$ref":"#"}}`, `{"dependencies":{"a":{"$ref":"#"}}}`,
		`{"propertyNames":{"$ref":"#"}}`, `{"patternProperties":{"a":{"$ref":"#"}}}`, `{"contains":{"$ref":"#"}}`,
		`{"$id":"#x","$ref":"#x"}`, `{"id":"http://127.0.0.1:1/","$ref":"#"}`, `{"multipleOf":0.1,"maximum":1e300}`, `true`, `{"$schema":"x"}`,
	} {
		f.Add(schema, `{"a":{"a":[1,{"a":1.5}]}}`)
	}
	f.Fuzz(func(t *testing.T, schemaText, valueText string) {
		raw, err := rawjson.Parse([]byte(schemaText))
		if err != nil || raw == nil {
			return
		}
		value, err := rawjson.Parse([]byte(valueText))
		if err != nil || value == nil {
			return
		}
		var schema any
		if json.Unmarshal(raw, &schema) != nil || schema == nil {
			return
		}
		s, err := Compile(schema)
		if err != nil {
			return
		}
		_, _ = s.Mismatches(value)
	})
}

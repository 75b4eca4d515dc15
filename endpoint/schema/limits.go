package schema

import (
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"muster/endpoint/rawjson"
)

// What the JSON schema of a param may not do. The library that checks values by
// it has no limits of its own: it fetches other documents, and a schema that
// refers to itself without going into the value overflows its stack, which would
// end the process.
var (
	errRef       = errors.New("the schema refers to another document or to a part that it does not have")
	errID        = errors.New("the schema has references and, below its root, ids: this is not supported")
	errPatterns  = errors.New("the schema has too many counted repetitions in its patterns")
	errTooCostly = errors.New("the schema refers to itself too often to check this value")
)

const (
	// MaxPatterns is how many counted repetitions the patterns of a schema may have:
	// each can make what is compiled of it a thousand times bigger.
	MaxPatterns = 64

	maxSteps = 100_000 // comparisons of a part of a schema with a part of a value
)

var countedRepetition = regexp.MustCompile(`\{[0-9]`)

// Check returns an error unless the schema of a param can be compiled
// without harm.
func Check(schema any) error {
	raw, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	if len(countedRepetition.FindAllIndex(raw, MaxPatterns+1)) > MaxPatterns {
		return errPatterns
	}
	if !hasRef(schema) {
		return nil
	}
	return checkRefs(schema, schema, false)
}

// checkRefs checks that all references lead somewhere inside the root.
func checkRefs(root, at any, below bool) error {
	here, _ := at.(map[string]any)
	if ref, ok := here["$ref"].(string); ok && resolve(root, ref) == nil {
		return errRef
	}
	for _, name := range []string{"$id", "id"} {
		if _, ok := here[name].(string); ok && below {
			return errID
		}
	}
	for name, part := range here {
		if slices.Contains([]string{"default", "enum", "const", "examples"}, name) {
			continue // values, not schemas
		}
		if err := checkRefs(root, part, true); err != nil {
			return err
		}
	}
	if list, ok := at.([]any); ok {
		for _, part := range list {
			if err := checkRefs(root, part, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve finds what a reference such as #/definitions/x means, nil if nothing.
func resolve(root any, ref string) any {
	pointer, ok := strings.CutPrefix(ref, "#")
	pointer, err := url.PathUnescape(pointer)
	if !ok || err != nil {
		return nil
	}
	if pointer == "" {
		return root
	}
	for _, step := range strings.Split(pointer, "/")[1:] {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch here := root.(type) {
		case map[string]any:
			root = here[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(here) {
				return nil
			}
			root = here[i]
		default:
			return nil
		}
	}
	return root
}

func hasRef(schema any) bool {
	if here, ok := schema.(map[string]any); ok {
		if _, ok := here["$ref"]; ok {
			return true
		}
	}
	return slices.ContainsFunc(elements(schema), hasRef)
}

// elements returns the elements of a list or map.
func elements(v any) (all []any) {
	switch v := v.(type) {
	case []any:
		return v
	case map[string]any:
		for _, e := range v {
			all = append(all, e)
		}
	}
	return all
}

// CheckCost returns errTooCostly unless the check of a value ends soon.
func CheckCost(schema, value any) error {
	if !hasRef(schema) {
		return nil // it takes time in proportion to schema and value
	}
	c := cost{root: schema}
	if !c.visit(schema, value, 0) {
		return errTooCostly
	}
	return nil
}

// cost counts the steps that checking a value by a schema takes.
type cost struct {
	root  any
	steps int
}

// visit follows the keywords that lead to other schemas, wherever the library may
// do so. It returns false when the bounds are reached.
func (c *cost) visit(schema, value any, depth int) bool {
	if c.steps++; c.steps > maxSteps || depth > 4*rawjson.MaxDepth {
		return false
	}
	here, _ := schema.(map[string]any)
	for keyword, part := range here {
		for _, next := range c.follow(keyword, part, value) {
			if !c.visit(next.schema, next.value, depth+1) {
				return false
			}
		}
	}
	return true
}

// step is a schema and the value that it is for.
type step struct{ schema, value any }

// follow returns where one keyword leads.
func (c *cost) follow(keyword string, part, value any) (next []step) {
	fields, _ := value.(map[string]any)
	items, _ := value.([]any)
	schemas, _ := part.(map[string]any)
	switch keyword {
	case "$ref":
		ref, _ := part.(string)
		return []step{{resolve(c.root, ref), value}}
	case "not", "if", "then", "else":
		return []step{{part, value}}
	case "allOf", "anyOf", "oneOf", "dependencies":
		for _, schema := range elements(part) {
			next = append(next, step{schema, value})
		}
	case "properties":
		for name, schema := range schemas {
			if field, ok := fields[name]; ok {
				next = append(next, step{schema, field})
			}
		}
	case "patternProperties":
		for _, schema := range schemas {
			for _, field := range fields {
				next = append(next, step{schema, field})
			}
		}
	case "propertyNames":
		for name := range fields {
			next = append(next, step{part, name})
		}
	case "additionalProperties":
		for _, field := range fields {
			next = append(next, step{part, field})
		}
	case "contains", "additionalItems", "items":
		list, ok := part.([]any)
		for i, item := range items {
			if !ok {
				next = append(next, step{part, item})
			} else if i < len(list) {
				next = append(next, step{list[i], item})
			}
		}
	}
	return next
}

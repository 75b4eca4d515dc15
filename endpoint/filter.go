package endpoint

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/rackn/jp"

	"muster/endpoint/rawjson"
)

type kind int

const (
	text kind = iota
	number
	boolean
	anyJSON
)

// field is something of an object that a list can be filtered or sorted by.
type field struct {
	kind kind
	of   func(t *tx, rec *record) []byte // its JSON, nil if the object lacks it
}

// field finds what a name in a list's query means.
func (t *tx) field(prefix, name string, aggregate bool) (field, error) {
	param := func(name string) field {
		// 3.13 knows no aggregate option and always looks at inherited params.
		return field{anyJSON, func(t *tx, rec *record) []byte {
			v, _ := viewOptions{aggregate: aggregate || t.s.compat313}.param(t, rec, name)
			return v
		}}
	}
	switch idx, ok := indexes()[prefix][name]; {
	case !ok || t.s.lacks(prefix, name):
	case name == "Key":
		return field{text, func(_ *tx, rec *record) []byte { return rawjson.Quote(rec.key) }}, nil
	case name == "Params":
		return field{text, func(_ *tx, rec *record) []byte { return rawjson.Names(rec.params) }}, nil
	case name == "Valid":
		return field{boolean, func(_ *tx, rec *record) []byte { return rawjson.Lookup(rec.shown, "Validated") }}, nil
	default:
		return field{idx.kind, func(_ *tx, rec *record) []byte { return rawjson.Lookup(rec.shown, name) }}, nil
	}
	if key, ok := strings.CutPrefix(name, "Meta."); ok {
		return field{text, func(_ *tx, rec *record) []byte { return rawjson.Lookup(rawjson.Lookup(rec.shown, "Meta"), key) }}, nil
	}
	if key, ok := strings.CutPrefix(name, "Params."); ok {
		return param(key), nil
	}
	if t.record("params", name) != nil {
		return param(name), nil
	}
	return field{}, notAcceptable("Filter not found: " + name)
}

// filter holds for an object if any of its conditions does.
type filter struct {
	field field
	any   []condition
}

func (f filter) matches(t *tx, rec *record) bool {
	value := f.field.of(t, rec)
	return slices.ContainsFunc(f.any, func(c condition) bool { return c.holds(value) })
}

// condition is one comparison, such as Ne(x).
type condition struct {
	op   string
	args []string
	re   *regexp.Regexp
}

var callPattern = regexp.MustCompile(`(?s)^(Eq|Ne|Lt|Lte|Gt|Gte|Re|Between|Except|In|Nin)\((.*)\)$`)

// parseCondition reads a value of a list's query. What is not a call of a known
// function is compared literally.
func parseCondition(f field, v string) (c condition, err error) {
	c = condition{op: "Eq", args: []string{v}}
	if m := callPattern.FindStringSubmatch(v); m != nil {
		c.op, c.args = m[1], []string{m[2]}
	}
	bad := notAcceptable("Invalid filter value: " + c.op)
	switch c.op {
	case "In", "Nin":
		c.args = strings.Split(c.args[0], ",")
	case "Between", "Except":
		if c.args = strings.Split(c.args[0], ","); len(c.args) != 2 {
			return c, bad
		}
	case "Re":
		if !modestRegexp(c.args[0]) {
			return c, bad
		}
		if c.re, err = regexp.Compile(c.args[0]); err != nil {
			return c, bad
		}
		return c, nil
	}
	for _, arg := range c.args {
		_, notBool := strconv.ParseBool(arg)
		_, notNumber := strconv.ParseFloat(arg, 64)
		if f.kind == boolean && notBool != nil || f.kind == number && notNumber != nil {
			return c, bad
		}
	}
	return c, nil
}

// holds reports whether the condition is true of a value, which is nil if the
// object lacks the field. Ne, Nin and Except are the complements of Eq, In and
// Between.
func (c condition) holds(value []byte) bool {
	is := func(op string) bool { return condition{op: op, args: c.args}.holds(value) }
	switch c.op {
	case "Ne":
		return !is("Eq")
	case "Nin":
		return !is("In")
	case "Except":
		return !is("Between")
	}
	if value == nil {
		return false
	}
	if value[0] == '[' {
		return c.holdsForList(value)
	}
	with := func(arg string) (int, bool) { return compareText(value, arg) }
	switch c.op {
	case "Re":
		return c.re.MatchString(rawjson.Unquote(value))
	case "In":
		return slices.ContainsFunc(c.args, func(arg string) bool { n, ok := with(arg); return ok && n == 0 })
	case "Between":
		low, ok1 := with(c.args[0])
		high, ok2 := with(c.args[1])
		return ok1 && ok2 && low >= 0 && high <= 0
	}
	n, ok := with(c.args[0])
	wanted := map[string]bool{"Eq": n == 0, "Lt": n < 0, "Lte": n <= 0, "Gt": n > 0, "Gte": n >= 0}
	return ok && wanted[c.op]
}

// holdsForList compares with the elements of a list: Eq wants all arguments
// among them, every other condition must hold for one element.
func (c condition) holdsForList(list []byte) bool {
	var items [][]byte
	_ = jp.ArrayEach(list, func(v []byte, _ jp.ValueType, _ int, err error) error {
		items = append(items, v)
		return err
	})
	has := func(c condition) bool { return slices.ContainsFunc(items, c.holds) }
	if c.op != "Eq" {
		return has(c)
	}
	for _, arg := range strings.Split(c.args[0], ",") {
		if !has(condition{op: "Eq", args: []string{arg}}) {
			return false
		}
	}
	return true
}

// compareText compares a JSON value with the text of a filter; ok is false if
// the text cannot be a value of the same type.
func compareText(value []byte, arg string) (n int, ok bool) {
	switch value[0] {
	case '"':
		return strings.Compare(rawjson.Unquote(value), arg), true
	case 't', 'f':
		b, err := strconv.ParseBool(arg)
		return compareJSON(value, strconv.AppendBool(nil, b)), err == nil
	case '{', '[', 'n':
		if jp.Equal(value, []byte(arg)) {
			return 0, true
		}
		return 0, false
	}
	_, err := strconv.ParseFloat(arg, 64)
	return compareNumbers(string(value), arg), err == nil
}

// compareJSON orders JSON values: what is absent first, then by type and value.
func compareJSON(a, b []byte) int {
	switch {
	case len(a) == 0 || len(b) == 0:
		return len(a) - len(b)
	case isNumber(a) && isNumber(b):
		return compareNumbers(string(a), string(b))
	case a[0] == '"' && b[0] == '"':
		return strings.Compare(rawjson.Unquote(a), rawjson.Unquote(b))
	}
	return strings.Compare(string(a), string(b))
}

func isNumber(v []byte) bool { return v[0] == '-' || v[0] >= '0' && v[0] <= '9' }

// compareNumbers compares integers exactly and other numbers as floats.
func compareNumbers(a, b string) int {
	i, err1 := strconv.ParseInt(a, 10, 64)
	j, err2 := strconv.ParseInt(b, 10, 64)
	if err1 == nil && err2 == nil {
		return cmp.Compare(i, j)
	}
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	return cmp.Compare(x, y)
}

package filter

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gitlab.com/rackn/jp"

	"muster/endpoint/pattern"
	"muster/endpoint/rawjson"
)

// Kind is what the values of a field are.
type Kind int

// The kinds of fields.
const (
	Text Kind = iota
	Number
	Boolean
	UUID // or nothing, which is an empty text
	IP   // likewise
	Time
	Any // JSON
)

// Condition is one comparison, such as Ne(x). It is safe for concurrent use.
type Condition struct {
	kind Kind
	op   string
	args []string
	re   *pattern.Pattern
}

var callPattern = regexp.MustCompile(`(?s)^(Eq|Ne|Lt|Lte|Gt|Gte|Re|Between|Except|In|Nin)\((.*)\)$`)

// Parse reads a value of a list's query for a field of some kind. What is not a call
// of a known function is compared literally. An error says what was expected, and
// does not repeat the value.
func Parse(kind Kind, v string) (c Condition, err error) {
	c = Condition{kind: kind, op: "Eq", args: []string{v}}
	if m := callPattern.FindStringSubmatch(v); m != nil {
		c.op, c.args = m[1], []string{m[2]}
	}
	switch c.op {
	case "In", "Nin":
		c.args = strings.Split(c.args[0], ",")
	case "Between", "Except":
		if c.args = strings.Split(c.args[0], ","); len(c.args) != 2 {
			return c, fmt.Errorf("expected two values, as in %s(low,high)", c.op)
		}
	case "Re":
		if c.re, err = pattern.Compile(c.args[0]); err != nil {
			return c, fmt.Errorf("expected a regular expression of at most %d instructions", pattern.MaxSize)
		}
		return c, nil
	}
	for i, arg := range c.args {
		if c.args[i], err = kind.canonical(arg); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Holds reports whether the condition is true of a value, which is nil if the
// object lacks the field. Ne, Nin and Except are the complements of Eq, In and
// Between.
func (c Condition) Holds(value []byte) bool {
	is := func(op string) bool { return Condition{kind: c.kind, op: op, args: c.args}.Holds(value) }
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
	with := func(arg string) (int, bool) { return c.kind.compare(value, arg) }
	switch c.op {
	case "Re":
		return c.re.Match(rawjson.Unquote(value))
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
func (c Condition) holdsForList(list []byte) bool {
	var items [][]byte
	_ = jp.ArrayEach(list, func(v []byte, _ jp.ValueType, _ int, err error) error {
		items = append(items, v)
		return err
	})
	has := func(c Condition) bool { return slices.ContainsFunc(items, c.Holds) }
	if c.op != "Eq" {
		return has(c)
	}
	for _, arg := range strings.Split(c.args[0], ",") {
		if !has(Condition{kind: c.kind, op: "Eq", args: []string{arg}}) {
			return false
		}
	}
	return true
}

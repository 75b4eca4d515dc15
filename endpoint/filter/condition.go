package filter

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/rackn/jp"

	"muster/endpoint/pattern"
	"muster/endpoint/rawjson"
)

// Kind is what the values of a field are.
type Kind int

// The kinds of fields. Of a Number or Boolean, conditions must be about one too.
const (
	Text Kind = iota
	Number
	Boolean
	Any // JSON
)

// Condition is one comparison, such as Ne(x). It is safe for concurrent use.
type Condition struct {
	op   string
	args []string
	re   *pattern.Pattern
}

var callPattern = regexp.MustCompile(`(?s)^(Eq|Ne|Lt|Lte|Gt|Gte|Re|Between|Except|In|Nin)\((.*)\)$`)

// Parse reads a value of a list's query for a field of some kind. What is not a call
// of a known function is compared literally. An error is worded as DRP words it.
func Parse(kind Kind, v string) (c Condition, err error) {
	c = Condition{op: "Eq", args: []string{v}}
	if m := callPattern.FindStringSubmatch(v); m != nil {
		c.op, c.args = m[1], []string{m[2]}
	}
	bad := errors.New("Invalid filter value: " + c.op)
	switch c.op {
	case "In", "Nin":
		c.args = strings.Split(c.args[0], ",")
	case "Between", "Except":
		if c.args = strings.Split(c.args[0], ","); len(c.args) != 2 {
			return c, bad
		}
	case "Re":
		if c.re, err = pattern.Compile(c.args[0]); err != nil {
			return c, bad
		}
		return c, nil
	}
	for _, arg := range c.args {
		_, notBool := strconv.ParseBool(arg)
		_, notNumber := strconv.ParseFloat(arg, 64)
		if kind == Boolean && notBool != nil || kind == Number && notNumber != nil {
			return c, bad
		}
	}
	return c, nil
}

// Holds reports whether the condition is true of a value, which is nil if the
// object lacks the field. Ne, Nin and Except are the complements of Eq, In and
// Between.
func (c Condition) Holds(value []byte) bool {
	is := func(op string) bool { return Condition{op: op, args: c.args}.Holds(value) }
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
		if !has(Condition{op: "Eq", args: []string{arg}}) {
			return false
		}
	}
	return true
}

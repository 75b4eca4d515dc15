package profile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Pointer is a JSON pointer (RFC 6901) into the params of the profile: the
// first part is the param's name. It never starts with "/Params"; a Store adds
// what its own document needs.
type Pointer string

// At returns the pointer to a param, or to a place inside it.
func At(param string, parts ...string) Pointer {
	var b strings.Builder
	for _, p := range append([]string{param}, parts...) {
		b.WriteByte('/')
		b.WriteString(escape.Replace(p))
	}
	return Pointer(b.String())
}

// Parts returns the unescaped reference tokens.
func (p Pointer) Parts() []string {
	parts := strings.Split(strings.TrimPrefix(string(p), "/"), "/")
	for i := range parts {
		parts[i] = unescape.Replace(parts[i])
	}
	return parts
}

var (
	escape   = strings.NewReplacer("~", "~0", "/", "~1")
	unescape = strings.NewReplacer("~1", "/", "~0", "~")
)

// Op is one operation of a JSON Patch (RFC 6902). Only test, add and remove
// are used: an add to an existing member of an object replaces it. OpNames
// stands for the several that a Store makes of it.
type Op struct {
	Op    string          `json:"op"`
	Path  Pointer         `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

// OpNames is an operation that fails unless the params have exactly the names in
// its value, a sorted list.
const OpNames = "names"

// Change is a list of operations that a Store applies all or none, in one
// atomic step. The zero value is empty and ready to use. Tests come before
// sets, whatever the order of the calls. A Change is not safe for concurrent use.
type Change struct {
	tests, sets []Op
	claim       *Tenure // tenure that the change begins when it lands
	err         error   // first fault of building; reported by Ops
}

// Test makes the change depend on the value at p being equal to raw, which
// should be the JSON exactly as it was read: DRP's patch library compares the
// text of numbers (wire contract, section 4).
func (c *Change) Test(p Pointer, raw json.RawMessage) {
	c.tests = append(c.tests, Op{Op: "test", Path: p, Value: raw})
}

// TestAsRead makes the change depend on the value at p being what it was in d.
// A value that is absent in d cannot be tested (wire contract, fact 2): it is
// an ErrMalformed that Ops reports.
func (c *Change) TestAsRead(d *Document, p Pointer) {
	raw, ok := d.Lookup(p)
	if !ok {
		c.fail(fmt.Errorf("%w: %s is absent, though `muster seed` plants it; run `muster seed` again to mend it", ErrMalformed, p))
		return
	}
	c.Test(p, raw)
}

// Empty reports whether the change sets nothing.
func (c *Change) Empty() bool { return len(c.sets) == 0 && c.err == nil }

// TestNames makes the change depend on which params there were in d, whatever
// they hold: the only way to say that one is absent (wire contract, fact 2).
func (c *Change) TestNames(d *Document) {
	raw, err := json.Marshal(sorted(d.Params))
	if err != nil {
		c.fail(fmt.Errorf("encode the names of the params: %w", err))
		return
	}
	c.tests = append(c.tests, Op{Op: OpNames, Value: raw})
}

// Set writes v, as JSON, at p. The parent of p must exist.
func (c *Change) Set(p Pointer, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		c.fail(fmt.Errorf("encode %s: %w", p, err))
		return
	}
	c.sets = append(c.sets, Op{Op: "add", Path: p, Value: raw})
}

// Append adds v, as JSON, behind the last element of the array at p.
func (c *Change) Append(p Pointer, v any) { c.Set(p+"/-", v) }

// Remove takes the value at p away. It must exist when the change is applied.
func (c *Change) Remove(p Pointer) {
	c.sets = append(c.sets, Op{Op: "remove", Path: p})
}

// Ops returns the operations in the order in which they are sent, or the first
// fault made while the change was built.
func (c *Change) Ops() ([]Op, error) {
	if c.err != nil {
		return nil, c.err
	}
	return append(append(make([]Op, 0, len(c.tests)+len(c.sets)), c.tests...), c.sets...), nil
}

// testsAll reports whether the change depends on the whole profile, beside
// which no other test can make a difference.
func (c *Change) testsAll() bool {
	return slices.ContainsFunc(c.tests, func(op Op) bool { return op.Op == "test" && op.Path == "" })
}

func (c *Change) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// testValue makes the change depend on the value at p being v, for values whose
// JSON text is not in doubt: strings and integers.
func (c *Change) testValue(p Pointer, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		c.fail(fmt.Errorf("encode %s: %w", p, err))
		return
	}
	c.Test(p, raw)
}

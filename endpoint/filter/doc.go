// Package filter decides which objects of a list, and which events, a client wants:
// it reads and evaluates conditions, on the JSON of what they are about.
//
// A Condition is one value of a list's query, such as Name=Between(a,b); an Event is
// the filter of an event registration. Compare orders values, for sorting.
//
// What it guarantees: reading a condition costs little, whatever regular expression
// and however many terms it has, and no condition can panic. Expressions are bounded
// (see package pattern): one that is too big is refused, a value that is too long for
// it does not match, and the filter of an event that is too long does not hold. Ne,
// Nin and Except are the complements of Eq, In and Between, also where there is no
// value: of what is absent these three are true, and all other conditions false. Of a
// field that is there and empty, such as the Address of a machine without one, an
// empty text is the value.
//
// What it does not do: it finds no fields and no params, which needs the objects and
// who inherits from whom. The caller hands in the value, nil if there is none.
//
//	c, err := filter.Parse(filter.Number, "Gt(3)")
//	if c.Holds([]byte("4")) { ... }
package filter

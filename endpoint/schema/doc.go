// Package schema checks values by the JSON schemas of params, within bounds.
//
// The library underneath has none of its own: it fetches other documents, and a schema
// that refers to itself without going into the value overflows its stack, which would
// end the process. So Check refuses schemas that it must not see, and CheckCost values
// that would take it too long.
//
// What it guarantees: a schema that passes Check is compiled without a request to
// anybody, and a Schema tells of every value in bounded time whether it fits.
//
// What it does not do: references to other documents, and ids below the root of a
// schema that has references, are refused. It does not check a schema's default; the
// caller checks that as any value.
//
//	s, err := schema.Compile(param.Schema)
//	faults, err := s.Mismatches(value)
package schema

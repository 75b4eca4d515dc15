// Package rawjson works on JSON as text: it reads what strangers sent, within bounds,
// and reads and replaces the members of objects without decoding their values.
//
// The params of an object can be large and are hardly ever needed as Go values, so
// the endpoint keeps them as the compact text that Parse made of a request.
//
// What it guarantees: what Parse accepts is valid, compact and unambiguous JSON, no
// deeper than MaxDepth, whose numbers cost little to compute with. The other
// functions leave the texts that they are given as they are, and take time linear
// in their length.
//
// What it does not do: it bounds no length, which is for the reader of the request,
// and it does not check the JSON that others than Parse made (see CheckShape).
package rawjson

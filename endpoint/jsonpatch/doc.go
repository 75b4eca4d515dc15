// Package jsonpatch decodes and applies JSON Patches (RFC 6902) as DRP does, within
// bounds.
//
// Apply is DRP 4's own library underneath: for a test an integer never equals a
// number written with a fraction or an exponent, the library knows array indexes
// that the RFC does not, and patched documents come back with sorted keys. What it
// got wrong on the way (it panicked, and took one key for another) is worked around
// in apply.go, and FuzzPatch compares it with a simple reading of the RFC.
//
// What it guarantees: all operations succeed or the result is an error that names
// the first that did not, worded as DRP words it; the document that was given stays
// as it was; and a small patch costs little: the number of its operations, the depth
// of its paths, what it copies and its time are bounded.
//
// What it does not do: it knows nothing of objects, their locks or HTTP. Callers
// apply a patch under the lock that makes it atomic, and check the result.
//
//	ops, err := jsonpatch.Parse(body)
//	patched, err := ops.Apply(doc)
package jsonpatch

package jsonpatch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gitlab.com/rackn/jp"
)

// Bounds of one patch, so that a small request cannot cost much under the lock.
const (
	maxOps   = 4096
	maxDepth = 64
	maxBytes = 8 << 20 // everything that its ops add, move and copy
	maxTime  = 2 * time.Second
	maxWaste = 64 << 20 // bytes, about, that the library may keep of what its ops replaced
)

// Op is one operation of an RFC 6902 JSON Patch. Decoding it once, here,
// means that claims are checked on the very paths that are then changed.
type Op struct {
	Op    string          `json:"op"`
	Path  *string         `json:"path"`
	From  *string         `json:"from"`
	Value json.RawMessage `json:"value"`

	path, from []string
}

// Patch is a decoded JSON Patch.
type Patch []Op

// OpError says which operation of a patch failed.
type OpError struct {
	Line int // its index
	Op   Op
	Err  error
}

func (e *OpError) Error() string { return e.Err.Error() }

// failure is why an operation failed, worded as DRP words it to clients.
type failure string

func (f failure) Error() string { return string(f) }

const (
	errNotPatch   failure = "Not a JSON patch"
	errTestFailed failure = "Test op failed."
	errUnknownOp  failure = "Unknown op."
	errIncomplete failure = "Op lacks a path, from or value."
	errBadPointer failure = "Not a JSON pointer."
	errNoPath     failure = "Path not found."
	errTooBig     failure = "Patch copies too much."
	errTooSlow    failure = "Patch takes too long."
)

// Parse decodes a patch; an empty body is one without operations. An operation that
// cannot be applied to anything is an *OpError; with any other error the body is no
// patch, or too long a one.
func Parse(body []byte) (Patch, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var ops Patch
	if err := json.Unmarshal(body, &ops); err != nil {
		return nil, errNotPatch
	}
	if len(ops) > maxOps {
		return nil, failure(fmt.Sprintf("More than %d operations", maxOps))
	}
	for i := range ops {
		if err := ops[i].check(); err != nil {
			return nil, &OpError{i, ops[i], err}
		}
	}
	return ops, nil
}

func (o *Op) check() (err error) {
	switch o.Op {
	case "add", "replace", "test":
		if o.Value == nil {
			return errIncomplete
		}
	case "move", "copy":
		if o.From == nil {
			return errIncomplete
		}
		if o.from, err = parsePointer(*o.From); err != nil {
			return err
		}
	case "remove":
	default:
		return errUnknownOp
	}
	if o.Path == nil {
		return errIncomplete
	}
	o.path, err = parsePointer(*o.Path)
	return err
}

func parsePointer(s string) ([]string, error) {
	p, err := jp.NewPointer(s)
	if err != nil || strings.Count(s, "/") > maxDepth {
		return nil, errBadPointer
	}
	return p.Path(), nil
}

// Claims returns the actions of DRP, such as update:/Params/x, that the patch needs
// on an object whose part at the pointer base it changes. Tests need none.
func (p Patch) Claims(base string) []string {
	var actions []string
	for _, o := range p {
		switch o.Op {
		case "test":
			continue
		case "move":
			actions = append(actions, "update:"+base+*o.From)
		}
		actions = append(actions, "update:"+base+*o.Path)
	}
	return actions
}

// Changes reports whether the patch does anything but test.
func (p Patch) Changes() bool {
	for _, o := range p {
		if o.Op != "test" {
			return true
		}
	}
	return false
}

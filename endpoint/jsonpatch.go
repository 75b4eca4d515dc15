package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gitlab.com/rackn/jp"
	"gitlab.com/rackn/provision/v4/models"
)

// Bounds of one patch, so that a small request cannot cost much under the lock.
const (
	maxPatchOps   = 4096
	maxPathDepth  = 64
	maxPatchBytes = maxBody // everything that its ops add, move and copy
	maxPatchTime  = 2 * time.Second
	maxPatchWaste = 64 << 20 // bytes, about, that the library may keep of what its ops replaced
)

// patchOp is one operation of an RFC 6902 JSON Patch. Decoding it once, here,
// means that claims are checked on the very paths that are then changed.
type patchOp struct {
	Op    string          `json:"op"`
	Path  *string         `json:"path"`
	From  *string         `json:"from"`
	Value json.RawMessage `json:"value"`

	path, from []string
}

// patch is a decoded JSON Patch.
type patch []patchOp

// opError says which operation of a patch failed.
type opError struct {
	line int
	op   patchOp
	err  error
}

func (e *opError) Error() string { return e.err.Error() }

// opFailure is why an operation failed, worded as DRP words it to clients.
type opFailure string

func (f opFailure) Error() string { return string(f) }

const (
	errTestFailed   opFailure = "Test op failed."
	errUnknownOp    opFailure = "Unknown op."
	errIncomplete   opFailure = "Op lacks a path, from or value."
	errBadPointer   opFailure = "Not a JSON pointer."
	errNoPath       opFailure = "Path not found."
	errPatchTooBig  opFailure = "Patch copies too much."
	errPatchTooSlow opFailure = "Patch takes too long."
)

// parsePatch decodes a patch. A body that is no array of objects is 400; an
// operation that cannot be applied to anything is an *opError.
func parsePatch(body []byte) (patch, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var ops patch
	if err := json.Unmarshal(body, &ops); err != nil {
		return nil, badRequest("Not a JSON patch")
	}
	if len(ops) > maxPatchOps {
		return nil, badRequest(fmt.Sprintf("More than %d operations", maxPatchOps))
	}
	for i := range ops {
		if err := ops[i].check(); err != nil {
			return nil, &opError{i, ops[i], err}
		}
	}
	return ops, nil
}

func (o *patchOp) check() (err error) {
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
	if err != nil || strings.Count(s, "/") > maxPathDepth {
		return nil, errBadPointer
	}
	return p.Path(), nil
}

// claims returns the actions that the patch needs on an object whose part at the
// pointer base it changes. Tests need none.
func (p patch) claims(base string) []string {
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

// changes reports whether the patch does anything but test.
func (p patch) changes() bool {
	for _, o := range p {
		if o.Op != "test" {
			return true
		}
	}
	return false
}

// apply returns the patched document. doc is not modified.
func (p patch) apply(doc []byte) ([]byte, error) {
	idx, err := plantDocument(doc)
	if err != nil {
		return nil, err
	}
	budget, waste, start := maxPatchBytes, 0, time.Now()
	for i, o := range p {
		if err := o.apply(idx, &budget); err != nil {
			return nil, &opError{i, o, err}
		}
		// Every change of a long list copies its index, and the library keeps the
		// old one: a small patch could take hours and all memory.
		if time.Since(start) > maxPatchTime {
			return nil, &opError{i, o, errPatchTooSlow}
		}
		if waste += 3 * idx.Len(); waste > max(maxPatchWaste, 16*idx.Len()) {
			waste = 0
			if doc, err = readAt(idx, nil); err != nil {
				return nil, err
			}
			if idx, err = plantDocument(doc); err != nil {
				return nil, err
			}
		}
	}
	return readAt(idx, nil)
}

// plantDocument returns an index that holds doc as its member "". That makes the
// library copy the keys: as long as it looks them up in the text, it panics on
// some near its end and takes one key for another where they differ in a space.
func plantDocument(doc []byte) (*jp.Index, error) {
	idx, err := jp.MakeIndex([]byte(`{"":null}`), nil)
	if err != nil {
		return nil, err
	}
	return idx, idx.Replace(doc, "")
}

// inDocument is where plantDocument puts a path.
func inDocument(path []string) []string { return append([]string{""}, path...) }

// readAt returns the part of the document at a path.
func readAt(idx *jp.Index, path []string) ([]byte, error) {
	part, err := idx.Get(inDocument(path)...)
	if err != nil {
		return nil, err
	}
	return part.AppendJSON(nil)
}

func (o *patchOp) apply(doc *jp.Index, budget *int) error {
	value := []byte(o.Value)
	if o.Op == "move" || o.Op == "copy" {
		var err error
		if value, err = readAt(doc, o.from); err != nil {
			return pathError(err)
		}
	}
	if *budget -= len(value); *budget < 0 {
		return errPatchTooBig
	}
	path := inDocument(o.path)
	switch o.Op {
	case "test":
		have, err := doc.Get(path...)
		if err != nil {
			return pathError(err)
		}
		want, err := jp.MakeIndex(value, nil)
		if err == nil && !have.Equal(want) {
			err = errTestFailed
		}
		return err
	case "remove":
		return remove(doc, o.path)
	case "move":
		if jp.Pointer(*o.From).Contains(jp.Pointer(*o.Path)) {
			if *o.From == *o.Path {
				return nil
			}
			return jp.BadMoveError
		}
		if err := remove(doc, o.from); err != nil {
			return err
		}
	}
	if o.Op == "replace" || len(o.path) == 0 {
		return pathError(doc.Replace(value, path...))
	}
	return pathError(doc.Add(value, path...))
}

// remove removes a part of the document, which cannot be the document itself.
func remove(doc *jp.Index, path []string) error {
	if len(path) == 0 {
		return errNoPath
	}
	return pathError(doc.Delete(inDocument(path)...))
}

// pathError says that a path is missing without telling what is there instead.
func pathError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, jp.KeyPathNotFoundError) {
		return errNoPath
	}
	return err
}

// onObject is the 409 error of a patch on an object URL.
func (e *opError) onObject(prefix, key string) *models.Error {
	path := ""
	if e.op.Path != nil {
		path = *e.op.Path
	}
	line, _ := json.Marshal(map[string]string{"op": e.op.Op, "path": path}) // strings always marshal
	return &models.Error{
		Model: prefix, Key: key, Type: "PATCH", Code: http.StatusConflict,
		Messages: []string{
			fmt.Sprintf("Patch error at line %d: %v", e.line, e.err),
			"Patch line: " + string(line),
		},
	}
}

// onParams is the 409 error of a patch on a /params URL.
func (e *opError) onParams(prefix, key string) *models.Error {
	return &models.Error{
		Model: prefix, Key: key, Type: "PATCH", Code: http.StatusConflict,
		Messages: []string{fmt.Sprintf("Patch failed to apply at line %d", e.line), e.err.Error()},
	}
}

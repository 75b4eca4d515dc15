package jsonpatch

import (
	"errors"
	"time"

	"gitlab.com/rackn/jp"
)

// Apply returns the patched document. doc, which must be JSON that rawjson.Parse
// accepts, is not modified. An operation that fails is an *OpError, whose text does
// not repeat what the document holds.
func (p Patch) Apply(doc []byte) ([]byte, error) {
	idx, err := plantDocument(doc)
	if err != nil {
		return nil, err
	}
	budget, waste, start := maxBytes, 0, time.Now()
	for i, o := range p {
		if err := o.apply(idx, &budget); err != nil {
			return nil, &OpError{i, o, err}
		}
		// Every change of a long list copies its index, and the library keeps the
		// old one: a small patch could take hours and all memory.
		if time.Since(start) > maxTime {
			return nil, &OpError{i, o, errTooSlow}
		}
		if waste += 3 * idx.Len(); waste > max(maxWaste, 16*idx.Len()) {
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

func (o *Op) apply(doc *jp.Index, budget *int) error {
	value := []byte(o.Value)
	if o.Op == "move" || o.Op == "copy" {
		var err error
		if value, err = readAt(doc, o.from); err != nil {
			return pathError(err)
		}
	}
	if *budget -= len(value); *budget < 0 {
		return errTooBig
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

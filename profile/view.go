package profile

import (
	"context"
	"sync"
)

// View is the newest state of the profile that this process has seen. Answers
// to one's own writes and reads of the hot params flow into it; whoever waits
// for a change waits on it. Create it with NewView.
type View struct {
	mu      sync.Mutex
	doc     *Document
	n       uint64        // rises with every state put
	whole   uint64        // n of the newest state that replaced the whole document
	changed chan struct{} // closed when n rises
}

// NewView returns a view that starts with d.
func NewView(d *Document) *View {
	return &View{doc: d, n: 1, whole: 1, changed: make(chan struct{})}
}

// Latest returns the newest state and its number.
func (v *View) Latest() (*Document, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.doc, v.n
}

// Put makes d, a whole profile whose request began at state number before, the
// newest state. It reports whether nothing else was put meanwhile; if it was,
// the order of the two is not known and the caller reads again.
func (v *View) Put(d *Document, before uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	ordered := v.n == before
	v.setLocked(d)
	v.whole = v.n
	return ordered
}

// PutParams lays the params named in names over the newest state, unless a
// whole profile was put since the state number before, at which the reading
// began: the answer to a write may not be overtaken by an older read. It
// reports whether it did.
func (v *View) PutParams(newer Params, names []string, before uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.whole > before {
		return false
	}
	v.setLocked(v.doc.With(newer, names))
	return true
}

func (v *View) setLocked(d *Document) {
	v.doc = d
	v.n++
	close(v.changed)
	v.changed = make(chan struct{})
}

// Wait blocks until there is a state with a number above after, and returns
// it; or until ctx ends, with its cause.
func (v *View) Wait(ctx context.Context, after uint64) (*Document, uint64, error) {
	for {
		v.mu.Lock()
		doc, n, changed := v.doc, v.n, v.changed
		v.mu.Unlock()
		if n > after {
			return doc, n, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return doc, n, context.Cause(ctx)
		}
	}
}

// Refresh reads the named params of store into the view. When it returns nil
// the view is at least as new, in these params, as the call.
func (v *View) Refresh(ctx context.Context, store Store, names ...string) error {
	for {
		_, before := v.Latest()
		params, err := store.ReadParams(ctx, names...)
		if err != nil {
			return err
		}
		if v.PutParams(params, names, before) {
			return nil
		}
		// The answer to a write came in between; which is newer is not known.
	}
}

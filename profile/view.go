package profile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"muster/internal/pulse"
)

// View is the newest state of the profile that this process has seen. Answers
// to one's own writes and reads of the hot params flow into it; whoever waits
// for a change waits on it. Create it with NewView.
type View struct {
	memo *memo

	mu      sync.Mutex
	doc     *Document
	n       uint64        // rises with every state put
	wholeN  uint64        // n of the newest state that replaced the whole document
	mixed   bool          // that state was put together of two
	changed chan struct{} // closed when n rises

	refreshing chan struct{}  // holds one token while a Refresh reads
	wanted     map[string]int // params beside the hot ones → how many wait for them
	waiters    int            // who wait for a change
}

// NewView returns a view that starts with d, and with what that was decoded to.
func NewView(d *Document) *View {
	m := d.memo
	if m == nil {
		m = newMemo()
	}
	v := &View{memo: m, n: 1, wholeN: 1, changed: make(chan struct{}), refreshing: make(chan struct{}, 1), wanted: map[string]int{}}
	v.doc = v.remembering(d)
	return v
}

// Latest returns the newest state and its number.
func (v *View) Latest() (*Document, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.doc, v.n
}

// Whole reports whether the newest state is one whole answer of the endpoint:
// then its Date is as new as anything in it.
func (v *View) Whole() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wholeN == v.n && !v.mixed
}

// whole returns the version of the newest state that was one whole answer of the
// endpoint, "" if the endpoint has none or the newest whole state is mixed, and
// the number of that state.
func (v *View) whole() (version string, n uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.doc.Version, v.wholeN
}

// Put makes d, a whole profile whose request began at state number before, the
// newest state. It reports whether nothing else was put meanwhile; if it was,
// the order of the two is not known: the hot params stay as they are, so that
// nobody sees the profile go back, and the caller refreshes them.
func (v *View) Put(d *Document, before uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	ordered := v.n == before
	if !ordered {
		d = d.With(v.doc.Params, HotParams())
		d.Version = "" // no state of the endpoint: whoever knows the version has yet to look
	}
	v.mixed = !ordered
	v.setLocked(d)
	v.wholeN = v.n
	return ordered
}

// PutParams lays the params named in names over the newest state, unless a
// whole profile was put since the state number before, at which the reading
// began: the answer to a write may not be overtaken by an older read. It
// reports whether it did.
func (v *View) PutParams(newer Params, names []string, before uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.wholeN > before {
		return false
	}
	v.setLocked(v.doc.With(newer, names))
	return true
}

// remembering returns d as a document that is decoded once.
func (v *View) remembering(d *Document) *Document {
	c := *d
	c.memo = v.memo
	return &c
}

func (v *View) setLocked(d *Document) {
	v.doc = v.remembering(d)
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

// After returns a channel that is closed once there is a state with a number
// above n.
func (v *View) After(n uint64) <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.n > n {
		now := make(chan struct{})
		close(now)
		return now
	}
	return v.changed
}

// Want says that somebody waits for a change of the profile, and of these params
// beside the hot ones: until release is called a Watch reads them too, and does
// not rest.
func (v *View) Want(names ...string) (release func()) {
	v.count(1, names)
	return sync.OnceFunc(func() { v.count(-1, names) })
}

func (v *View) count(by int, names []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waiters += by
	for _, name := range names {
		if v.wanted[name] += by; v.wanted[name] == 0 {
			delete(v.wanted, name)
		}
	}
}

// Wanted returns the params that are wanted beside the hot ones, and how many
// wait for a change.
func (v *View) Wanted() (names []string, waiters int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return sorted(v.wanted), v.waiters
}

// Refresh reads the named params of store into the view, one call after the
// other, so that reads do not overtake each other. When it returns nil the view
// is at least as new, in these params, as the call. An answer that lacks a param
// which every cluster profile has is ErrMalformed, and is not put: some proxies
// and permissions make an empty answer out of a full profile.
func (v *View) Refresh(ctx context.Context, store Store, names ...string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	pulse.From(ctx).Doing("waiting for an earlier read", pulse.Slack)
	end, err := v.turn(ctx)
	if err != nil {
		return err
	}
	defer end()
	for {
		_, before := v.Latest()
		params, err := store.ReadParams(ctx, names...)
		if err == nil {
			err = lacking(params, names)
		}
		if err != nil {
			return err
		}
		if v.PutParams(params, names, before) {
			return nil
		}
		// The answer to a write came in between; which is newer is not known.
	}
}

// Reread is Refresh with the whole profile. It costs more bytes, and says which
// version that is.
func (v *View) Reread(ctx context.Context, store Store) error {
	end, err := v.turn(ctx)
	if err != nil {
		return err
	}
	defer end()
	for {
		_, before := v.Latest()
		d, err := store.Read(ctx)
		if err == nil {
			err = lacking(d.Params, append(HotParams(), ParamMembers, ParamExpected))
		}
		if err != nil {
			return err
		}
		if v.putIf(d, before) {
			return nil
		}
	}
}

// Await is Reread as soon as the profile is not of the version since any more, or
// nothing when wait has passed before. It reports whether the endpoint waited, as
// it should. What another state overtook meanwhile is not put: whoever asks again
// after the version known then gets it.
func (v *View) Await(ctx context.Context, store Store, since string, wait time.Duration) (waited bool, err error) {
	asked := time.Now()
	_, before := v.Latest()
	d, err := store.ReadChanged(ctx, since, wait)
	if err != nil {
		return false, err
	}
	if d == nil || d.Version == since {
		return time.Since(asked) >= wait/2, nil
	}
	if err := lacking(d.Params, append(HotParams(), ParamMembers, ParamExpected)); err != nil {
		return true, err
	}
	v.putIf(d, before)
	return true, nil
}

// putIf is Put, unless another state was put meanwhile.
func (v *View) putIf(d *Document, before uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.n != before {
		return false
	}
	v.mixed = false
	v.setLocked(d)
	v.wholeN = v.n
	return true
}

// turn waits until no other read is under way.
func (v *View) turn(ctx context.Context) (end func(), err error) {
	select {
	case v.refreshing <- struct{}{}:
		return func() { <-v.refreshing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: an earlier read is still under way: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// lacking returns ErrMalformed if one of the names is not there that every
// cluster profile has.
func lacking(params Params, names []string) error {
	for _, name := range names {
		if _, ok := params[name]; !ok && planted(name) {
			return fmt.Errorf("%w: the answer of the endpoint lacks %s; it may have been removed by hand, or the answer cut by a proxy", ErrMalformed, name)
		}
	}
	return nil
}

// planted reports whether every cluster profile that Muster works with has the
// param.
func planted(name string) bool {
	return live(name) || name == ParamProfile || name == ParamFormat
}

// Package memory is the profile contract in memory: one Profile that many
// Stores share, each with faults of its own. It is what simulations run on.
//
// Guaranteed: Apply is atomic and the commits have one total order, which
// OnCommit sees. A fault happens exactly as asked for. Time is package time's,
// so in a testing/synctest bubble it is simulated.
//
// Not guaranteed: any durability, and DRP's own validation of params.
package memory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"muster/profile"
)

// Profile is the shared profile, as an endpoint would keep it.
type Profile struct {
	name string

	mu       sync.Mutex
	params   profile.Params
	version  int
	changed  chan struct{} // closed by the next commit
	onCommit func(before, after *profile.Document)
	unversed bool
	restores int
	now      func() time.Time
}

// New returns a profile with these params.
func New(name string, params profile.Params) *Profile {
	return &Profile{name: name, params: copied(params), version: 1, changed: make(chan struct{}), now: time.Now}
}

// OnCommit has fn called with the states before and after every commit, in
// order, before anybody learns of it. Set it before the profile is used.
func (p *Profile) OnCommit(fn func(before, after *profile.Document)) { p.onCommit = fn }

// WithoutVersions makes the profile behave as an endpoint without ETags.
func (p *Profile) WithoutVersions() { p.unversed = true }

// SetClock has now tell the Date of documents, as an endpoint whose clock is
// not right. Set it before the profile is used.
func (p *Profile) SetClock(now func() time.Time) { p.now = now }

// Document returns the present state.
func (p *Profile) Document() *profile.Document {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.documentLocked()
}

func (p *Profile) documentLocked() *profile.Document {
	d := &profile.Document{Name: p.name, Params: maps.Clone(p.params), Date: p.now().Truncate(time.Second)}
	if !p.unversed {
		d.Version = strconv.Itoa(p.version)
	}
	return d
}

// Replace sets the params as an edit by hand would.
func (p *Profile) Replace(params profile.Params) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commitLocked(copied(params))
}

// Restore sets the params as an endpoint does that is stopped, restored from a
// backup and started again: requests that are under way never arrive.
func (p *Profile) Restore(params profile.Params) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restores++
	p.commitLocked(copied(params))
}

// copied is never nil: params can be set in it.
func copied(params profile.Params) profile.Params {
	c := make(profile.Params, len(params))
	maps.Copy(c, params)
	return c
}

func (p *Profile) commitLocked(params profile.Params) {
	before := p.documentLocked()
	p.params = params
	p.version++
	close(p.changed)
	p.changed = make(chan struct{})
	if p.onCommit != nil {
		p.onCommit(before, p.documentLocked())
	}
}

// errGone is the end of a request that a restart of the endpoint met.
var errGone = errors.New("lost by a restart")

// apply carries out c, which was sent when the profile had been restored so
// often.
func (p *Profile) apply(c *profile.Change, restores int) (*profile.Document, error) {
	ops, err := c.Ops()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.restores != restores {
		return nil, errGone
	}
	params, err := patch(p.params, ops)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", profile.ErrConflict, err)
	}
	p.commitLocked(params)
	return p.documentLocked(), nil
}

// Call names one use of a Store, for faults to choose by.
type Call struct {
	Method string // Read | ReadParams | Apply | Changed | ReadChanged
	N      int    // how many calls the store had before
	Change *profile.Change
}

// Fault is what happens to one call. The zero value is none.
type Fault struct {
	// Delay is the time that the request takes to arrive. If it is longer than
	// the store's time-out the caller gives up first, and the request still
	// arrives.
	Delay time.Duration
	// Again, if it is not 0, is how long after the first time the request
	// arrives a second time, and is carried out again.
	Again time.Duration
	// Late is the time that the answer takes.
	Late time.Duration
	// LoseRequest: the request never arrives, and the caller waits in vain.
	LoseRequest bool
	// LoseReply: the request is carried out, and the caller waits in vain.
	LoseReply bool
	// Refuse is returned at once, in the place of everything else.
	Refuse error
}

// Store is one member's way to the profile. It implements profile.Store.
type Store struct {
	profile *Profile
	// Timeout is how long a call waits for its answer.
	timeout time.Duration

	mu     sync.Mutex
	faults func(Call) Fault
	calls  int
	late   sync.WaitGroup
}

var _ profile.Store = (*Store)(nil)

// Timeout is how long the calls of a Store wait for their answers.
const Timeout = 10 * time.Second

// Store returns a new way to the profile. faults may be nil; it is called once
// for every call of the store.
func (p *Profile) Store(faults func(Call) Fault) *Store {
	return &Store{profile: p, timeout: Timeout, faults: faults}
}

// Settle waits until no request of this store is on its way any more.
func (s *Store) Settle() { s.late.Wait() }

// Read implements profile.Store.
func (s *Store) Read(ctx context.Context) (*profile.Document, error) {
	return call(ctx, s, Call{Method: "Read"}, profile.ErrUnavailable, func() (*profile.Document, error) {
		return s.profile.Document(), nil
	})
}

// ReadParams implements profile.Store.
func (s *Store) ReadParams(ctx context.Context, names ...string) (profile.Params, error) {
	return call(ctx, s, Call{Method: "ReadParams"}, profile.ErrUnavailable, func() (profile.Params, error) {
		d := s.profile.Document()
		params := profile.Params{}
		for _, n := range names {
			if raw, ok := d.Params[n]; ok {
				params[n] = raw
			}
		}
		return params, nil
	})
}

// Secure implements profile.Sealer: no param is declared.
func (s *Store) Secure(context.Context, string) (bool, error) { return false, nil }

// Seal implements profile.Sealer: there is no key.
func (s *Store) Seal(context.Context, json.RawMessage) (json.RawMessage, error) {
	return nil, fmt.Errorf("%w: a profile in memory has no key", profile.ErrInvalid)
}

// ReadOpened implements profile.Sealer.
func (s *Store) ReadOpened(ctx context.Context, key string) (json.RawMessage, error) {
	params, err := s.ReadParams(ctx, key)
	return params[key], err
}

// Apply implements profile.Store.
func (s *Store) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	s.profile.mu.Lock()
	restores := s.profile.restores
	s.profile.mu.Unlock()
	return call(ctx, s, Call{Method: "Apply", Change: c}, profile.ErrUnknownOutcome, func() (*profile.Document, error) {
		return s.profile.apply(c, restores)
	})
}

// Changed implements profile.Store.
func (s *Store) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	return s.await(ctx, Call{Method: "Changed"}, since, wait)
}

func (s *Store) await(ctx context.Context, c Call, since string, wait time.Duration) (string, error) {
	fault := s.fault(c)
	if fault.Refuse != nil {
		return "", fault.Refuse
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("%w: %w", profile.ErrUnavailable, context.Cause(ctx))
	}
	if fault.LoseRequest || fault.LoseReply {
		return "", s.inVain(ctx, wait+s.timeout, profile.ErrUnavailable)
	}
	timer := time.NewTimer(wait + fault.Delay)
	defer timer.Stop()
	for {
		s.profile.mu.Lock()
		version, changed := s.profile.documentLocked().Version, s.profile.changed
		s.profile.mu.Unlock()
		if version != since || version == "" {
			return version, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return since, nil
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %w", profile.ErrUnavailable, context.Cause(ctx))
		}
	}
}

// ReadChanged implements profile.Store.
func (s *Store) ReadChanged(ctx context.Context, since string, wait time.Duration) (*profile.Document, error) {
	version, err := s.await(ctx, Call{Method: "ReadChanged"}, since, wait)
	if err != nil || version == since {
		return nil, err
	}
	return s.profile.Document(), nil
}

func (s *Store) fault(c Call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.N = s.calls
	s.calls++
	if s.faults == nil {
		return Fault{}
	}
	return s.faults(c)
}

// inVain waits for an answer that does not come.
func (s *Store) inVain(ctx context.Context, d time.Duration, err error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return fmt.Errorf("%w: no answer within %s", err, d)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
}

// call carries work out under the fault that is drawn for it. silence is the
// error of a caller that gets no answer.
func call[T any](ctx context.Context, s *Store, c Call, silence error, work func() (T, error)) (T, error) {
	var none T
	fault := s.fault(c)
	switch {
	case fault.Refuse != nil:
		return none, fault.Refuse
	case ctx.Err() != nil:
		return none, fmt.Errorf("%w: %w", profile.ErrUnavailable, context.Cause(ctx))
	case fault.LoseRequest:
		return none, s.inVain(ctx, s.timeout, silence)
	}
	type answer struct {
		v   T
		err error
	}
	answers := make(chan answer, 1)
	s.late.Go(func() {
		time.Sleep(fault.Delay)
		v, err := work()
		if fault.Again > 0 {
			s.late.Go(func() { time.Sleep(fault.Again); work() })
		}
		if !fault.LoseReply && !errors.Is(err, errGone) {
			time.Sleep(fault.Late)
			answers <- answer{v, err}
		}
	})
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.v, a.err
	case <-timer.C:
		return none, fmt.Errorf("%w: no answer within %s", silence, s.timeout)
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", silence, context.Cause(ctx))
	}
}

package endpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/internal/boottime"
)

// change tells subscribers about one committed change of one object. Object is
// the object after the change (for a delete the one that was deleted), Original
// the one before it (nil for a create). Both are shared: do not modify them.
type change struct {
	Time      time.Time
	Type      string
	Action    string
	Key       string
	Principal string
	Object    json.RawMessage
	Original  json.RawMessage
}

// id names one object.
type id struct{ prefix, key string }

// store holds all objects. Committed records are immutable, so that readers may
// keep them after the lock is released.
type store struct {
	compat313 bool
	// beforePut, if set before the first request, may adjust a machine or job
	// that is about to be stored, within the same transaction. old is nil for a
	// new object. The Params of both are empty: they are kept beside the models.
	beforePut func(t *tx, old, new models.Model) error
	// life makes ETags of one store differ from those of the store before it.
	life string
	// persist, if set before the first request, makes a transaction durable before
	// anybody sees it. It is called with the store locked; if it fails, nothing
	// has changed.
	persist func(t *tx) error

	// mu guards everything below; functions called with it held, but for persist,
	// must not block.
	mu          sync.RWMutex
	objects     map[string]map[string]*record
	version     uint64 // of the last commit
	schemas     uint64 // version of the last commit that changed a param declaration
	waiters     map[id]chan struct{}
	subscribers map[int]func(change)
	nextID      int
	onCommit    func(Commit)
}

func newStore(compat313 bool) *store {
	return &store{
		compat313:   compat313,
		objects:     map[string]map[string]*record{},
		waiters:     map[id]chan struct{}{},
		subscribers: map[int]func(change){},
	}
}

// view runs fn with a consistent view of the store that cannot be changed.
func (s *store) view(fn func(*tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return fn(&tx{s: s, readOnly: true})
}

// snapshot returns a transaction on the store as it is now, which later changes do
// not touch: for what takes long, without the lock.
func (s *store) snapshot() *tx {
	s.mu.RLock()
	defer s.mu.RUnlock()
	objects := make(map[string]map[string]*record, len(s.objects))
	for prefix, all := range s.objects {
		objects[prefix] = maps.Clone(all)
	}
	return &tx{s: &store{compat313: s.compat313, life: s.life, version: s.version, schemas: s.schemas, objects: objects}, readOnly: true}
}

// update runs fn and commits what it staged, all of it or, if fn returns an
// error or the changes cannot be saved, nothing. principal is recorded in the
// change events.
func (s *store) update(principal string, fn func(*tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tx{s: s, principal: principal, staged: map[id]*record{}, saved: map[id]bool{}, role: "machine"}
	if err := fn(t); err != nil {
		return err
	}
	if err := t.settle(); err != nil {
		return err
	}
	t.number()
	if s.persist != nil && len(t.order) > 0 {
		if err := s.persist(t); err != nil {
			return err
		}
	}
	for _, what := range t.order {
		s.commitLocked(t, what)
	}
	return nil
}

// commitLocked makes one staged change visible and tells everybody.
func (s *store) commitLocked(t *tx, what id) {
	old, rec := s.objects[what.prefix][what.key], t.staged[what]
	c := change{Time: time.Now(), Type: what.prefix, Key: what.key, Principal: t.principal}
	s.version++
	switch {
	case rec == nil && old == nil:
		return
	case rec == nil:
		delete(s.objects[what.prefix], what.key)
		c.Action, c.Object, c.Original = "delete", old.shown, old.shown
	default:
		if s.objects[what.prefix] == nil {
			s.objects[what.prefix] = map[string]*record{}
		}
		s.objects[what.prefix][what.key] = rec
		c.Action, c.Object = "create", rec.shown
		if old != nil {
			c.Action, c.Original = "update", old.shown
			if t.saved[what] {
				c.Action = "save"
			}
		}
	}
	if what.prefix == "params" {
		s.schemas = s.version
	}
	if s.onCommit != nil {
		s.onCommit(Commit{Prefix: c.Type, Key: c.Key, Action: c.Action, Object: c.Object, Boottime: boottime.Now()})
	}
	if ch, ok := s.waiters[what]; ok {
		close(ch)
		delete(s.waiters, what)
	}
	for _, n := range slices.Sorted(maps.Keys(s.subscribers)) {
		s.subscribers[n](c)
	}
}

// subscribe calls fn for every change, in commit order and with the store
// locked, until cancel is called. fn must not block nor use the store.
func (s *store) subscribe(fn func(change)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nextID
	s.nextID++
	s.subscribers[n] = fn
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subscribers, n)
	}
}

// next returns the record of an object (nil if there is none) together with a
// channel that is closed at that object's next commit.
func (s *store) next(what id) (*record, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.objects[what.prefix][what.key]
	if rec == nil {
		return nil, nil
	}
	ch, ok := s.waiters[what]
	if !ok {
		ch = make(chan struct{})
		s.waiters[what] = ch
	}
	return rec, ch
}

// etag returns the quoted entity tag of a committed record.
func (s *store) etag(r *record) string {
	return fmt.Sprintf(`"%s-%d"`, s.life, r.version)
}

package agent_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"muster/endpoint"
	"muster/profile"
)

// place is a slot of a role.
type place struct{ role, n string }

// move is a slot that changed hands, at a moment of CLOCK_BOOTTIME.
type move struct {
	place
	at     time.Duration
	before profile.Slot
	after  profile.Slot
}

// ledger holds every commit of the profile to the invariants of slots.
type ledger struct {
	mu      sync.Mutex
	slots   map[string]map[string]profile.Slot
	proven  map[place]time.Duration // when a slot was last claimed or renewed
	used    map[profile.Tenure]bool
	bound   int // the most holders that a role may have; 0 is any
	moves   []move
	wrong   []string
	changed chan struct{} // closed by the next commit
}

// keepLedger notes the commits of the site from now on. What is wrong fails
// the test when it ends.
func keepLedger(t *testing.T, s *site) *ledger {
	t.Helper()
	d, err := s.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slots, err := d.Slots()
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{slots: slots, proven: map[place]time.Duration{}, used: map[profile.Tenure]bool{}, changed: make(chan struct{})}
	s.OnCommit(func(c endpoint.Commit) {
		if c.Prefix == "profiles" && c.Key == "alpha" {
			l.take(c)
		}
	})
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, what := range l.wrong {
			t.Error(what)
		}
	})
	return l
}

func (l *ledger) take(c endpoint.Commit) {
	var object struct{ Params profile.Params }
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := json.Unmarshal(c.Object, &object); err != nil {
		l.fault("the profile cannot be read: %v", err)
		return
	}
	d := &profile.Document{Name: c.Key, Params: object.Params}
	now, err := d.Slots()
	if err != nil {
		l.fault("%v", err)
		return
	}
	for role, slots := range now {
		count, _, err := d.SlotCount(role)
		if err != nil {
			l.fault("%v", err)
		}
		l.takeRole(role, count, slots, c.Boottime)
	}
	l.slots = now
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *ledger) takeRole(role string, count int, slots map[string]profile.Slot, at time.Duration) {
	holders := map[string]string{}
	for n, s := range slots {
		if !s.Free() {
			if other, two := holders[s.Holder]; two {
				l.fault("%s holds %s/%s and %s/%s", s.Holder, role, n, role, other)
			}
			holders[s.Holder] = n
		}
		l.takeSlot(move{place{role, n}, at, l.slots[role][n], s}, count)
	}
	if l.bound > 0 && len(holders) > l.bound {
		l.fault("%s: %d holders, the larger of the counts is %d", role, len(holders), l.bound)
	}
}

func (l *ledger) takeSlot(m move, count int) {
	was, s := m.before, m.after
	changedHands := was.Holder != s.Holder || was.Instance != s.Instance || was.Epoch != s.Epoch
	if !changedHands {
		if s.Renewal != was.Renewal {
			l.proven[m.place] = m.at
		}
		return
	}
	l.moves = append(l.moves, m)
	if s.Epoch < was.Epoch {
		l.fault("%v: epoch %d after %d", m.place, s.Epoch, was.Epoch)
	}
	if s.Free() {
		return
	}
	if n, err := strconv.Atoi(m.n); err != nil || n > count {
		l.fault("%v is claimed by %s while the count is %d", m.place, s.Holder, count)
	}
	if tenure := (profile.Tenure{Role: m.role, Slot: m.n, Instance: s.Instance, Epoch: s.Epoch}); l.used[tenure] {
		l.fault("%v: the tenure of %s, epoch %d, is used again", m.place, s.Holder, s.Epoch)
	} else {
		l.used[tenure] = true
	}
	if !was.Free() {
		ttl, err := profile.ParseTTL(was.TTL)
		if left := m.at - l.proven[m.place]; err != nil || ttl == 0 || left < profile.TakeOverAfter(ttl) {
			l.fault("%v is taken from %s by %s, %v after it was renewed last (ttl %q)", m.place, was.Holder, s.Holder, left, was.TTL)
		}
	}
	l.proven[m.place] = m.at
}

func (l *ledger) fault(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// allow bounds the holders of each role from now on.
func (l *ledger) allow(most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bound = most
}

// holders returns who holds the slots of role, by number.
func (l *ledger) holders(role string) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holdersLocked(role)
}

func (l *ledger) holdersLocked(role string) map[string]string {
	held := map[string]string{}
	for n, s := range l.slots[role] {
		if !s.Free() {
			held[n] = s.Holder
		}
	}
	return held
}

// await waits until the holders of role are as wanted, and returns them.
func (l *ledger) await(t *testing.T, role, what string, wanted func(held map[string]string) bool) map[string]string {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		held, changed := l.holdersLocked(role), l.changed
		l.mu.Unlock()
		if wanted(held) {
			return held
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("not within %s: %s; %s is held by %v", patience, what, role, held)
		}
	}
}

// last returns the last move of a slot.
func (l *ledger) last(p place) move {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.moves) - 1; i >= 0; i-- {
		if l.moves[i].place == p {
			return l.moves[i]
		}
	}
	return move{}
}

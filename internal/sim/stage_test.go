package sim

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"muster/profile"
)

// stage knows who acts as the holder of which slot, in real time.
type stage struct {
	world *world

	mu     sync.Mutex // guards what follows
	acts   []*act
	forced map[profile.Tenure]bool // slots freed under their holders
	breaks []time.Duration         // when the profile was restored
	claims map[profile.Tenure]time.Duration
}

// act is one holding of a slot as whoever uses it sees it.
type act struct {
	*life
	tenure     profile.Tenure
	start, end time.Duration // end is 0 as long as it lasts
}

// enter notes that a process begins to act under a tenure.
func (s *stage) enter(l *life, t profile.Tenure) *act {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &act{life: l, tenure: t, start: time.Since(s.world.began)}
	s.acts = append(s.acts, a)
	return a
}

// claimed notes when a tenure began in the profile.
func (s *stage) claimed(t profile.Tenure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims == nil {
		s.claims = map[profile.Tenure]time.Duration{}
	}
	s.claims[t] = time.Since(s.world.began)
}

// begun is when the tenure of an act began: a process that was stopped may come
// to act under it long after.
func (s *stage) begun(a *act) time.Duration {
	bare := a.tenure
	bare.TTL = ""
	if at, known := s.claims[bare]; known {
		return min(at, a.start)
	}
	return a.start
}

// leave notes that it has ended.
func (a *act) leave() {
	s := a.world.stage
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.end == 0 {
		a.end = time.Since(s.world.began)
	}
}

// force notes that a slot was freed under its holder, who may go on for a while.
func (s *stage) force(t profile.Tenure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.TTL = ""
	s.forced[t] = true
}

// restored notes that the profile was restored: a slot that is free in the
// backup may be claimed at once, whoever holds it.
func (s *stage) restored() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breaks = append(s.breaks, time.Since(s.world.began))
}

// span is a time in which a process acts: from, to.
type span struct{ from, to time.Duration }

// wakes is how long a process that was stopped takes to go on, at most: what it
// has to do at once it does one after the other, a millisecond apart.
const wakes = 5 * time.Millisecond

// spans are when the act happened: not after its process was killed, nor while
// it was stopped.
func (a *act) spans(now time.Duration) []span {
	end := a.end
	if end == 0 {
		end = now
	}
	a.life.mu.Lock()
	defer a.life.mu.Unlock()
	if a.died > 0 {
		end = min(end, a.died)
	}
	var list []span
	from := a.start
	for _, p := range a.pauses {
		if p.to <= from || p.from >= end {
			continue
		}
		list = append(list, span{from, p.from})
		from = p.to + wakes
	}
	return append(list, span{min(from, end), end})
}

// judge: no two members ever act as the holder of one slot.
func (s *stage) judge(j *judge) {
	if both := s.overlap(); both != "" {
		j.violation("%s", both)
	}
}

// overlap describes two acts of one slot at once, or is "".
func (s *stage) overlap() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.world.began)
	for i, a := range s.acts {
		for _, b := range s.acts[:i] {
			if a.tenure.Role != b.tenure.Role || a.tenure.Slot != b.tenure.Slot || a.uuid == b.uuid || s.excused(a, b) {
				continue
			}
			for _, x := range a.spans(now) {
				for _, y := range b.spans(now) {
					if from, to := max(x.from, y.from), min(x.to, y.to); from < to {
						return fmt.Sprintf("%s and %s both act as holder of %s/%s from %s to %s, in epochs %d and %d", a.uuid, b.uuid, a.tenure.Role, a.tenure.Slot, from, to, a.tenure.Epoch, b.tenure.Epoch)
					}
				}
			}
		}
	}
	return ""
}

// inUse returns who acts under the tenure of a slot now, or "": its user is
// neither done, nor stopped, nor dead.
func (s *stage) inUse(role, n string, slot profile.Slot) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.world.began)
	for _, a := range s.acts {
		t := profile.Tenure{Role: role, Slot: n, Instance: slot.Instance, Epoch: slot.Epoch}
		if bare := (profile.Tenure{Role: a.tenure.Role, Slot: a.tenure.Slot, Instance: a.tenure.Instance, Epoch: a.tenure.Epoch}); bare != t || a.end > 0 || s.world.wild || s.forced[t] {
			continue
		}
		spans := a.spans(now)
		if last := spans[len(spans)-1]; last.from < now && last.to >= now {
			return a.uuid
		}
	}
	return ""
}

// excused reports whether the overlap of two acts is nothing that Muster
// promises to prevent.
func (s *stage) excused(a, b *act) bool {
	bare := func(t profile.Tenure) profile.Tenure { t.TTL = ""; return t }
	first, second := min(s.begun(a), s.begun(b)), max(a.start, b.start)
	return s.world.wild || s.forced[bare(a.tenure)] || s.forced[bare(b.tenure)] ||
		slices.ContainsFunc(s.breaks, func(at time.Duration) bool { return at >= first && at <= second })
}

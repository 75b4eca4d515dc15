package election_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"muster/election"
	"muster/profile"
	"muster/profile/memory"
)

const ttl = 6 * time.Second

// leased makes leader a lease with this TTL.
func (w *world) leased(ttl time.Duration) *world {
	w.put(profile.At(profile.ParamRoles, profile.Leader), profile.RoleOptions{TTL: ttl.String()})
	return w
}

// leading returns which of the hosts lead, by their own conviction.
func (w *world) leading(role string) []string {
	var list []string
	for _, h := range w.hosts {
		if h.cancel != nil && h.leads(role) != nil {
			list = append(list, h.uuid)
		}
	}
	return list
}

// leads returns the host's leadership, if it lasts.
func (h *host) leads(role string) *election.Leadership {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if h.elector == nil {
		return nil
	}
	l, err := h.elector.Await(now, role)
	if err != nil || l.Context().Err() != nil {
		return nil
	}
	return l
}

// crash ends the agent as SIGKILL would: it writes nothing any more.
func (h *host) crash() {
	h.mu.Lock()
	h.dead = true
	h.mu.Unlock()
	h.stop()
}

// renewals notes when the slot of a role was renewed or claimed.
type renewals struct {
	mu   sync.Mutex
	last time.Time
	by   string
}

// follow replaces the check of sticky slots: leases change hands.
func (w *world) follow(role string) *renewals {
	r := &renewals{}
	w.OnCommit(func(before, after *profile.Document) {
		old, _ := before.Slots()
		now, _ := after.Slots()
		for n, s := range now[role] {
			if was := old[role][n]; !s.Free() && (s.Renewal != was.Renewal || s.Epoch != was.Epoch) {
				r.mu.Lock()
				r.last, r.by = time.Now(), s.Holder
				r.mu.Unlock()
			}
		}
	})
	return r
}

func TestALeaseIsRenewedOnceInAThirdOfItsTTLAndFollowersWriteNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(5), Leaders: 1}).leased(ttl)
		for _, uuid := range members(5) {
			w.host(uuid).start()
		}
		pass(5 * time.Second)
		before := map[string]int{}
		for _, h := range w.hosts {
			before[h.uuid] = h.patches()
		}
		epoch := w.slots(profile.Leader)["1"].Epoch
		pass(10 * ttl)
		if got := w.slots(profile.Leader)["1"]; got.Epoch != epoch || got.TTL != ttl.String() {
			t.Errorf("slot %+v, want epoch %d kept", got, epoch)
		}
		for _, h := range w.hosts {
			want := 0
			if h.uuid == w.holders(profile.Leader)[0] {
				want = 30
			}
			if got := h.patches() - before[h.uuid]; got != want {
				t.Errorf("%s wrote %d times in ten TTLs, want %d", h.uuid, got, want)
			}
		}
	})
}

func TestTheLeaseOfADeadHolderIsTakenOverAfterOneAndAHalfTTLs(t *testing.T) {
	for _, polled := range []bool{false, true} {
		t.Run(fmt.Sprintf("polled %v", polled), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(5), Leaders: 1}).leased(ttl)
				if polled {
					w.WithoutVersions()
				}
				r := w.follow(profile.Leader)
				for _, uuid := range members(5) {
					w.host(uuid).start()
				}
				pass(time.Minute)
				first := w.leading(profile.Leader)
				for _, h := range w.hosts {
					if h.uuid == first[0] {
						h.crash()
					}
				}
				last := r.last
				pass(time.Until(last.Add(profile.TakeOverAfter(ttl) - time.Millisecond)))
				if got := w.holders(profile.Leader); !slices.Equal(got, first) {
					t.Fatalf("%v holds the slot before 1.5 TTL after the last renewal of %v", got, first)
				}
				pass(time.Second)
				if got := w.leading(profile.Leader); len(got) != 1 || got[0] == first[0] {
					t.Errorf("%v leads a second after %v could be taken over", got, first)
				}
				if events := w.events("1"); !slices.Equal(events, []string{profile.EventClaimed, profile.EventExpired, profile.EventClaimed}) {
					t.Errorf("history %v", events)
				}
			})
		})
	}
}

// events returns the history of a leader slot.
func (w *world) events(n string) []string {
	var list []string
	for _, h := range w.slots(profile.Leader)[n].History {
		list = append(list, h.Event)
	}
	return list
}

func TestLeadershipEndsBeforeTheSlotIsTakenOverAtClockRatesUpToTwo(t *testing.T) {
	for _, rates := range [][2]float64{{1, 1}, {1, 2}, {0.5, 1}, {2, 1}, {1.4, 0.7}, {0.75, 1.5}} {
		t.Run(fmt.Sprint(rates), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 1}).leased(ttl)
				w.follow(profile.Leader)
				var cut atomic.Bool
				holder := w.host("u00")
				holder.rate = rates[0]
				holder.faults = func(memory.Call) memory.Fault { return memory.Fault{LoseRequest: cut.Load()} }
				holder.start()
				pass(20 * time.Second)
				l := holder.leads(profile.Leader)
				other := w.host("u01")
				other.rate = rates[1]
				other.start()
				pass(20*time.Second + 1700*time.Millisecond)
				cut.Store(true)
				for other.leads(profile.Leader) == nil {
					pass(10 * time.Millisecond)
					if len(w.leading(profile.Leader)) > 1 {
						t.Fatal("two members lead")
					}
				}
				if cause := context.Cause(l.Context()); !errors.Is(cause, election.ErrNotRenewed) {
					t.Errorf("leadership ended with %v", cause)
				}
			})
		})
	}
}

func TestARenewalWhoseAnswerIsLostCountsFromBeforeItWasSent(t *testing.T) {
	for name, fault := range map[string]memory.Fault{
		"reply lost":   {LoseReply: true},
		"request lost": {LoseRequest: true},
		"slow":         {Delay: 500 * time.Millisecond},
		"late":         {Delay: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1}).leased(ttl)
				w.follow(profile.Leader)
				h := w.host("u00")
				hit := 0
				h.faults = func(c memory.Call) memory.Fault {
					if c.Method == "Apply" {
						if hit++; hit > 5 && hit%2 == 0 {
							return fault
						}
					}
					return memory.Fault{}
				}
				h.start()
				pass(5 * time.Second)
				l := h.leads(profile.Leader)
				for range 600 {
					pass(100 * time.Millisecond)
					d, _ := l.Deadlines()
					if left := d.Kill - h.clock().Now(); left > profile.ActFor(ttl) {
						t.Fatalf("%s left, more than a renewal sent now would give", left)
					}
				}
				if l.Context().Err() != nil {
					t.Errorf("leadership ended: %v", context.Cause(l.Context()))
				}
			})
		})
	}
}

func TestAHolderThatRestartsLeadsAgainOnlyOnceItHasRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1}).leased(ttl)
		w.follow(profile.Leader)
		h := w.host("u00").start()
		pass(10 * time.Second)
		before := w.slots(profile.Leader)["1"]
		h.crash()
		h.mu.Lock()
		h.dead = false
		h.mu.Unlock()
		var cut atomic.Bool
		cut.Store(true)
		h.faults = func(c memory.Call) memory.Fault {
			return memory.Fault{LoseRequest: cut.Load() && c.Method == "Apply"}
		}
		h.start()
		pass(30 * time.Second)
		if h.leads(profile.Leader) != nil {
			t.Error("it leads though it could not renew")
		}
		cut.Store(false)
		pass(30 * time.Second)
		if l := h.leads(profile.Leader); l == nil || l.Tenure().Epoch != before.Epoch {
			t.Errorf("leadership %+v, want that of epoch %d", l, before.Epoch)
		}
	})
}

func TestAUseThatDoesNotKeepUpKeepsNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1}).leased(ttl)
		w.follow(profile.Leader)
		for _, uuid := range members(2) {
			w.host(uuid).start()
		}
		pass(10 * time.Second)
		var first *host
		for _, h := range w.hosts {
			if h.leads(profile.Leader) != nil {
				first = h
			}
		}
		l := first.leads(profile.Leader)
		use, err := l.Use()
		if err != nil {
			t.Fatal(err)
		}
		for range 10 { // keeping up
			pass(time.Second)
			d, _ := l.Deadlines()
			use.Ack(d.Kill)
		}
		if l.Context().Err() != nil {
			t.Fatalf("leadership ended: %v", context.Cause(l.Context()))
		}
		pass(2 * profile.TakeOverAfter(ttl))
		if got := w.leading(profile.Leader); len(got) != 1 || got[0] == first.uuid {
			t.Errorf("%v leads, want the other: what runs on %s does not answer", got, first.uuid)
		}
		use.Done()
	})
}

func TestAGracefulEndGivesALeaseBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1}).leased(ttl)
		w.follow(profile.Leader)
		for _, uuid := range members(2) {
			w.host(uuid).start()
		}
		pass(time.Minute)
		for _, h := range w.hosts {
			if h.leads(profile.Leader) != nil {
				h.stop()
				break
			}
		}
		pass(time.Second)
		if got := w.leading(profile.Leader); len(got) != 1 {
			t.Errorf("%v leads a second after the holder was told to stop", got)
		}
	})
}

func TestFollowersFarInRankReadSeldomWhileNothingButRenewalsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(10), Leaders: 1}).leased(ttl)
		w.follow(profile.Leader)
		var mu sync.Mutex
		reads := map[string]int{}
		for _, uuid := range members(10) {
			h := w.host(uuid)
			h.faults = func(c memory.Call) memory.Fault {
				mu.Lock()
				defer mu.Unlock()
				if c.Method != "Apply" {
					reads[uuid]++ // long polls too
				}
				return memory.Fault{}
			}
			h.start()
		}
		pass(5 * time.Minute)
		mu.Lock()
		clear(reads)
		mu.Unlock()
		pass(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		far := 0
		for _, n := range reads {
			if n <= 10*60/30+10 { // a look in 30 s, whether a barrier is open or not
				far++
			}
		}
		if far < 10-1-3 {
			t.Errorf("requests in ten minutes: %v, want all but the holder and the next three to rest", reads)
		}
	})
}

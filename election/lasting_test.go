package election_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"muster/election"
	"muster/profile"
	"muster/profile/memory"
)

func TestLeadershipEndsWhenTheSlotIsSeenLostThoughAnotherWriteHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1, Roles: map[string]int{"db": 1}})
		h := w.host("u00")
		var cut atomic.Bool
		h.faults = func(c memory.Call) memory.Fault {
			return memory.Fault{LoseRequest: cut.Load() && c.Method == "Apply"}
		}
		h.start()
		pass(5 * time.Second)
		l := h.leads(profile.Leader)
		cut.Store(true)
		w.put(profile.At(profile.ParamSlots, "db", "1", "wanted"), profile.Anybody)
		pass(5 * time.Second) // it is giving that slot up, in vain
		w.operate(profile.Evict{Member: "u00", Role: profile.Leader, Slot: "1", Reason: "repair", Force: true}.Plan)
		pass(2 * time.Second)
		if cause := context.Cause(l.Context()); !errors.Is(cause, profile.ErrLost) {
			t.Errorf("leadership %v, want it ended: the slot is not held any more", cause)
		}
	})
}

func TestAClaimThatTheViewDoesNotShowYetIsNotGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		var patches, reads atomic.Int32
		h.faults = func(c memory.Call) memory.Fault {
			switch {
			case c.Method == "Apply" && patches.Add(1) == 2: // the claim, after the joining
				return memory.Fault{Delay: 2 * time.Second, Late: time.Second}
			case c.Method == "ReadParams" && patches.Load() == 2 && reads.Add(1) > 1:
				return memory.Fault{Refuse: profile.ErrUnavailable}
			}
			return memory.Fault{}
		}
		h.start()
		pass(time.Second)
		w.put(profile.At("foreign"), 1) // read while the claim is on its way
		pass(4 * time.Second)
		patches.Store(3)
		pass(30 * time.Second)
		if events := w.events("1"); !slices.Equal(events, []string{profile.EventClaimed}) || h.leads(profile.Leader) == nil {
			t.Errorf("history %v, want one claim, that is led; log:\n%s", events, h.log.String())
		}
	})
}

func TestALeaseWhoseDeadlineHasPassedIsNotLedOnThoughItCanBeRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1}).leased(ttl)
		w.follow(profile.Leader)
		h := w.host("u00")
		h.start()
		pass(5100 * time.Millisecond)
		l := h.leads(profile.Leader)
		h.suspended.Add(int64(profile.ActFor(ttl))) // timers stand still meanwhile
		if _, err := l.Use(); !errors.Is(err, election.ErrNotRenewed) {
			t.Errorf("a use began after the deadline: %v", err)
		}
		pass(time.Minute)
		if cause := context.Cause(l.Context()); !errors.Is(cause, election.ErrNotRenewed) {
			t.Errorf("leadership ended with %v, want %v", cause, election.ErrNotRenewed)
		}
		if now := h.leads(profile.Leader); now == nil || now.Tenure() == l.Tenure() {
			t.Errorf("leadership %v, want one of a new tenure", now)
		}
	})
}

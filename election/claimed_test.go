package election_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
	"muster/profile/memory"
)

func TestAnAttemptToClaimThatLandsLateIsRenewedLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1}).leased(time.Minute)
		w.follow(profile.Leader)
		h := w.host("u00")
		patches := 0
		h.faults = func(c memory.Call) memory.Fault {
			if c.Method != "Apply" {
				return memory.Fault{}
			}
			switch patches++; patches { // the first is the joining
			case 2:
				return memory.Fault{Delay: memory.Timeout + 200*time.Millisecond}
			case 3:
				return memory.Fault{Delay: 500 * time.Millisecond} // after the one before
			}
			return memory.Fault{}
		}
		h.start()
		pass(15 * time.Second)
		l := h.leads(profile.Leader)
		if l == nil {
			t.Fatal("it does not lead")
		}
		pass(time.Minute)
		if l.Context().Err() != nil {
			t.Errorf("leadership ended: %v", context.Cause(l.Context()))
		}
	})
}

func TestALeaseThatIsClaimedGoesByTheTTLInItsSlot(t *testing.T) {
	for _, later := range []string{"", "10m"} {
		t.Run("then "+later, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 1}).leased(ttl)
				w.follow(profile.Leader)
				h := w.host("u00")
				patches := 0
				h.faults = func(c memory.Call) memory.Fault {
					if c.Method == "Apply" {
						patches++
					}
					return memory.Fault{LoseReply: c.Method == "Apply" && patches >= 2, LoseRequest: patches >= 2 && c.Method == "Changed"}
				}
				h.start()
				pass(3 * time.Second) // the claim has landed, and nobody knows
				w.put(profile.At(profile.ParamRoles, profile.Leader), profile.RoleOptions{TTL: later})
				w.host("u01").start()
				for range 300 {
					pass(100 * time.Millisecond)
					if got := w.leading(profile.Leader); len(got) > 1 {
						t.Fatalf("%v lead", got)
					}
				}
			})
		})
	}
}

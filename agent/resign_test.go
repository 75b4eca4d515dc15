package agent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"muster/election"
	"muster/internal/boottime"
	"muster/profile"
)

// eachMode runs test against an endpoint of now and one of old times, one after
// the other: each takes all that the host has.
func eachMode(t *testing.T, test func(t *testing.T, compat string)) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) { test(t, compat) })
	}
}

// Of a hundred members (twenty in an ordinary run) the next holds the slot at once when its holder resigns.
// The second that is promised is held to with MUSTER_PROOF only; what it took
// is logged.
func TestAnotherMemberHoldsTheSlotSoonAfterItsHolderResigned(t *testing.T) {
	eachMode(t, func(t *testing.T, compat string) {
		const placed, leased = profile.Leader, "leased"
		c := newCrowd(t, compat, profile.Seed{
			Members: uuids(proof(20, 100)), Leaders: 1, Roles: map[string]int{leased: 1}, Options: map[string]profile.RoleOptions{leased: {TTL: "6s"}},
		}, dial)
		c.run()
		took := map[string]times{}
		for range proof(3, 20) {
			for _, role := range []string{placed, leased} {
				holder, begun := c.resignHolder(role)
				c.ledger.await(t, role, "somebody else holds the slot", func(held map[string]string) bool {
					return held["1"] != "" && held["1"] != holder.uuid
				})
				took[role] = append(took[role], c.ledger.last(place{role, "1"}).at-begun)
			}
		}
		for _, role := range []string{placed, leased} {
			t.Logf("%s: from the call of Resign to the commit of the next claim: %s", role, took[role])
			for _, d := range took[role] {
				if d > time.Second && proof(0, 1) == 1 {
					t.Errorf("%s: the next member held the slot %v after Resign was called, want within 1 s", role, d)
				}
			}
		}
	})
}

// resignHolder makes the holder of the role's only slot resign, and returns who
// that was and when it was told to.
func (c *crowd) resignHolder(role string) (holder *fellow, told time.Duration) {
	c.t.Helper()
	for range 60 {
		held := c.ledger.await(c.t, role, "somebody holds the slot", func(held map[string]string) bool { return len(held) == 1 })
		holder = c.fellow(held["1"])
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		_, err := holder.peer.Elector.Await(ctx, role)
		cancel()
		if err != nil {
			continue // where the host stalls a lease may be lost at any moment
		}
		told = boottime.Now()
		switch _, err := holder.peer.Elector.Resign(c.t.Context(), role); {
		case err == nil:
			return holder, told
		case !errors.Is(err, election.ErrNoSlot):
			c.t.Fatalf("%s: %v", role, err)
		}
	}
	c.t.Fatalf("%s: nobody leads for long enough to resign", role)
	panic("unreachable")
}

package election_test

import (
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
)

// Found over sockets: of two members that resign in turn, the one that resigned
// last learned by its usual, slow look that it may claim again.
func TestAMemberThatResignedLooksCloselyWhileItLeavesTheSlotToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00").start()
		pass(time.Second)
		if _, err := h.elector.Resign(t.Context(), profile.Leader); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if got := h.elector.Pace(); got == 0 || got > time.Second {
			t.Errorf("looks may be %v old, want a second at most", got)
		}
	})
}

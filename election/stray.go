package election

import (
	"context"
	"fmt"

	"muster/profile"
)

// giveBack frees slots that name this instance with a tenure that it did not
// claim, as after a restored document (DESIGN, rule 7).
func (e *Elector) giveBack(ctx context.Context, d *profile.Document, role string, slots map[string]profile.Slot) error {
	s := e.cfg.Member.State()
	for _, n := range profile.SlotNumbers(slots) {
		if slots[n].Holder != s.UUID || slots[n].Instance != s.Instance {
			continue // for nearly all; what follows decodes every slot anew
		}
		stray := func(d *profile.Document) (profile.Tenure, bool) {
			all, err := d.Slots()
			slot := all[role][n]
			claimed, held := e.cfg.Member.Tenure(d, role)
			t := profile.Tenure{Role: role, Slot: n, Instance: slot.Instance, Epoch: slot.Epoch}
			return t, err == nil && slot.Holder == s.UUID && slot.Instance == s.Instance && (!held || claimed.Slot != n)
		}
		if _, is := stray(d); !is {
			continue
		}
		_, err := e.cfg.Member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
			t, is := stray(d)
			if !is {
				return nil, nil // a claim whose answer was lost, and is now known
			}
			e.log.Warn("giving back a slot that this member did not claim", "role", role, "slot", n)
			return profile.Release(d, t, s.UUID, profile.EventReleased)
		})
		if err != nil {
			return fmt.Errorf("give back slot %s: %w", n, err)
		}
	}
	return nil
}

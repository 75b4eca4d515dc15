package election

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"muster/profile"
)

// Standing is how this member stands in one role.
type Standing struct {
	Role  string `json:"role"`
	Slot  string `json:"slot"`  // that is held, or ""
	Epoch int64  `json:"epoch"` // of the tenure
	Why   string `json:"why"`   // why no slot is held, or why one is not led; ""
}

// Standings returns how this member stands in every role, by name.
func (e *Elector) Standings() []Standing {
	d, _ := e.cfg.View.Latest()
	slots, err := d.Slots()
	if err != nil {
		return []Standing{{Why: err.Error()}}
	}
	standings := []Standing{}
	for role := range slots {
		s := Standing{Role: role}
		t, held := e.cfg.Member.Tenure(d, role)
		e.mu.Lock()
		s.Why = e.why[role]
		if l := e.led[role]; held {
			s.Slot, s.Epoch, s.Why = t.Slot, t.Epoch, ""
			switch {
			case l == nil:
				s.Why = "the slot is held but not led: it is being renewed or given back"
			case l.ctx.Err() != nil:
				s.Why = "the slot is being given back"
			}
		}
		e.mu.Unlock()
		standings = append(standings, s)
	}
	slices.SortFunc(standings, func(a, b Standing) int { return strings.Compare(a.Role, b.Role) })
	return standings
}

// Leads reports under which tenure the member leads in role now, by its own
// clock, and how long that is proven without a renewal (0 for a sticky slot).
// The error, an ErrNoSlot, says why it does not lead.
func (e *Elector) Leads(role string) (t profile.Tenure, left time.Duration, err error) {
	l := e.leads(role)
	if l != nil && l.lasts() == nil {
		if d, _ := l.Deadlines(); d.Kill > 0 {
			left = d.Kill - e.cfg.Clock.Now()
		}
		return l.tenure, left, nil
	}
	why := "the profile has no such role"
	for _, s := range e.Standings() {
		if s.Role == role || s.Role == "" {
			why = cmp.Or(s.Why, "the slot is not led yet")
		}
	}
	return t, 0, fmt.Errorf("%w: %s: %s", ErrNoSlot, role, why)
}

// whyOpen says why nobody bars this member, and it holds no slot of role.
func (e *Elector) whyOpen(d *profile.Document, role string, open []string) string {
	count, _, err := d.SlotCount(role)
	switch {
	case err != nil:
		return err.Error()
	case count == 0:
		return "the role has no slots"
	case len(open) > 0:
		return "a slot is open: members that rank better go first"
	}
	var names []string
	slots, _ := d.Slots()
	for _, n := range profile.SlotNumbers(slots[role]) {
		switch s := slots[role][n]; {
		case s.Free() && s.Wanted != "":
			names = append(names, fmt.Sprintf("slot %s is kept for %s", n, d.NameOf(s.Wanted)))
		case !s.Free():
			names = append(names, fmt.Sprintf("slot %s is held by %s", n, d.NameOf(s.Holder)))
		}
	}
	return strings.Join(names, ", ")
}

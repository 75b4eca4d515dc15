package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/profile"
)

// Gate is a condition of the cluster that blocks a local step.
type Gate struct {
	Kind string `json:"kind"` // GateComplete, GateLeader or GateParam
	Name string `json:"name"` // of the barrier, the role or the param
	// Count is how many slots must be held (0: all), or how many entries the
	// param must have at least (0: not asked for).
	Count int `json:"count,omitempty"`
	// Equals is what the param must be; nil is anything but null.
	Equals json.RawMessage `json:"equals,omitempty"`
}

// Kinds of gates.
const (
	GateComplete = "complete" // the barrier of this name has a verdict
	GateLeader   = "leader"   // slots of a role are held
	GateParam    = "param"    // a param of the profile is set
)

// ParseGate reads complete[:BARRIER], leader:ROLE[=COUNT] and param:KEY[=VALUE],
// VALUE being JSON or else a string. The error is ErrUsage.
func ParseGate(text string) (Gate, error) {
	kind, rest, _ := strings.Cut(text, ":")
	name, value, given := strings.Cut(rest, "=")
	g := Gate{Kind: kind, Name: name}
	switch {
	case kind == GateComplete && !given:
		if name == "" {
			g.Name = profile.BarrierComplete
		}
		return g, nil
	case kind == GateLeader && name != "":
		n, err := strconv.Atoi(value)
		if g.Count = n; !given || err == nil && n > 0 {
			return g, nil
		}
	case kind == GateParam && name != "":
		if given {
			g.Equals = profile.ParseValue(value)
		}
		return g, nil
	}
	return g, fmt.Errorf("%w: gate: expected complete, complete:BARRIER, leader:ROLE, leader:ROLE=COUNT, param:KEY or param:KEY=VALUE, found %q", ErrUsage, text)
}

// Passage is what blocks a local step beside barriers.
type Passage struct {
	Gates []Gate `json:"gates"` // of the kinds leader and param
	// Role, if there is one, is that whose members take the step. It is waited
	// for until it is clear who that is.
	Role string `json:"role,omitempty"`
	// Round, unless it is 0, is the only one that is meant.
	Round int `json:"round,omitempty"`
}

// Passed says in which round a passage was open, whether the member has its
// role, and whether that is by a slot, which may be lost again.
type Passed struct {
	Round  profile.Round `json:"round"`
	Has    bool          `json:"has"`
	BySlot bool          `json:"by_slot"`
}

// Pass blocks until all gates are open, and it is clear who has the role, in one
// and the same state of the profile. The caller wants the passage's Params from
// the view, which is up to date when Pass is called. uuid is the member's.
// progress, which may be nil, is told what is waited for, when that changes. ctx
// bounds the wait.
func Pass(ctx context.Context, view *profile.View, uuid string, p Passage, progress func(string)) (Passed, error) {
	var seen uint64
	said := ""
	alive := sightings{}
	for {
		d, n, err := view.Wait(ctx, seen)
		if err != nil {
			return Passed{}, err
		}
		seen = n
		passed, shut, err := p.look(d, uuid, alive)
		if err != nil || len(shut) == 0 {
			return passed, err
		}
		if text := strings.Join(shut, "; "); text != said && progress != nil {
			said = text
			progress(text)
		}
	}
}

// look says what of the passage is shut in the state d.
func (p Passage) look(d *profile.Document, uuid string, alive sightings) (passed Passed, shut []string, err error) {
	if d.Escaped() {
		return passed, nil, brokenOut(d)
	}
	if err := d.Check(); err != nil {
		return passed, nil, err
	}
	if passed.Round, err = d.Round(); err != nil {
		return passed, nil, err
	}
	if p.Round > 0 && passed.Round.N > p.Round {
		return passed, nil, fmt.Errorf("%w: it is round %d, not %d any more", ErrSuperseded, passed.Round.N, p.Round)
	}
	if p.Round > passed.Round.N {
		shut = append(shut, fmt.Sprintf("it is round %d, not %d yet", passed.Round.N, p.Round))
	}
	if err := alive.look(d); err != nil {
		return passed, nil, err
	}
	for _, g := range p.Gates {
		why, err := g.shut(d, alive)
		if err != nil {
			return passed, nil, err
		}
		if why != "" {
			shut = append(shut, why)
		}
	}
	if p.Role == "" {
		return passed, shut, nil
	}
	who, err := awaited(d, profile.Criteria{Role: p.Role})
	if errors.Is(err, errNobodyHas) {
		err = nil // so this member has it not
	}
	if err != nil {
		return passed, nil, err
	}
	passed.Has, passed.BySlot = slices.Contains(who.uuids, uuid), who.bySlot
	if !who.settled {
		shut = append(shut, fmt.Sprintf("it is not clear yet who is a %s: slots are free", p.Role))
	}
	return passed, shut, nil
}

// Params returns what the gates look at beside the hot params.
func (p Passage) Params() []string {
	var names []string
	for _, g := range p.Gates {
		if g.Kind == GateParam {
			names = append(names, g.Name)
		}
	}
	return unique(names)
}

// shut says why the gate is shut, or "".
func (g Gate) shut(d *profile.Document, alive sightings) (string, error) {
	if g.Kind == GateLeader {
		return g.leaderless(d, alive)
	}
	raw, ok := d.Params[g.Name]
	var v any
	switch {
	case !ok || json.Unmarshal(raw, &v) != nil || v == nil:
		return fmt.Sprintf("param %s is not set", g.Name), nil
	case g.Equals != nil && !profile.SameJSON(raw, g.Equals):
		return fmt.Sprintf("param %s is not %s", g.Name, g.Equals), nil
	case g.Count > 0 && entries(v) < g.Count:
		return fmt.Sprintf("param %s has %d of %d entries", g.Name, entries(v), g.Count), nil
	}
	return "", nil
}

// entries is how many entries a list or an object has; of anything else 0.
func entries(v any) int {
	switch v := v.(type) {
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	return 0
}

// leaderless says that too few slots of the role are held, or "". A lease counts
// while it is seen to be renewed.
func (g Gate) leaderless(d *profile.Document, alive sightings) (string, error) {
	slots, err := d.Slots()
	if err != nil {
		return "", err
	}
	count, _, err := d.SlotCount(g.Name)
	if err != nil {
		return "", err
	}
	want := g.Count
	if want == 0 {
		want = count
	}
	if _, known := slots[g.Name]; !known || want > count || count == 0 {
		return "", fmt.Errorf("%w: role %q has %d slots, and %d of them can never be held", ErrUsage, g.Name, count, max(want, 1))
	}
	held := 0
	for _, n := range profile.SlotNumbers(slots[g.Name]) {
		if s := slots[g.Name][n]; !s.Free() && alive.renewed(g.Name, n, s) {
			held++
		}
	}
	if held >= want {
		return "", nil
	}
	return fmt.Sprintf("role %s has %d of %d leaders", g.Name, held, want), nil
}

// sightings are the slots as they were last seen to change.
type sightings map[string]sighting

type sighting struct {
	slot profile.Slot
	at   time.Time // zero: it is as it was when looking began
}

// look takes note of the state d.
func (w sightings) look(d *profile.Document) error {
	slots, err := d.Slots()
	if err != nil {
		return err
	}
	for role, all := range slots {
		for n, s := range all {
			last, known := w[role+"/"+n]
			switch {
			case !known:
				w[role+"/"+n] = sighting{slot: s}
			case last.slot.Instance != s.Instance || last.slot.Epoch != s.Epoch || last.slot.Renewal != s.Renewal:
				w[role+"/"+n] = sighting{slot: s, at: time.Now()}
			}
		}
	}
	return nil
}

// renewed reports whether a held slot is sticky, or a lease that was seen to
// change within the time after which others take it over.
func (w sightings) renewed(role, n string, s profile.Slot) bool {
	ttl, err := profile.ParseTTL(s.TTL)
	if err != nil || ttl == 0 {
		return err == nil
	}
	at := w[role+"/"+n].at
	return !at.IsZero() && time.Since(at) < profile.TakeOverAfter(ttl)
}

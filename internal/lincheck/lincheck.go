// Package lincheck tells whether a history of operations on slots is
// linearizable: whether some order of them, in which each takes effect at one
// moment between its call and its return, explains every answer. It is for
// tests, over histories that were simulated or recorded from real sockets.
//
// An operation requires leaves of a slot to be what they are said to be, and
// sets others. One whose outcome is unknown may take effect at any time from its
// call on, or never. One that was refused has no effect, and is not recorded.
package lincheck

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"muster/profile"
)

// leaves of a slot that make up its state; history and such are not.
var leaves = [...]string{"holder", "instance", "epoch", "renewal", "ttl", "wanted"}

// state has the JSON text of the leaves, "" for one that is not there.
type state [len(leaves)]string

// Outcome is what the caller of an operation knows of it.
type Outcome int

// Outcomes.
const (
	Landed Outcome = iota
	Unknown
)

// Op is what one change requires of one slot, and does to it.
type Op struct {
	Slot    string            // ROLE/NUMBER
	Require map[string]string // leaf → JSON text
	Set     map[string]string // leaf → JSON text
	Call    time.Duration
	Return  time.Duration // not used if the outcome is unknown
	Outcome Outcome
}

// Touch returns what c does to slots, without times and outcome.
func Touch(c *profile.Change) ([]Op, error) {
	all, err := c.Ops()
	if err != nil {
		return nil, err
	}
	touched := map[string]*Op{}
	for _, op := range all {
		parts := op.Path.Parts()
		if parts[0] != profile.ParamSlots || len(parts) < 3 {
			continue
		}
		slot := parts[1] + "/" + parts[2]
		if touched[slot] == nil {
			touched[slot] = &Op{Slot: slot, Require: map[string]string{}, Set: map[string]string{}}
		}
		switch {
		case len(parts) == 3 && op.Op == "add":
			touched[slot].Set = Leaves(op.Value)
		case len(parts) != 4 || !slices.Contains(leaves[:], parts[3]):
		case op.Op == "test":
			touched[slot].Require[parts[3]] = string(op.Value)
		default:
			touched[slot].Set[parts[3]] = string(op.Value)
		}
	}
	var list []Op
	for _, slot := range slices.Sorted(maps.Keys(touched)) {
		list = append(list, *touched[slot])
	}
	return list, nil
}

// Leaves returns the leaves of a slot in JSON that make up its state.
func Leaves(slot json.RawMessage) map[string]string {
	var all map[string]json.RawMessage
	json.Unmarshal(slot, &all) // what is no slot has no leaves
	texts := map[string]string{}
	for _, leaf := range leaves {
		texts[leaf] = string(all[leaf])
	}
	return texts
}

// Check returns nil if the history of every slot is linearizable, and otherwise
// an error that names one whose history is not. patience bounds the search of
// each slot: one that takes longer is no error.
func Check(history []Op, patience time.Duration) error {
	slots := map[string][]porcupine.Operation{}
	for i, op := range history {
		end := int64(op.Return)
		if op.Outcome == Unknown {
			end = math.MaxInt64
		}
		slots[op.Slot] = append(slots[op.Slot], porcupine.Operation{ClientId: i, Input: op, Call: int64(op.Call), Return: end})
	}
	for _, slot := range slices.Sorted(maps.Keys(slots)) {
		ops := slots[slot]
		slices.SortStableFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		if porcupine.CheckOperationsTimeout(model, ops, patience) == porcupine.Illegal {
			return fmt.Errorf("the history of slot %s is not linearizable; up to where it can be explained:\n%s", slot, explain(ops))
		}
	}
	return nil
}

// model is a slot on which some operations may never have happened.
var model = (&porcupine.NondeterministicModel{
	Init:  func() []any { return []any{state{}} },
	Equal: func(a, b any) bool { return a == b },
	Step: func(now, input, _ any) []any {
		op, s := input.(Op), now.(state)
		next, fits := s.after(op)
		switch {
		case !fits && op.Outcome == Unknown:
			return []any{s}
		case !fits:
			return nil
		case op.Outcome == Unknown && next != s:
			return []any{s, next}
		}
		return []any{next}
	},
}).ToModel()

// after is the state that op makes of s, if s is as op requires.
func (s state) after(op Op) (state, bool) {
	for i, leaf := range leaves {
		if want, required := op.Require[leaf]; required && s[i] != want {
			return s, false
		}
		if v, set := op.Set[leaf]; set {
			s[i] = v
		}
	}
	return s, true
}

// explain lists the operations around the first one that nothing explains.
func explain(ops []porcupine.Operation) string {
	n := len(ops)
	for n > 1 && porcupine.CheckOperationsTimeout(model, ops[:n-1], time.Second) == porcupine.Illegal {
		n--
	}
	var b strings.Builder
	for _, o := range ops[max(0, n-8):n] {
		op := o.Input.(Op)
		fmt.Fprintf(&b, "%s to %s: requires %v, sets %v, unknown %v\n", op.Call, op.Return, op.Require, op.Set, op.Outcome == Unknown)
	}
	return b.String()
}

// Package document decides whether what clients saw of one JSON document, which
// they read and change by guarded patches, can have happened in one order: each
// operation at one moment between its call and its answer, each patch applied
// whole if its tests held at that moment and else not at all.
//
// A patch without an answer may take effect at any moment after it was sent,
// or never. Histories are decided by porcupine, whose search is exponential at
// worst; answers that show much of the document keep it short. What changes
// nothing, reads and refused patches, adds nothing to it: see glance.
//
// It looks at more than package lincheck, which judges slots by the patches
// that landed: at whole answers, reads and refusals. Histories are those of
// a real endpoint, which may be wrong in any param.
package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// Op is one operation as its caller saw it.
type Op struct {
	Client       int
	Call, Return time.Duration // on one clock; Return is not looked at without an answer
	Patch        []Step        // nil for a read
	Outcome      Outcome       // of the patch
	// Seen are params as the answer showed them: right after the patch, or as
	// they were read. Null is one that was asked for and absent.
	Seen map[string]json.RawMessage
}

// Step is one operation of a JSON Patch on the params: test, add or remove. The
// first part of the path is the param's name.
type Step struct {
	Kind  string
	Path  []string // unescaped
	Value json.RawMessage
}

// Outcome is what became of a patch.
type Outcome int

// Outcomes.
const (
	Applied Outcome = iota
	Refused         // by one of its tests
	Unknown         // no answer
)

// Errors of Check.
var (
	// ErrNotLinear means that no order explains the history.
	ErrNotLinear = errors.New("document: no order of the operations explains what was seen")
	// ErrUndecided means that the time did not suffice.
	ErrUndecided = errors.New("document: not decided in time")
)

// Check returns nil if the history can have happened to a document that began
// with these params. It takes at most the time limit.
func Check(initial map[string]json.RawMessage, history []Op, limit time.Duration) error {
	begin := state{params: map[string]any{}}
	for name, raw := range initial {
		v, err := decode(raw)
		if err != nil {
			return fmt.Errorf("document: param %s: %w", name, err)
		}
		begin.params[name] = v
	}
	var ops []porcupine.Operation
	var last time.Duration
	for i, op := range history {
		c, err := compile(op)
		if err != nil {
			return fmt.Errorf("document: operation %d: %w", i, err)
		}
		ops = append(ops, c.operations(op, i)...)
		last = max(last, op.Call, op.Return)
	}
	ops = append(ops, porcupine.Operation{Input: over{}, Call: stamp(last + 1), Return: stamp(last + 1)})
	switch porcupine.CheckOperationsTimeout(model(begin.sealed()), ops, limit) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return ErrUndecided
	}
	return ErrNotLinear
}

// compiled is an Op, decoded.
type compiled struct {
	patch   []step
	outcome Outcome
	seen    map[string]string // canonical
}

type step struct {
	Step
	value any
}

func compile(op Op) (*compiled, error) {
	c := &compiled{outcome: op.Outcome, seen: map[string]string{}}
	for _, s := range op.Patch {
		next := step{Step: s}
		if s.Kind != "remove" {
			var err error
			if next.value, err = decode(s.Value); err != nil {
				return nil, fmt.Errorf("%s %v: %w", s.Kind, s.Path, err)
			}
		}
		c.patch = append(c.patch, next)
	}
	for name, raw := range op.Seen {
		v, err := decode(raw)
		if err != nil {
			return nil, fmt.Errorf("param %s of the answer: %w", name, err)
		}
		c.seen[name] = canonical(v)
	}
	return c, nil
}

// glance is the beginning or the end of an operation that changes nothing. It
// only wants that the document was, at some moment in between, as it saw it.
// States keep which operations have begun and still lack that moment: to try
// their places in the order one by one would be endless with many at once.
type glance struct {
	id   int
	of   *compiled
	ends bool
}

// over is the moment after which nobody sees anything any more. A patch without
// an answer that never takes effect is put behind it: it could be anywhere, and
// to try where would be endless too.
type over struct{}

// stamp spreads moments so that whatever happens at the same one counts as
// concurrent.
func stamp(moment time.Duration) int64 { return 4 * int64(moment) }

// operations returns what porcupine is told of the operation.
func (c *compiled) operations(op Op, id int) []porcupine.Operation {
	call, ret := stamp(op.Call), stamp(op.Return)+3
	at := func(in any, call, ret int64) porcupine.Operation {
		return porcupine.Operation{ClientId: op.Client, Input: in, Call: call, Return: ret}
	}
	switch {
	case op.Patch == nil, op.Outcome == Refused:
		return []porcupine.Operation{at(glance{id, c, false}, call, call), at(glance{id, c, true}, ret, ret)}
	case op.Outcome == Unknown:
		ret = math.MaxInt64
	}
	return []porcupine.Operation{at(c, call, ret)}
}

func model(begin state) porcupine.Model {
	return porcupine.Model{
		Init:  func() any { return begin },
		Equal: func(a, b any) bool { return a.(state).same(b.(state)) },
		Step: func(s, in, _ any) (bool, any) {
			switch in := in.(type) {
			case glance:
				return s.(state).glance(in)
			case *compiled:
				return s.(state).change(in)
			case over:
				after := s.(state)
				after.over = true
				return true, after
			}
			panic("document: an operation of no kind")
		},
	}
}

// glance returns the state after the beginning or end of an operation that
// changes nothing, and whether it can be there.
func (s state) glance(g glance) (bool, state) {
	switch {
	case g.ends:
		_, lacking := s.open[g.id]
		return !lacking, s
	case g.of.fits(s):
		return true, s
	}
	open := maps.Clone(s.open)
	if open == nil {
		open = map[int]*compiled{}
	}
	open[g.id] = g.of
	s.open = open
	return true, s
}

// change returns the state after a patch, and whether it can be applied and
// show what its answer showed.
func (s state) change(c *compiled) (bool, state) {
	after, holds := s.apply(c.patch)
	if !holds {
		return c.outcome == Unknown && s.over, s
	}
	if !c.shows(after) {
		return false, s
	}
	after.open = map[int]*compiled{}
	for id, waiting := range s.open {
		if !waiting.fits(after) {
			after.open[id] = waiting
		}
	}
	return true, after
}

// fits reports whether an operation that changes nothing is answered so in s.
func (c *compiled) fits(s state) bool {
	if c.outcome == Refused {
		_, holds := s.apply(c.patch)
		return !holds
	}
	return c.shows(s)
}

// shows reports whether s is as the answer showed it.
func (c *compiled) shows(s state) bool {
	for name, want := range c.seen {
		if s.canonical(name) != want {
			return false
		}
	}
	return true
}

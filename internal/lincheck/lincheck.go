// Package lincheck decides whether what clients saw of one JSON document, which
// they read and change by guarded patches, can have happened in one order: each
// operation at one moment between its call and its answer, each patch applied
// whole if its tests held at that moment and else not at all.
//
// A patch without an answer may take effect at any moment after it was sent,
// or never. Histories are decided by porcupine. The search is exponential at
// worst; answers that show much of the document keep it short.
package lincheck

import (
	"encoding/json"
	"errors"
	"fmt"
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
	ErrNotLinear = errors.New("lincheck: no order of the operations explains what was seen")
	// ErrUndecided means that the time did not suffice.
	ErrUndecided = errors.New("lincheck: not decided in time")
)

// Check returns nil if the history can have happened to a document that began
// with these params. It takes at most the time limit.
func Check(initial map[string]json.RawMessage, history []Op, limit time.Duration) error {
	begin := state{params: map[string]any{}}
	for name, raw := range initial {
		v, err := decode(raw)
		if err != nil {
			return fmt.Errorf("lincheck: param %s: %w", name, err)
		}
		begin.params[name] = v
	}
	ops := make([]porcupine.Operation, len(history))
	for i, op := range history {
		in, out, err := compile(op)
		if err != nil {
			return fmt.Errorf("lincheck: operation %d: %w", i, err)
		}
		ops[i] = porcupine.Operation{ClientId: op.Client, Input: in, Output: out, Call: int64(op.Call), Return: int64(op.Return)}
		if op.Patch != nil && op.Outcome == Unknown {
			ops[i].Return = math.MaxInt64 // never seen to have happened: it may as well come last
		}
	}
	switch porcupine.CheckOperationsTimeout(model(begin.sealed()), ops, limit) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return ErrUndecided
	}
	return ErrNotLinear
}

// input and output are an Op, decoded.
type (
	input  []step
	output struct {
		outcome Outcome
		seen    map[string]string // canonical
	}
	step struct {
		Step
		value any
	}
)

func compile(op Op) (input, output, error) {
	var in input
	for _, s := range op.Patch {
		c := step{Step: s}
		if s.Kind != "remove" {
			var err error
			if c.value, err = decode(s.Value); err != nil {
				return nil, output{}, fmt.Errorf("%s %v: %w", s.Kind, s.Path, err)
			}
		}
		in = append(in, c)
	}
	out := output{outcome: op.Outcome, seen: map[string]string{}}
	for name, raw := range op.Seen {
		v, err := decode(raw)
		if err != nil {
			return nil, out, fmt.Errorf("param %s of the answer: %w", name, err)
		}
		out.seen[name] = canonical(v)
	}
	return in, out, nil
}

func model(begin state) porcupine.Model {
	return porcupine.Model{
		Init:  func() any { return begin },
		Equal: func(a, b any) bool { return a.(state).key == b.(state).key },
		Step: func(s, in, out any) (bool, any) {
			return s.(state).next(in.(input), out.(output))
		},
	}
}

// next returns the state after an operation, and whether the operation can have
// been answered so in the state s.
func (s state) next(in input, out output) (bool, state) {
	if in != nil {
		after, holds := s.apply(in)
		switch {
		case out.outcome == Unknown && !holds:
			return true, s
		case out.outcome == Refused:
			return !holds, s
		case !holds:
			return false, s
		}
		s = after
	}
	for name, want := range out.seen {
		if s.canonical(name) != want {
			return false, s
		}
	}
	return true, s
}

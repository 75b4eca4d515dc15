package lincheck_test

import (
	"testing"
	"time"

	"muster/internal/lincheck"
)

// op is an operation on slot leader/1 that takes the leaf renewal from one
// value to another.
func op(call, end time.Duration, from, to string, outcome lincheck.Outcome) lincheck.Op {
	o := lincheck.Op{Slot: "leader/1", Require: map[string]string{"renewal": from}, Set: map[string]string{}, Call: call, Return: end, Outcome: outcome}
	if to != "" {
		o.Set["renewal"] = to
	}
	return o
}

func TestAHistoryIsJudgedByWhetherSomeOrderExplainsIt(t *testing.T) {
	const landed, unknown = lincheck.Landed, lincheck.Unknown
	plant := lincheck.Op{Slot: "leader/1", Set: map[string]string{"renewal": "a"}, Call: -1, Return: -1}
	for name, c := range map[string]struct {
		history []lincheck.Op
		ok      bool
	}{
		"one after the other":                     {[]lincheck.Op{op(0, 1, "a", "b", landed), op(2, 3, "b", "c", landed)}, true},
		"two winners of one value":                {[]lincheck.Op{op(0, 5, "a", "b", landed), op(1, 4, "a", "c", landed)}, false},
		"concurrent, in the order of their tests": {[]lincheck.Op{op(0, 5, "b", "c", landed), op(1, 4, "a", "b", landed)}, true},
		"against the order of time":               {[]lincheck.Op{op(0, 1, "b", "c", landed), op(2, 3, "a", "b", landed)}, false},
		"unknown, never happened":                 {[]lincheck.Op{op(0, 1, "a", "b", unknown), op(2, 3, "a", "c", landed)}, true},
		"unknown, happened late":                  {[]lincheck.Op{op(0, 1, "b", "c", unknown), op(2, 3, "a", "b", landed), op(4, 5, "c", "", landed)}, true},
		"unknown, needed before its call":         {[]lincheck.Op{op(0, 1, "b", "", landed), op(2, 3, "a", "b", unknown)}, false},
		"a stale holder writes":                   {[]lincheck.Op{op(0, 1, "a", "b", landed), op(2, 3, "a", "", landed)}, false},
	} {
		err := lincheck.Check(append([]lincheck.Op{plant}, c.history...), time.Minute)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want linearizable: %v", name, err, c.ok)
		}
	}
}

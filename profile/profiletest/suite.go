// Package profiletest is the conformance suite of the profile contract: what
// every profile.Store must do, whatever it talks to. The suite knows a store
// only through a Fixture, so that a store in memory and one over HTTPS are held
// to the same rules.
//
// Usage, in the external test package of a store:
//
//	profiletest.Run(t, func(t *testing.T, params profile.Params) profiletest.Fixture { … })
package profiletest

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

// Name is the profile that a Fixture serves. It needs escaping in a URL.
const Name = "Test größe-1"

// Fault is what happens to every Apply of a faulty store.
type Fault int

const (
	// LoseRequest: the change never arrives, and there is no answer.
	LoseRequest Fault = iota
	// LoseReply: the change is applied, and there is no answer.
	LoseReply
	// Late: the caller gives up before the change arrives, which it does when
	// Fixture.Arrive is called.
	Late
)

// Fixture is one profile called Name, and ways to it.
type Fixture struct {
	// Store returns another way to the profile.
	Store func() profile.Store
	// Faulty returns a way on which every Apply suffers fault.
	Faulty func(fault Fault) profile.Store
	// Arrive returns when all Late changes have arrived and were carried out.
	Arrive func()

	Missing     profile.Store // a way to a profile that does not exist
	Refused     profile.Store // a way with a token that is refused
	Unreachable profile.Store // a way to where nobody listens

	// Versioned says that the endpoint has versions.
	Versioned bool
}

// Open makes a fixture whose profile has exactly these params. It registers its
// own clean-up.
type Open func(t *testing.T, params profile.Params) Fixture

// Run holds the stores that open makes to the contract.
func Run(t *testing.T, open func(t *testing.T, params profile.Params) Fixture) {
	RunIn(t, func(t *testing.T, test func(*testing.T)) { test(t) }, open)
}

// RunIn is Run with every test called by in, as synctest.Test.
func RunIn(t *testing.T, in func(t *testing.T, test func(*testing.T)), open Open) {
	all := map[string]func(t *testing.T, open Open){
		"ReadReturnsTheWholeProfile":             readReturnsTheWholeProfile,
		"ReadParamsReturnsOnlyThosePresent":      readParamsReturnsOnlyThosePresent,
		"MissingProfileIsNotFound":               missingProfileIsNotFound,
		"RefusedTokenIsRefused":                  refusedTokenIsRefused,
		"NobodyListeningIsUnavailable":           nobodyListeningIsUnavailable,
		"EndedContextEndsEveryCall":              endedContextEndsEveryCall,
		"ApplyAnswersWithTheNewState":            applyAnswersWithTheNewState,
		"OtherParamsStayByteForByte":             otherParamsStayByteForByte,
		"LostRequestIsUnknownAndNotApplied":      lostRequestIsUnknownAndNotApplied,
		"LostReplyIsUnknownAndApplied":           lostReplyIsUnknownAndApplied,
		"LateChangeLandsAfterTheCallerGaveUp":    lateChangeLandsAfterTheCallerGaveUp,
		"LateChangeDoesNotLandBehindALaterWrite": lateChangeDoesNotLandBehindALaterWrite,
		"OneOfManyRacersWins":                    oneOfManyRacersWins,
		"ChangedWithoutSinceTellsTheVersion":     changedWithoutSinceTellsTheVersion,
		"ChangedReturnsAtOnceWhenItHasChanged":   changedReturnsAtOnceWhenItHasChanged,
		"ChangedReturnsSinceAfterTheWait":        changedReturnsSinceAfterTheWait,
		"ChangedWakesOnACommit":                  changedWakesOnACommit,
		"ChangedEndsWithItsContext":              changedEndsWithItsContext,
	}
	for name, test := range all {
		t.Run(name, func(t *testing.T) { in(t, func(t *testing.T) { test(t, open) }) })
	}
	for _, row := range patches {
		t.Run("Apply/"+row.name, func(t *testing.T) { in(t, func(t *testing.T) { row.run(t, open) }) })
	}
}

// planted is what most tests start with: shapes as in the cluster profile, and
// names that pointers and URLs have to escape.
func planted() profile.Params {
	return profile.Params{
		"cluster/leaders": json.RawMessage(`[{"Address":"10.0.0.1","Name":"n1","Uuid":"u1"},{"Address":"10.0.0.2","Name":"n2","Uuid":"u2"}]`),
		"test/count":      json.RawMessage(`1`),
		"test/größe":      json.RawMessage(`{"a/b":{"c~d":"slash and tilde"},"ключ":"non-ASCII","a b.c":""}`),
		"test/numbers":    json.RawMessage(`{"one":1,"float":1.0,"ten":10}`),
		"test/record":     json.RawMessage(`{"name":"n1","seq":0,"sub":{}}`),
		"test/strange":    json.RawMessage(`{"z":1.50,"a":[null,true,{"x":"<&>"}],"ü":"\u00e9"}`),
	}
}

func read(t *testing.T, s profile.Store) *profile.Document {
	t.Helper()
	d, err := s.Read(t.Context())
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return d
}

// text makes params comparable, and legible in a failure.
func text(params profile.Params) map[string]string {
	m := map[string]string{}
	for name, raw := range params {
		m[name] = string(raw)
	}
	return m
}

// sameParams fails the test unless both hold the same names and values.
func sameParams(t *testing.T, what string, got, want profile.Params) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("%s: names of params (-want +got):\n%s", what, diff)
	}
	for name := range want {
		if diff := cmp.Diff(value(t, want[name]), value(t, got[name])); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", what, name, diff)
		}
	}
}

func value(t *testing.T, raw json.RawMessage) (v any) {
	t.Helper()
	if raw == nil {
		return "(absent)"
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("decode %s: %v", raw, err)
	}
	return v
}

// set returns a change that tests test/count to be as in d and sets it to v.
func set(d *profile.Document, v any) *profile.Change {
	c := &profile.Change{}
	c.TestAsRead(d, profile.At("test/count"))
	c.Set(profile.At("test/count"), v)
	return c
}

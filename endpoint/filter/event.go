package filter

import (
	"errors"
	"fmt"
	"strings"

	"gitlab.com/rackn/provision/v4/api"
)

// maxTerms bounds the terms of one event filter, and so its nesting. Each
// is a search through the whole event.
const maxTerms = 256

// Event is the fourth part of a registration: a condition on the event, in
// the grammar of DRP's await functions (wire contract, section 7).
type Event struct{ test api.TestFunc }

// errEvent tells how a filter is written. DRP's parser says less, and repeats values.
var errEvent = errors.New("wrong FILTER: expected And(...), Or(...), Not(...) and FIELD=FUNCTION(...), " +
	"where FUNCTION is Eq, Ne, In, Nin, Re, Exists or Changed")

// ParseEvent returns an error for a filter that is malformed or too big.
func ParseEvent(text string) (f Event, err error) {
	if strings.Count(text, "(") > maxTerms {
		return f, fmt.Errorf("wrong FILTER: expected at most %d terms", maxTerms)
	}
	if !modestRegexp(text) {
		return f, fmt.Errorf("wrong FILTER: expected at most %d counted repetitions such as {2}", maxRepetitions)
	}
	// DRP's parser panics on JSON that only begins well, such as Eq({"a":}).
	defer func() {
		if recover() != nil {
			err = errEvent
		}
	}()
	test, err := api.ParseAwaitFunctions(text)
	if err != nil {
		return f, errEvent
	}
	return Event{test}, nil
}

// Holds reports whether the filter holds for the JSON of an event.
func (f Event) Holds(body []byte) (ok bool) {
	defer func() { ok = recover() == nil && ok }()
	return f.test.MatchRecievedEvent(api.RecievedEvent{Bytes: body})
}

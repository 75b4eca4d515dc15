package filter

import (
	"strings"

	"gitlab.com/rackn/provision/v4/api"
)

// maxTerms bounds the terms of one event filter, and so its nesting. Each
// is a search through the whole event.
const maxTerms = 256

// Event is the fourth part of a registration: a condition on the event, in
// the grammar of DRP's await functions (wire contract, section 7).
type Event struct{ test api.TestFunc }

// ParseEvent returns ok false for a filter that is malformed or too big.
func ParseEvent(text string) (f Event, ok bool) {
	if strings.Count(text, "(") > maxTerms || !modestRegexp(text) {
		return f, false
	}
	// DRP's parser panics on JSON that only begins well, such as Eq({"a":}).
	defer func() { ok = recover() == nil && ok }()
	test, err := api.ParseAwaitFunctions(text)
	return Event{test}, err == nil
}

// Holds reports whether the filter holds for the JSON of an event.
func (f Event) Holds(body []byte) (ok bool) {
	defer func() { ok = recover() == nil && ok }()
	return f.test.MatchRecievedEvent(api.RecievedEvent{Bytes: body})
}

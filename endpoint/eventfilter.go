package endpoint

import (
	"regexp"
	"strings"

	"gitlab.com/rackn/provision/v4/api"
)

// maxFilterTerms bounds the terms of one event filter, and so its nesting. Each
// is a search through the whole event.
const maxFilterTerms = 256

// eventFilter is the fourth part of a registration: a condition on the event, in
// the grammar of DRP's await functions (wire contract, section 7).
type eventFilter struct{ test api.TestFunc }

// parseEventFilter returns ok false for a filter that is malformed or too big.
func parseEventFilter(text string) (f eventFilter, ok bool) {
	if strings.Count(text, "(") > maxFilterTerms || !modestRegexp(text) {
		return f, false
	}
	// DRP's parser panics on JSON that only begins well, such as Eq({"a":}).
	defer func() { ok = recover() == nil && ok }()
	test, err := api.ParseAwaitFunctions(text)
	return eventFilter{test}, err == nil
}

// holds reports whether the filter holds for the JSON of an event.
func (f eventFilter) holds(body []byte) (ok bool) {
	defer func() { ok = recover() == nil && ok }()
	return f.test.MatchRecievedEvent(api.RecievedEvent{Bytes: body})
}

var countedRepetition = regexp.MustCompile(`\{[0-9]`)

// modestRegexp bounds what compiling a client's regular expression costs. Each
// counted repetition can make it a thousand times bigger; everything else is
// linear in its length.
func modestRegexp(text string) bool {
	const most = 8
	return len(countedRepetition.FindAllStringIndex(text, most+1)) <= most
}

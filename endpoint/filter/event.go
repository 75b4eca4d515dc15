package filter

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"gitlab.com/rackn/provision/v4/api"

	"muster/endpoint/pattern"
)

const (
	// maxTerms bounds the terms of one event filter, and so its nesting. Each
	// is a search through the whole event.
	maxTerms = 256
	// maxCounted bounds the counted repetitions, each of which makes a regular
	// expression up to a thousand times bigger when DRP's parser compiles it.
	maxCounted = 8
)

var countedRepetition = regexp.MustCompile(`\{[0-9]`)

// Event is the fourth part of a registration: a condition on the event, in
// the grammar of DRP's await functions (wire contract, section 7).
type Event struct {
	test  api.TestFunc
	sizes int // of its regular expressions, together
}

// errEvent tells how a filter is written. DRP's parser says less, and repeats values.
var errEvent = errors.New("wrong FILTER: expected And(...), Or(...), Not(...) and FIELD=FUNCTION(...), " +
	"where FUNCTION is Eq, Ne, In, Nin, Re, Exists or Changed")

// ParseEvent returns an error for a filter that is malformed or too big.
func ParseEvent(text string) (f Event, err error) {
	if strings.Count(text, "(") > maxTerms {
		return f, fmt.Errorf("wrong FILTER: expected at most %d terms", maxTerms)
	}
	if len(countedRepetition.FindAllStringIndex(text, maxCounted+1)) > maxCounted {
		return f, fmt.Errorf("wrong FILTER: expected at most %d counted repetitions such as {2}", maxCounted)
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
	sizes, err := sizeOfExpressions(text)
	if err != nil || sizes > pattern.MaxSize {
		return f, fmt.Errorf("wrong FILTER: expected regular expressions of at most %d instructions together", pattern.MaxSize)
	}
	return Event{test, sizes}, nil
}

// Holds reports whether the filter holds for the JSON of an event. For one that is
// too long for the filter's regular expressions it does not.
func (f Event) Holds(body []byte) (ok bool) {
	if !pattern.Fits(f.sizes, len(body)) {
		return false
	}
	defer func() { ok = recover() == nil && ok }()
	return f.test.MatchRecievedEvent(api.RecievedEvent{Bytes: body})
}

// sizeOfExpressions adds up the regular expressions of a filter, which DRP's parser
// has accepted and does not show.
func sizeOfExpressions(text string) (sum int, err error) {
	for text != "" {
		if text[0] == ',' {
			text = text[1:]
			continue
		}
		op, rest, _ := strings.Cut(text, "(")
		end := closing(rest)
		if end < 0 {
			return 0, errors.New("expected a closing parenthesis")
		}
		n := 0
		switch op {
		case "And", "All", "Or", "Any", "Not":
			n, err = sizeOfExpressions(rest[:end])
		default:
			n, err = sizeOfTerm(text[:len(op)+1+end+1])
		}
		if sum += n; err != nil {
			return 0, err
		}
		text = rest[end+1:]
	}
	return sum, nil
}

// sizeOfTerm asks DRP's parser what a term's expression is: it has its own idea of
// JSON and of quotes.
func sizeOfTerm(text string) (int, error) {
	if !strings.Contains(text, "=Re(") {
		return 0, nil
	}
	test, err := api.ParseAwaitFunctions(text)
	if err != nil {
		return 0, err
	}
	_, expression, _ := strings.Cut(test.String(), "=") // no field has an equals sign
	expression, ok := strings.CutPrefix(expression, `Re("`)
	if !ok {
		return 0, nil
	}
	p, err := pattern.Compile(strings.TrimSuffix(expression, `")`))
	if err != nil {
		return 0, err
	}
	return p.Size(), nil
}

// closing is where the parenthesis ends that text is the inside of, -1 if it does
// not. It reads quotes and backslashes as DRP's parser does.
func closing(text string) int {
	depth, quoted, escaped := 0, false, false
	for i, r := range text {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		case quoted:
		case r == '(':
			depth++
		case r == ')':
			if depth--; depth < 0 {
				return i
			}
		}
	}
	return -1
}

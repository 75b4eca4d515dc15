package document_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"muster/internal/lincheck/document"
)

type params = map[string]json.RawMessage

// take is a patch that takes the slot if it is as read.
func take(read, by string) []document.Step {
	return []document.Step{
		{Kind: "test", Path: []string{"slot", "holder"}, Value: json.RawMessage(read)},
		{Kind: "add", Path: []string{"slot", "holder"}, Value: json.RawMessage(by)},
	}
}

func held(by string) params { return params{"slot": json.RawMessage(`{"holder":` + by + `}`)} }

func TestOnlyHistoriesThatSomeOrderExplainsAreLinear(t *testing.T) {
	const a, b, free = `"a"`, `"b"`, `""`
	for name, c := range map[string]struct {
		history []document.Op
		want    error
	}{
		"one wins, one loses": {[]document.Op{
			{Client: 1, Call: 1, Return: 5, Patch: take(free, a), Seen: held(a)},
			{Client: 2, Call: 2, Return: 4, Patch: take(free, b), Outcome: document.Refused},
		}, nil},
		"both win": {[]document.Op{
			{Client: 1, Call: 1, Return: 5, Patch: take(free, a), Seen: held(a)},
			{Client: 2, Call: 2, Return: 4, Patch: take(free, b), Seen: held(b)},
		}, document.ErrNotLinear},
		"both lose": {[]document.Op{
			{Client: 1, Call: 1, Return: 5, Patch: take(free, a), Outcome: document.Refused},
			{Client: 2, Call: 2, Return: 4, Patch: take(free, b), Outcome: document.Refused},
		}, document.ErrNotLinear},
		"a read that is older than an answer before it": {[]document.Op{
			{Client: 1, Call: 1, Return: 2, Patch: take(free, a), Seen: held(a)},
			{Client: 2, Call: 3, Return: 4, Seen: held(free)},
		}, document.ErrNotLinear},
		"a lost answer that shows later": {[]document.Op{
			{Client: 1, Call: 1, Return: 2, Patch: take(free, a), Outcome: document.Unknown},
			{Client: 2, Call: 3, Return: 4, Seen: held(free)},
			{Client: 2, Call: 5, Return: 6, Seen: held(a)},
		}, nil},
		"a lost answer that shows and is undone by nobody": {[]document.Op{
			{Client: 1, Call: 1, Return: 2, Patch: take(free, a), Outcome: document.Unknown},
			{Client: 2, Call: 3, Return: 4, Seen: held(a)},
			{Client: 2, Call: 5, Return: 6, Seen: held(free)},
		}, document.ErrNotLinear},
		"a lost request": {[]document.Op{
			{Client: 1, Call: 1, Return: 2, Patch: take(free, a), Outcome: document.Unknown},
			{Client: 2, Call: 3, Return: 4, Patch: take(free, b), Seen: held(b)},
		}, nil},
		"a patch that is applied in part": {[]document.Op{
			{Client: 1, Call: 1, Return: 2, Patch: append(take(free, a), document.Step{Kind: "add", Path: []string{"list", "-"}, Value: json.RawMessage(a)}), Seen: held(a)},
			{Client: 2, Call: 3, Return: 4, Seen: params{"list": json.RawMessage(`[]`)}},
		}, document.ErrNotLinear},
		"lists": {[]document.Op{
			{Client: 1, Call: 1, Return: 2, Patch: []document.Step{{Kind: "add", Path: []string{"list", "-"}, Value: json.RawMessage(a)}}},
			{Client: 1, Call: 3, Return: 4, Patch: []document.Step{{Kind: "add", Path: []string{"list", "0"}, Value: json.RawMessage(b)}}, Seen: params{"list": json.RawMessage(`["b", "a"]`)}},
			{Client: 1, Call: 5, Return: 6, Patch: []document.Step{{Kind: "test", Path: []string{"list", "1"}, Value: json.RawMessage(a)}, {Kind: "remove", Path: []string{"list", "1"}}}},
			{Client: 1, Call: 7, Return: 8, Patch: []document.Step{{Kind: "remove", Path: []string{"list", "1"}}}, Outcome: document.Refused},
			{Client: 1, Call: 9, Return: 10, Seen: params{"list": json.RawMessage(`["b"]`), "absent": json.RawMessage(`null`)}},
		}, nil},
	} {
		initial := held(free)
		initial["list"] = json.RawMessage(`[]`)
		if got := document.Check(initial, c.history, time.Minute); !errors.Is(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

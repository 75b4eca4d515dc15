package lincheck_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"muster/internal/lincheck"
)

type params = map[string]json.RawMessage

// take is a patch that takes the slot if it is as read.
func take(read, by string) []lincheck.Step {
	return []lincheck.Step{
		{Kind: "test", Path: []string{"slot", "holder"}, Value: json.RawMessage(read)},
		{Kind: "add", Path: []string{"slot", "holder"}, Value: json.RawMessage(by)},
	}
}

func held(by string) params { return params{"slot": json.RawMessage(`{"holder":` + by + `}`)} }

func TestOnlyHistoriesThatSomeOrderExplainsAreLinear(t *testing.T) {
	const a, b, free = `"a"`, `"b"`, `""`
	for name, c := range map[string]struct {
		history []lincheck.Op
		want    error
	}{
		"one wins, one loses": {[]lincheck.Op{
			{Client: 1, Call: 1, Return: 5, Patch: take(free, a), Seen: held(a)},
			{Client: 2, Call: 2, Return: 4, Patch: take(free, b), Outcome: lincheck.Refused},
		}, nil},
		"both win": {[]lincheck.Op{
			{Client: 1, Call: 1, Return: 5, Patch: take(free, a), Seen: held(a)},
			{Client: 2, Call: 2, Return: 4, Patch: take(free, b), Seen: held(b)},
		}, lincheck.ErrNotLinear},
		"both lose": {[]lincheck.Op{
			{Client: 1, Call: 1, Return: 5, Patch: take(free, a), Outcome: lincheck.Refused},
			{Client: 2, Call: 2, Return: 4, Patch: take(free, b), Outcome: lincheck.Refused},
		}, lincheck.ErrNotLinear},
		"a read that is older than an answer before it": {[]lincheck.Op{
			{Client: 1, Call: 1, Return: 2, Patch: take(free, a), Seen: held(a)},
			{Client: 2, Call: 3, Return: 4, Seen: held(free)},
		}, lincheck.ErrNotLinear},
		"a lost answer that shows later": {[]lincheck.Op{
			{Client: 1, Call: 1, Return: 2, Patch: take(free, a), Outcome: lincheck.Unknown},
			{Client: 2, Call: 3, Return: 4, Seen: held(free)},
			{Client: 2, Call: 5, Return: 6, Seen: held(a)},
		}, nil},
		"a lost answer that shows and is undone by nobody": {[]lincheck.Op{
			{Client: 1, Call: 1, Return: 2, Patch: take(free, a), Outcome: lincheck.Unknown},
			{Client: 2, Call: 3, Return: 4, Seen: held(a)},
			{Client: 2, Call: 5, Return: 6, Seen: held(free)},
		}, lincheck.ErrNotLinear},
		"a lost request": {[]lincheck.Op{
			{Client: 1, Call: 1, Return: 2, Patch: take(free, a), Outcome: lincheck.Unknown},
			{Client: 2, Call: 3, Return: 4, Patch: take(free, b), Seen: held(b)},
		}, nil},
		"a patch that is applied in part": {[]lincheck.Op{
			{Client: 1, Call: 1, Return: 2, Patch: append(take(free, a), lincheck.Step{Kind: "add", Path: []string{"list", "-"}, Value: json.RawMessage(a)}), Seen: held(a)},
			{Client: 2, Call: 3, Return: 4, Seen: params{"list": json.RawMessage(`[]`)}},
		}, lincheck.ErrNotLinear},
		"lists": {[]lincheck.Op{
			{Client: 1, Call: 1, Return: 2, Patch: []lincheck.Step{{Kind: "add", Path: []string{"list", "-"}, Value: json.RawMessage(a)}}},
			{Client: 1, Call: 3, Return: 4, Patch: []lincheck.Step{{Kind: "add", Path: []string{"list", "0"}, Value: json.RawMessage(b)}}, Seen: params{"list": json.RawMessage(`["b", "a"]`)}},
			{Client: 1, Call: 5, Return: 6, Patch: []lincheck.Step{{Kind: "test", Path: []string{"list", "1"}, Value: json.RawMessage(a)}, {Kind: "remove", Path: []string{"list", "1"}}}},
			{Client: 1, Call: 7, Return: 8, Patch: []lincheck.Step{{Kind: "remove", Path: []string{"list", "1"}}}, Outcome: lincheck.Refused},
			{Client: 1, Call: 9, Return: 10, Seen: params{"list": json.RawMessage(`["b"]`), "absent": json.RawMessage(`null`)}},
		}, nil},
	} {
		initial := held(free)
		initial["list"] = json.RawMessage(`[]`)
		if got := lincheck.Check(initial, c.history, time.Minute); !errors.Is(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

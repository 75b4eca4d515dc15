package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"muster/endpoint"
	"muster/profile"
)

const fencedParam = "site/fenced"

// A tenure is lost, every second time its host wins another one, and then the
// stale one is written under: decided late, decided before and sent late, and
// sent before and delivered late.
func TestNoWriteUnderAStaleTenureLands(t *testing.T) {
	for _, ttl := range []string{"", "1h"} {
		t.Run("ttl "+ttl, func(t *testing.T) {
			eachCompat(t, func(t *testing.T, compat string) {
				c := newCrowd(t, compat, profile.Seed{
					Members: uuids(2), Leaders: 1, Options: map[string]profile.RoleOptions{profile.Leader: {TTL: ttl}},
				}, dial)
				tries := proof(10, 100)
				for i := range tries {
					again := i%2 == 0
					c.writeStale(i, c.fellows[0], again)
					if err := c.deliverLate(c.fellows[0], again); !errors.Is(err, profile.ErrConflict) {
						t.Errorf("try %d: a patch sent under a tenure and delivered after it: got %v, want ErrConflict", i, err)
					}
					if t.Failed() {
						return
					}
				}
				t.Logf("%d tries, %d of them after the same host had won again: all refused", tries, (tries+1)/2)
			})
		})
	}
}

// succeed ends the tenure of f; another member has the slot after it and, with
// again, f once more after that.
func (c *crowd) succeed(f *fellow, again bool) {
	c.t.Helper()
	other := c.fellows[1]
	c.giveUp(f)
	c.win(other)
	if again {
		c.giveUp(other)
		c.win(f)
	}
}

// win claims the slot for f, as the profile is now.
func (c *crowd) win(f *fellow) profile.Tenure {
	c.t.Helper()
	if err := f.view.Refresh(c.t.Context(), f.store, profile.HotParams()...); err != nil {
		c.t.Fatal(err)
	}
	t, err := f.claimAny(c.t.Context())
	if err != nil {
		c.t.Fatalf("%s: %v", f.uuid, err)
	}
	return t
}

// giveUp makes f release its slot, if it has one.
func (c *crowd) giveUp(f *fellow) {
	c.t.Helper()
	if err := f.view.Refresh(c.t.Context(), f.store, profile.HotParams()...); err != nil {
		c.t.Fatal(err)
	}
	d, _ := f.view.Latest()
	if t, held := f.member.Tenure(d, profile.Leader); held {
		if err := f.release(c.t.Context(), t); err != nil {
			c.t.Fatal(err)
		}
	}
}

// writeStale wants every way of writing under a stale tenure of f refused.
func (c *crowd) writeStale(try int, f *fellow, again bool) {
	c.t.Helper()
	ctx := c.t.Context()
	for _, holder := range c.fellows {
		c.giveUp(holder)
	}
	stale := c.win(f)
	edit := profile.Edit{Key: fencedParam, Value: json.RawMessage(fmt.Sprintf(`"fresh %d"`, try)), Tenure: &stale}
	if _, err := f.member.Write(ctx, edit.Plan); err != nil {
		c.t.Errorf("try %d: a write under the tenure that holds: %v", try, err)
	}
	edit.Value = json.RawMessage(fmt.Sprintf(`"stale %d"`, try))
	plan := edit.Plan
	before, _ := f.view.Latest() // on which a slow writer decides
	c.succeed(f, again)

	if _, err := f.member.Write(ctx, plan); !errors.Is(err, profile.ErrLost) {
		c.t.Errorf("try %d: a write decided after the tenure: got %v, want ErrLost", try, err)
	}
	asked := 0
	_, err := f.member.Write(ctx, func(now *profile.Document) (*profile.Change, error) {
		if asked++; asked == 1 {
			return plan(before)
		}
		return plan(now)
	})
	if !errors.Is(err, profile.ErrLost) || asked != 2 {
		c.t.Errorf("try %d: a write decided before the tenure ended and sent after it: got %v after %d decisions, want ErrLost after 2", try, err, asked)
	}
	raw := stale.Guard() // as somebody would who is no member: nothing but the tenure guards it
	raw.Set(profile.At(fencedParam), "stale")
	if _, err := c.store.Apply(ctx, raw); !errors.Is(err, profile.ErrConflict) {
		c.t.Errorf("try %d: a bare patch under a stale tenure: got %v, want ErrConflict", try, err)
	}
	c.unharmed(fmt.Sprintf(`"fresh %d"`, try))
}

// unharmed wants the fenced param to be as it was last written under a tenure.
func (c *crowd) unharmed(want string) {
	c.t.Helper()
	params, err := c.store.ReadParams(c.t.Context(), fencedParam)
	if err != nil || string(params[fencedParam]) != want {
		c.t.Errorf("the param is %s (%v), want %s", params[fencedParam], err, want)
	}
}

// deliverLate sends a patch under a tenure of f, which reaches the endpoint when
// that tenure has ended, and returns the answer.
func (c *crowd) deliverLate(f *fellow, again bool) error {
	c.t.Helper()
	for _, holder := range c.fellows {
		c.giveUp(holder)
	}
	late := c.win(f).Guard()
	late.Set(profile.At(fencedParam), "late")
	id, err := c.Inject(endpoint.Fault{Kind: endpoint.FaultDelay, Method: "PATCH", Times: 1, Delay: time.Minute})
	if err != nil {
		c.t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := c.store.Apply(context.Background(), late)
		answered <- err
	}()
	eventually(c.t, "the patch is under way", func() bool { return c.Faults()[0].Hits == 1 })
	c.succeed(f, again)
	if err := c.Clear(id); err != nil {
		c.t.Fatal(err)
	}
	return receive(c.t, "the patch is answered", answered)
}

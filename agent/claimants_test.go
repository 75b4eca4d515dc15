package agent_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"muster/profile"
)

// Two hundred members (thirty in an ordinary run) race for three slots at the same moment, each through an
// HTTPS client of its own, and none waits for its turn as electors do. Whoever
// wins a round gives its slot back for the next.
func TestOfManyClaimantsExactlyThreeHoldTheThreeSlots(t *testing.T) {
	const slots = 3
	for _, ttl := range []string{"", "1h"} {
		t.Run("ttl "+ttl, func(t *testing.T) {
			eachMode(t, func(t *testing.T, compat string) {
				c := newCrowd(t, compat, profile.Seed{
					Members: uuids(proof(30, 200)), Leaders: slots, Options: map[string]profile.RoleOptions{profile.Leader: {TTL: ttl}},
				}, dial)
				c.ledger.allow(slots)
				begun := time.Now()
				before := c.Counts().ProfileConflicts
				rounds := proof(2, 20)
				for range rounds {
					c.race()
				}
				t.Logf("%d rounds in %s, %d claims lost at the endpoint, %d tenures", rounds, time.Since(begun).Round(time.Millisecond), c.Counts().ProfileConflicts-before, len(c.ledger.used))
				if want := rounds * slots; len(c.ledger.used) != want {
					t.Errorf("%d tenures in %d rounds, want %d", len(c.ledger.used), rounds, want)
				}
			})
		})
	}
}

// race lets every member claim a leader slot at once, wants three winners, and
// makes them give their slots back.
func (c *crowd) race() {
	c.t.Helper()
	var over, looked sync.WaitGroup
	start := make(chan struct{})
	won := make(chan *fellow, len(c.fellows))
	for _, f := range c.fellows {
		looked.Add(1)
		over.Go(func() {
			err := f.view.Refresh(c.t.Context(), f.store, profile.HotParams()...)
			looked.Done()
			if err != nil {
				c.t.Error(err)
			}
			<-start
			if _, err = f.claimAny(c.t.Context()); err == nil {
				won <- f
			} else if !errors.Is(err, profile.ErrLost) {
				c.t.Errorf("%s: %v", f.uuid, err)
			}
		})
	}
	looked.Wait()
	close(start)
	over.Wait()
	close(won)
	held := c.ledger.holders(profile.Leader)
	winners := 0
	for f := range won {
		winners++
		d, _ := f.view.Latest()
		tenure, holds := f.member.Tenure(d, profile.Leader)
		if !holds || held[tenure.Slot] != f.uuid {
			c.t.Errorf("%s believes that it holds slot %q, but the slots are held by %v", f.uuid, tenure.Slot, held)
		}
		if err := f.release(c.t.Context(), tenure); err != nil {
			c.t.Fatal(err)
		}
	}
	if winners != 3 || len(held) != 3 {
		c.t.Errorf("%d winners and the holders %v, want 3", winners, held)
	}
}

// claimAny claims any free leader slot: profile.ErrLost if there is none left.
func (f *fellow) claimAny(ctx context.Context) (profile.Tenure, error) {
	after, err := f.member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		free, err := d.Claimable(profile.Leader)
		if err != nil {
			return nil, err
		}
		if len(free) == 0 {
			return nil, profile.ErrLost
		}
		options, err := d.RoleOptions(profile.Leader)
		if err != nil {
			return nil, err
		}
		me := profile.Tenure{Role: profile.Leader, Slot: free[rand.IntN(len(free))], Instance: f.member.State().Instance, TTL: options.TTL}
		renewal := ""
		if me.TTL != "" {
			renewal = profile.RandomID()
		}
		return profile.Claim(d, me, f.uuid, renewal)
	})
	if err != nil {
		return profile.Tenure{}, err
	}
	t, held := f.member.Tenure(after, profile.Leader)
	if !held {
		return t, fmt.Errorf("the claim landed, but the answer does not confirm it")
	}
	return t, nil
}

// release gives the slot of the tenure back.
func (f *fellow) release(ctx context.Context, t profile.Tenure) error {
	_, err := f.member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		if now, held := f.member.Tenure(d, t.Role); !held || now != t {
			return nil, nil
		}
		return profile.Release(d, t, f.uuid, profile.EventReleased)
	})
	return err
}

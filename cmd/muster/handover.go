package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"muster/coordinator"
	"muster/internal/backoff"
	"muster/profile"
)

// handoverWait bounds how long transfer and evict wait for the holder's host,
// which ends what runs under the slot before it gives it up; handoverEvery is
// how often they look.
const (
	handoverWait  = 30 * time.Second
	handoverEvery = 500 * time.Millisecond
)

// allSlots are the slots by role and number.
type allSlots = map[string]map[string]profile.Slot

// handover reads the slots until done says that what was asked for has
// happened, or cannot any more. known says where things stand when it gives up:
// what was asked for stays in the profile.
func (a *app) handover(ctx context.Context, store profile.Store, done func(allSlots) (bool, error), known func(allSlots) string) error {
	bounded, cancel := context.WithTimeoutCause(ctx, handoverWait, coordinator.ErrTimeout)
	defer cancel()
	stands := "nothing was heard of the slot since"
	for said := false; ; said = true {
		slots, err := readSlots(bounded, store)
		switch {
		case err == nil:
			if is, err := done(slots); is || err != nil {
				return err
			}
			stands = known(slots)
		case !errors.Is(err, profile.ErrUnavailable):
			return err
		case bounded.Err() == nil:
			stands = err.Error()
		}
		if !said {
			a.notice("waiting up to %s: %s", handoverWait, stands)
		}
		if err := backoff.Sleep(bounded, handoverEvery); errors.Is(err, coordinator.ErrTimeout) {
			return fmt.Errorf("%w after %s: %s; the request stays in the profile", err, handoverWait, stands)
		} else if err != nil {
			return fmt.Errorf("interrupted (%w): %s; the request stays in the profile", err, stands)
		}
	}
}

func readSlots(ctx context.Context, store profile.Store) (allSlots, error) {
	params, err := store.ReadParams(ctx, profile.ParamSlots)
	if err != nil {
		return nil, err
	}
	return (&profile.Document{Params: params}).Slots()
}

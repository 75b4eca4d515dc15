package profile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrNotAtomic means that the endpoint let two guarded writes pass of which the
// second should have failed: nothing that is elected there can be trusted.
var ErrNotAtomic = errors.New("profile: the endpoint's guarded writes are not atomic")

// ParamProbe is the integer that probes race for.
const ParamProbe = "muster/probe"

// Probe races one write of each store, all guarded by the same value, for so many
// rounds: at most one of each round may land. The stores should have connections
// of their own. It changes muster/probe and nothing else, and can run beside
// everything, other probes too. The error is ErrNotAtomic if two won a round.
func Probe(ctx context.Context, stores []Store, rounds int) error {
	for range rounds {
		d, err := stores[0].Read(ctx)
		if err != nil {
			return err
		}
		if err := probeOnce(ctx, d, stores); err != nil {
			return err
		}
	}
	return nil
}

func probeOnce(ctx context.Context, d *Document, stores []Store) error {
	first := time.Now().UnixNano()
	results := make([]error, len(stores))
	var writers sync.WaitGroup
	for i, s := range stores {
		writers.Go(func() {
			c := &Change{}
			if _, planted := d.Params[ParamProbe]; planted {
				c.TestAsRead(d, At(ParamProbe))
			}
			c.Set(At(ParamProbe), first+int64(i)) // another value for each
			_, results[i] = s.Apply(ctx, c)
		})
	}
	writers.Wait()
	won := 0
	for _, err := range results {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, ErrConflict):
			return fmt.Errorf("probe: %w", err)
		}
	}
	if _, planted := d.Params[ParamProbe]; planted && won > 1 {
		return fmt.Errorf("%w: %d of %d writes that were guarded by the same value landed", ErrNotAtomic, won, len(stores))
	}
	return nil
}

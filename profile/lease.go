package profile

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A lease is timed by its TTL alone (DESIGN, rule 6). A holder counts from
// before it sent its last renewal that landed; others from when they saw the
// slot change last. Between the two lie 5/6 of a TTL, so they are safe as long
// as the rates of two hosts' clocks differ by a factor of less than 9/4.

// TTLs that are accepted. Under the least, a third of it is no time for a
// request that is slow once; a lease above the most is as good as sticky.
const (
	LeastTTL = 3 * time.Second
	MostTTL  = 24 * time.Hour
)

// ParseTTL reads the TTL of a role or slot; "" is 0: sticky. The error says
// which values are safe.
func ParseTTL(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	ttl, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: ttl: expected a duration such as 30s, found %q", ErrInvalid, s)
	case ttl < LeastTTL || ttl > MostTTL:
		return 0, fmt.Errorf("%w: ttl: %s is not safe: it leaves %s to a renewal and %s until the holder must have stopped; expected %s to %s, such as 30s",
			ErrInvalid, ttl, RenewEvery(ttl), ActFor(ttl), LeastTTL, MostTTL)
	}
	return ttl, nil
}

// RenewEvery is how long after sending a renewal that landed the next is sent.
func RenewEvery(ttl time.Duration) time.Duration { return ttl / 3 }

// ActFor is how long after sending its last renewal that landed a holder may
// act. Whatever it runs is dead by then.
func ActFor(ttl time.Duration) time.Duration { return ttl * 2 / 3 }

// WarnBefore is how long before the end of ActFor children are told to end.
func WarnBefore(ttl time.Duration) time.Duration { return ttl / 12 }

// TakeOverAfter is how long others see a slot unchanged until they may take it.
func TakeOverAfter(ttl time.Duration) time.Duration { return ttl * 3 / 2 }

// Lease renews the tenure of one slot, outside of the member's sequence: each
// renewal tests the slot's instance, epoch and last renewal, and nothing else,
// so it waits for no other write. A Lease is not safe for concurrent use.
type Lease struct {
	member *Member
	tenure Tenure
	last   string                   // renewal that the slot is known to have had
	sent   map[string]time.Duration // attempts that may have landed or may still, and when they were begun
}

// Lease returns the lease of the tenure t, whose slot has the renewal last.
func (m *Member) Lease(t Tenure, last string) *Lease {
	return &Lease{member: m, tenure: t, last: last, sent: map[string]time.Duration{}}
}

// Renew makes one attempt, and returns the moment on clock from which the lease
// counts: before the attempt that landed was sent, which may be an earlier one
// whose answer was lost. ErrLost: the slot is not held under this tenure any
// more. ErrTwin: somebody else renewed it. After other errors the lease may be
// renewed or not, and another attempt tells.
func (l *Lease) Renew(ctx context.Context, clock func() time.Duration) (time.Duration, error) {
	id := l.member.newID()
	at := slotAt(l.tenure.Role, l.tenure.Slot)
	c := l.tenure.Guard()
	c.testValue(at("renewal"), l.last)
	c.Set(at("renewal"), id)
	before := l.member.number()
	begun := clock()
	after, err := l.member.store.Apply(ctx, c)
	switch {
	case err == nil:
		l.landed(id)
		if !l.member.view.Put(after, before) {
			l.member.view.Refresh(ctx, l.member.store, HotParams()...) // else the watch's periodic look finds the newer state
		}
		return begun, nil
	case errors.Is(err, ErrUnknownOutcome):
		l.sent[id] = begun
		return 0, err
	case !errors.Is(err, ErrConflict):
		return 0, err
	}
	l.sent[id] = begun // a second copy of the request may land, when what it tests is true again
	return l.readBack(ctx, err)
}

// readBack finds out why a renewal was refused.
func (l *Lease) readBack(ctx context.Context, refused error) (time.Duration, error) {
	params, err := l.member.store.ReadParams(ctx, ParamSlots)
	if err != nil {
		return 0, err
	}
	s, err := (&Document{Params: params}).slot(l.tenure.Role, l.tenure.Slot)
	if err != nil {
		return 0, err
	}
	begun, mine := l.sent[s.Renewal]
	switch {
	case !l.tenure.Names(s):
		return 0, fmt.Errorf("%w: slot %s/%s is not held in epoch %d any more", ErrLost, l.tenure.Role, l.tenure.Slot, l.tenure.Epoch)
	case mine:
		l.landed(s.Renewal)
		return begun, nil
	case s.Renewal == l.last:
		return 0, refused
	}
	return 0, fmt.Errorf("%w: slot %s/%s was renewed by another process, or its renewal edited by hand", ErrTwin, l.tenure.Role, l.tenure.Slot)
}

// landed notes the renewal that the slot has. Attempts before it can no longer
// land: their test of the one before fails.
func (l *Lease) landed(id string) {
	l.last = id
	clear(l.sent)
}

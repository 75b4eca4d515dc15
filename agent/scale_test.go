package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/profile"
)

// turnstile stops the first claim that comes after it is shut, on its way from
// the member that decided it to the endpoint.
type turnstile struct {
	mu   sync.Mutex
	next *stop // nil while open
}

// stop is a claim that is stopped.
type stop struct {
	stopped chan struct{} // closed when it is
	pass    chan struct{} // closed to let it go on
	result  chan error    // what it got
}

func (a *turnstile) shut() *stop {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = &stop{stopped: make(chan struct{}), pass: make(chan struct{}), result: make(chan error, 1)}
	return a.next
}

// take returns where a claim is to stop, or nil.
func (a *turnstile) take() *stop {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.next
	a.next = nil
	return s
}

// dial puts the turnstile between a member and its store.
func (a *turnstile) dial(s *site, token string) profile.Store { return stopping{dial(s, token), a} }

type stopping struct {
	profile.Store
	at *turnstile
}

func (s stopping) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	var here *stop
	if claims(c) {
		here = s.at.take()
	}
	if here == nil {
		return s.Store.Apply(ctx, c)
	}
	close(here.stopped)
	select {
	case <-here.pass:
	case <-ctx.Done():
	}
	d, err := s.Store.Apply(ctx, c)
	here.result <- err
	return d, err
}

// claims reports whether the change takes a slot.
func claims(c *profile.Change) bool {
	ops, err := c.Ops()
	if err != nil {
		return false
	}
	for _, op := range ops {
		if parts := op.Path.Parts(); op.Op == "add" && parts[0] == profile.ParamSlots && parts[len(parts)-1] == "holder" && string(op.Value) != `""` {
			return true
		}
	}
	return false
}

// Fifty members (twelve in an ordinary run) compete while the count of slots goes from 3 to 1 to 5. Each
// time a claim is under way that was decided on the count before.
func TestHoldersNeverExceedTheLargerCountWhileItChangesUnderAClaim(t *testing.T) {
	ways := map[string]func(*crowd, int){"muster scale": (*crowd).scale, "drpcli": (*crowd).edit}
	for name, change := range ways {
		for _, ttl := range []string{"", "6s"} {
			t.Run(fmt.Sprintf("%s, ttl %s", name, ttl), func(t *testing.T) {
				eachCompat(t, func(t *testing.T, compat string) {
					at := &turnstile{}
					c := newCrowd(t, compat, profile.Seed{
						Members: uuids(proof(12, 50)), Leaders: 3, Options: map[string]profile.RoleOptions{profile.Leader: {TTL: ttl}},
					}, at.dial)
					c.ledger.allow(3)
					first := at.shut()
					c.run()
					c.resizeUnder(first, change, 1)

					c.ledger.allow(5)
					second := at.shut()
					c.resign(c.ledger.holders(profile.Leader)["1"])
					c.resizeUnder(second, change, 5)
				})
			})
		}
	}
}

// resizeUnder changes the count of slots while a claim is stopped, and wants the
// claim to be refused and the holders to settle at the count.
func (c *crowd) resizeUnder(claim *stop, change func(*crowd, int), count int) {
	c.t.Helper()
	receive(c.t, "a claim is under way", claim.stopped)
	change(c, count)
	close(claim.pass)
	if err := receive(c.t, "the claim is answered", claim.result); !errors.Is(err, profile.ErrConflict) {
		c.t.Errorf("a claim decided before the count became %d: got %v, want ErrConflict", count, err)
	}
	settled := func(held map[string]string) bool {
		for n := 1; n <= count; n++ {
			if held[fmt.Sprint(n)] == "" {
				return false
			}
		}
		return len(held) == count
	}
	c.ledger.await(c.t, profile.Leader, fmt.Sprintf("%d slots are held, the first ones", count), settled)
}

// scale changes the count of leader slots as `muster scale` does.
func (c *crowd) scale(count int) {
	c.t.Helper()
	if _, err := c.operator.Write(c.t.Context(), profile.Scale{Role: profile.Leader, Slots: count}.Plan); err != nil {
		c.t.Fatal(err)
	}
}

// edit changes nothing but the param, as `drpcli profiles set` does.
func (c *crowd) edit(count int) {
	c.t.Helper()
	if status, answer := c.send(http.MethodPost, "profiles/alpha/params/"+profile.ParamLeaderCount, strings.NewReader(fmt.Sprint(count))); status >= 300 {
		c.t.Fatalf("set the count to %d: status %d: %s", count, status, answer)
	}
}

// resign makes the member give up its leader slot.
func (c *crowd) resign(uuid string) {
	c.t.Helper()
	f := c.fellow(uuid)
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if _, err := f.peer.Elector.Await(ctx, profile.Leader); err != nil {
		c.t.Fatal(err)
	}
	if _, err := f.peer.Elector.Resign(ctx, profile.Leader); err != nil {
		c.t.Fatal(err)
	}
}

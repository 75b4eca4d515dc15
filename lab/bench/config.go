package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"muster/lab"
	"muster/profile"
)

// Kinds of benches.
const (
	Form     = "form"     // all start at once, until each has seen all members and the leaders
	Barrier  = "barrier"  // all start at once, and wait until the workflows of all are complete
	Idle     = "idle"     // nothing happens
	Failover = "failover" // a leader's host is cut off, until another member leads
)

// Kinds are those of benches.
var Kinds = []string{Form, Barrier, Idle, Failover}

// How much the members say about themselves.
const (
	FactsFull  = "full"  // 2 KiB at most, however many members
	FactsBrief = "brief" // what the seed grants so many members
	FactsOff   = "off"
)

var factsModes = []string{FactsFull, FactsBrief, FactsOff}

// Config says what to measure.
type Config struct {
	Kind    string
	Members int
	Leaders int    // slots of role leader
	Compat  string // of the endpoint: "" or "3.13"
	Facts   string
	// TTL of the leader slots, as profile.ParseTTL takes it; "" is sticky, which
	// has no failover.
	TTL string
	// Within is how long the completions at a barrier are spread over.
	Within time.Duration
	// Settle is how long an idle cluster, or one before a failover, is left alone
	// once it has formed; For is how long an idle one is then watched.
	Settle, For time.Duration
	// Program is the path of a muster-lab, which is the endpoint.
	Program string
	// Processes makes each member a process of its own, of Muster, which is the
	// path of a muster; else all are in this one.
	Processes bool
	Muster    string
	// Foreign is a DRP endpoint to measure on, with the credentials of a user who
	// may make machines and profiles there; nil starts an embedded one.
	Foreign *lab.OperatorConfig
	// Say is told of progress; nil tells nobody.
	Say func(format string, args ...any)
}

// ErrConfig is returned by Run for a configuration with which nothing can be
// measured.
var ErrConfig = errors.New("bench: configuration")

func (c Config) check() error {
	oneOf := func(what, found string, expected []string) error {
		if slices.Contains(expected, found) {
			return nil
		}
		return fmt.Errorf("%w: %s: expected %s, found %q", ErrConfig, what, strings.Join(expected, ", "), found)
	}
	ttl, err := profile.ParseTTL(c.TTL)
	switch {
	case err != nil:
		return fmt.Errorf("%w: ttl: %w", ErrConfig, err)
	case c.Members < 1 || c.Leaders < 0 || c.Leaders > c.Members:
		return fmt.Errorf("%w: expected at least 1 member and at most as many leaders as members, found %d and %d", ErrConfig, c.Members, c.Leaders)
	case c.Kind == Failover && (ttl == 0 || c.Leaders < 1 || c.Leaders == c.Members):
		return fmt.Errorf("%w: failover: expected a ttl, a leader and a member that is none; found ttl %q, %d leaders, %d members", ErrConfig, c.TTL, c.Leaders, c.Members)
	case c.Foreign != nil && c.Compat != "":
		return fmt.Errorf("%w: compat: expected none with an endpoint that is there already, found %q: it is what it is", ErrConfig, c.Compat)
	case c.Within < 0, c.Settle < 0, c.Kind == Idle && c.For < time.Second:
		return fmt.Errorf("%w: expected to spread completions over 0 s or more, to settle for 0 s or more and to watch for 1 s or more, found %s, %s and %s", ErrConfig, c.Within, c.Settle, c.For)
	}
	return errors.Join(
		oneOf("kind", c.Kind, Kinds),
		oneOf("compat", c.Compat, []string{"", "3.13"}),
		oneOf("facts", c.Facts, factsModes),
	)
}

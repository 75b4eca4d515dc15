package agent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

var update = flag.Bool("update", false, "write the offline table of ARCHITECTURE.md anew")

// Every cell of the table is played: an agent is at something, a mishap befalls
// its way to the endpoint, and it goes on, or ends, as the table says. Agent,
// client and endpoint are the real ones, with their real time-outs, on simulated
// time: networks are pipes in memory.
//
// Without MUSTER_PROOF every cell is played by one of the two compats.
func TestOfflineTable(t *testing.T) {
	for i, compat := range []string{"", "3.13"} {
		for j, m := range mishaps {
			for k, s := range states {
				if (i+j+k)%2 == 0 && os.Getenv("MUSTER_PROOF") == "" {
					continue
				}
				t.Run(strings.Join([]string{"compat " + compat, m.name, s.name}, "/"), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { play(t, compat, m, s) })
				})
			}
		}
	}
}

// cell is an agent at one state when one mishap befalls it.
type cell struct {
	*testing.T
	ctx     context.Context
	state   state
	mishap  mishap
	site    *site
	way     *way // of the agent
	agent   *Agent
	ran     chan error    // gets what the agent's Run returns; nil if it does not run
	waiting chan error    // gets what the wait returns
	event   time.Time     // what is waited for, else the beginning of the mishap
	over    chan struct{} // closed when the mishap is over
}

func play(t *testing.T, compat string, m mishap, s state) {
	seed := profile.Seed{Leaders: 1}
	if s.ttl > 0 {
		seed.Options = map[string]profile.RoleOptions{profile.Leader: {TTL: s.ttl.String()}}
	}
	site := &site{t: t}
	defer site.plant(compat, seed)()
	ctx, stop := context.WithCancelCause(t.Context())
	c := &cell{T: t, ctx: ctx, state: s, mishap: m, site: site, way: site.way(), waiting: make(chan error, 1), over: make(chan struct{})}
	c.open(site.config(one, c.way, s.machine))
	defer func() {
		stop(errDone)
		if c.ran != nil {
			if err := <-c.ran; !errors.Is(err, errDone) {
				t.Errorf("Run: %v", err)
			}
		}
		c.check(c.agent.Close())
	}()
	s.ready(c)
	_, err := c.agent.cfg.Store.Read(ctx) // so that there is a connection
	c.check(err)
	c.suffer()
}

// suffer lets the mishap befall the agent, and holds what comes of it to the table.
func (c *cell) suffer() {
	c.event = time.Now()
	began := c.event
	c.mishap.falls(c.way)
	type result struct {
		err error
		at  time.Time
	}
	came := make(chan result, 1)
	go func() {
		err := c.state.act(c)
		came <- result{err, time.Now()}
	}()
	time.Sleep(c.state.outage)
	healed := time.Now()
	c.way.heal()
	close(c.over)
	got := <-came
	if want, ends := c.state.ends[c.mishap.name]; ends {
		if !errors.Is(got.err, want.err) || got.at.Sub(began) > time.Second {
			c.Errorf("after %v it ended with %v, want at once and with %v", got.at.Sub(began), got.err, want.err)
		}
		return
	}
	from := healed
	if c.mishap.heals || c.mishap.reads && c.state.reads {
		from = c.event
	} else if c.state.reads && got.at.Before(healed) {
		c.Errorf("it went on %v before it could read anything", healed.Sub(got.at))
	}
	if took := got.at.Sub(from); got.err != nil || !kept(c.state, c.mishap) && took > bound(c.state, c.mishap) {
		c.Errorf("it went on after %v with %v, want at most %v", took, got.err, bound(c.state, c.mishap))
	}
}

// kept reports whether what is held is held on.
func kept(s state, m mishap) bool { return s.kept || s.ttl > 0 && m.heals }

// bound is how long after the mishap the agent goes on at the latest.
func bound(s state, m mishap) time.Duration {
	if m.reads && s.reads {
		return s.on
	}
	return s.on + m.extra
}

const (
	tableFile  = "../ARCHITECTURE.md"
	tableBegin = "<!-- The offline table is written by: go test ./agent -run TestTheOfflineTable -update -->\n"
	tableEnd   = "<!-- end of the offline table -->\n"
)

func TestTheOfflineTableIsWhatIsPlayed(t *testing.T) {
	raw, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(raw), tableBegin)
	have, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("%s: expected %q and %q", tableFile, tableBegin, tableEnd)
	}
	if want := table(); have != want && *update {
		if err := os.WriteFile(tableFile, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s is not what is played; run `go test ./agent -run TestTheOfflineTable -update`:\n%s", tableFile, diff)
	}
}

func table() string {
	var text strings.Builder
	for _, s := range states {
		fmt.Fprintf(&text, "- **%s**: %s.\n", s.name, s.during)
	}
	text.WriteString("\n|")
	for _, s := range states {
		fmt.Fprintf(&text, " | %s", s.name)
	}
	fmt.Fprintf(&text, " |\n|%s\n", strings.Repeat("---|", len(states)+1))
	for _, m := range mishaps {
		fmt.Fprintf(&text, "| %s", m.name)
		for _, s := range states {
			says := fmt.Sprintf("%.0f s", bound(s, m).Seconds())
			if e, ends := s.ends[m.name]; ends {
				says = e.as
			} else if kept(s, m) {
				says = "kept"
			}
			text.WriteString(" | " + says)
		}
		text.WriteString(" |\n")
	}
	return text.String()
}

// open makes the agent.
func (c *cell) open(cfg Config) {
	c.Helper()
	a, err := Open(cfg)
	c.check(err)
	a.clock = bubbleClock{time.Now()}
	c.agent = a
}

func (c *cell) check(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

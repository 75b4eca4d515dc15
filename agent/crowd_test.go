package agent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/agent"
	"muster/profile"
	"muster/profile/drp"
)

// proof is the size of a test of crowds: short in an ordinary run, and with
// MUSTER_PROOF set what docs/guarantees.md says of it. Times are held to what
// is said only then.
func proof(short, long int) int {
	if os.Getenv("MUSTER_PROOF") != "" {
		return long
	}
	return short
}

// crowd is a site with many members, each with an HTTPS client and a state
// directory of its own.
type crowd struct {
	*site
	ledger  *ledger
	fellows []*fellow
	stop    context.CancelCauseFunc // ends what run began
	ended   sync.WaitGroup
}

// fellow is one member of a crowd.
type fellow struct {
	uuid   string
	member *profile.Member
	store  profile.Store
	view   *profile.View
	dir    *agent.StateDir
	peer   *agent.Peer // once it runs
}

// uuids are of machines that do not exist.
func uuids(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
	}
	return list
}

// dialer makes the store of a member, which reaches the endpoint with the token.
type dialer func(s *site, token string) profile.Store

// dial is the usual one: an HTTPS client for each member.
func dial(s *site, token string) profile.Store {
	return s.client(s.URL()).Profile("alpha", drp.Token(token))
}

// newCrowd makes every expected member of the seed join.
func newCrowd(t *testing.T, compat string, seed profile.Seed, dial dialer) *crowd {
	t.Helper()
	c := &crowd{site: newSiteOf(t, compat, seed)}
	token := c.site.token()
	c.ledger = keepLedger(t, c.site)
	base := t.TempDir()
	faults := make(chan error, len(seed.Members))
	ready := make(chan *fellow, len(seed.Members))
	few := make(chan struct{}, 8) // at once: joining is no race
	for _, uuid := range seed.Members {
		f := &fellow{uuid: uuid, store: dial(c.site, token)}
		go func() {
			few <- struct{}{}
			defer func() { <-few }()
			err := f.join(t.Context(), filepath.Join(base, uuid))
			faults <- err
			ready <- f
		}()
	}
	for range seed.Members {
		if err := <-faults; err != nil {
			t.Fatal(err)
		}
		f := <-ready
		c.fellows = append(c.fellows, f)
		t.Cleanup(func() { f.dir.Close() })
	}
	slices.SortFunc(c.fellows, func(a, b *fellow) int { return strings.Compare(a.uuid, b.uuid) })
	return c
}

// join makes the member join with a fresh state directory.
func (f *fellow) join(ctx context.Context, dir string) error {
	var err error
	if f.dir, err = agent.OpenStateDir(dir); err != nil {
		return err
	}
	state, err := f.dir.Load()
	if err != nil {
		return err
	}
	state.UUID, state.Profile = f.uuid, "alpha"
	d, err := f.store.Read(ctx)
	if err != nil {
		return err
	}
	f.view = profile.NewView(d)
	f.member = profile.NewMember(profile.MemberConfig{Store: f.store, View: f.view, Journal: f.dir, State: state})
	_, err = f.member.Join(ctx, profile.Joining{Name: "n" + f.uuid[len(f.uuid)-3:], Address: "192.0.2.1", Version: "1", Hardware: "hardware of " + f.uuid})
	return err
}

// run lets every member work as an agent does, until halt or the end of the test.
func (c *crowd) run() {
	c.t.Helper()
	ctx, stop := context.WithCancelCause(context.Background())
	c.stop = stop
	for _, f := range c.fellows {
		f.peer = agent.NewPeer(agent.PeerConfig{Member: f.member, Store: f.store, View: f.view, Runs: f.dir, Logger: hclog.NewNullLogger()})
		c.ended.Go(func() {
			if err := f.peer.Run(ctx); !errors.Is(err, errEnough) {
				c.t.Errorf("%s: %v", f.uuid, err)
			}
		})
	}
	c.t.Cleanup(c.halt)
}

// halt ends what run began.
func (c *crowd) halt() {
	c.stop(errEnough)
	c.ended.Wait()
}

// fellow returns the member with this UUID.
func (c *crowd) fellow(uuid string) *fellow {
	c.t.Helper()
	for _, f := range c.fellows {
		if f.uuid == uuid {
			return f
		}
	}
	c.t.Fatalf("no member has the UUID %q", uuid)
	panic("unreachable")
}

// times are durations that were measured.
type times []time.Duration

func (d times) String() string {
	if len(d) == 0 {
		return "none"
	}
	slices.Sort(d)
	return fmt.Sprintf("n %d, p50 %d ms, max %d ms", len(d), d[len(d)/2].Milliseconds(), d[len(d)-1].Milliseconds())
}

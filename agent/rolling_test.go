package agent_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/agent"
	"muster/profile"
)

// gang is who runs a rolling step, and who did.
type gang struct {
	mu      sync.Mutex
	running int
	most    int
	ran     []string
}

func (g *gang) enter(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running++
	g.most = max(g.most, g.running)
	g.ran = append(g.ran, name)
}

func (g *gang) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
}

func (g *gang) names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(slices.Values(g.ran))
}

// Ten members, two at once, one that fails: whole agents over real sockets.
func TestARollingStepNeverRunsOnMoreThanTwoAndStopsForAllWhenOneFails(t *testing.T) {
	t.Parallel()
	eachCompat(t, func(t *testing.T, compat string) {
		members := uuids(10)
		s := newSiteOf(t, compat, profile.Seed{Members: members, Leaders: 1})
		var agents []*running
		for i, uuid := range members {
			cfg, _ := s.config(s.URL())
			cfg.UUID, cfg.Name = uuid, fmt.Sprintf("n%d", i)
			agents = append(agents, run(t, cfg))
		}
		var g gang
		spec := agent.Rolling{RollingSpec: profile.RollingSpec{Name: "deploy", AtOnce: "2"}}
		take := func(r *running, name string, exit int) (again bool, err error) {
			turn, err := r.Roll(t.Context(), spec, nil)
			if err != nil || turn.Again {
				return turn.Again, err
			}
			g.enter(name)
			time.Sleep(20 * time.Millisecond) // its work
			g.leave()
			return false, r.EndRoll(t.Context(), "deploy", turn.Round, exit)
		}
		if _, err := take(agents[0], "n0", 3); err != nil { // fails, before anybody else has begun
			t.Fatal(err)
		}
		ended := make(chan error, len(agents))
		stopped := make(chan string, 1000)
		for i, r := range agents[1:] {
			go func() {
				name := fmt.Sprintf("n%d", i+1)
				turn, err := r.Roll(t.Context(), spec, func(why string) { stopped <- why })
				if err == nil {
					g.enter(name)
					time.Sleep(20 * time.Millisecond)
					g.leave()
					err = r.EndRoll(t.Context(), "deploy", turn.Round, 0)
				}
				ended <- err
			}()
		}
		for range agents[1:] {
			if why := receive(t, "everybody is told that it is stopped", stopped); !strings.Contains(why, "n0 failed with exit 3") {
				t.Errorf("told %q", why)
			}
		}
		if diff := g.names(); !slices.Equal(diff, []string{"n0"}) {
			t.Errorf("ran on %v though it is stopped", diff)
		}
		if _, err := s.operator.Write(t.Context(), profile.ContinueStep{Name: "deploy"}.Plan); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the member that failed may run it again", func() bool {
			again, err := take(agents[0], "n0", 0)
			if err != nil {
				t.Fatal(err)
			}
			return !again
		})
		for range agents[1:] {
			if err := receive(t, "it runs everywhere", ended); err != nil {
				t.Error(err)
			}
		}
		if g.most > 2 || len(g.names()) != 11 || len(slices.Compact(g.names())) != 10 {
			t.Errorf("at most %d at once; ran on %v", g.most, g.names())
		}
		if again, err := take(agents[5], "n5", 0); err != nil || !again {
			t.Errorf("a second time: again %v, error %v", again, err)
		}
	})
}

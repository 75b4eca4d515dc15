package agent

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/coordinator"
	"muster/endpoint"
	"muster/profile"
)

// Beside the cells of the table, in which time is simulated: two agents with
// their sockets, over TCP. Whatever befalls both ways to the endpoint while a
// command waits for completion, the gate stays shut and opens only by a verdict
// that was committed after the last completion. Without MUSTER_PROOF each mishap
// that takes no long waiting is met with one of the compats.
func TestAGateOverRealSocketsOpensOnlyAfterTheLastCompletion(t *testing.T) {
	t.Parallel()
	for i, compat := range []string{"", "3.13"} {
		for j, m := range mishaps {
			if ((i+j)%2 == 0 || m.extra == retryAfter) && os.Getenv("MUSTER_PROOF") == "" {
				continue
			}
			t.Run("compat "+compat+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				s := &site{t: t, real: true, timeout: 3 * time.Second}
				defer s.plant(compat, profile.Seed{Leaders: 1})()
				s.meet(m)
			})
		}
	}
}

// meet lets the members complete one after the other, the second while the
// mishap lasts.
func (s *site) meet(m mishap) {
	verdict := &verdict{}
	s.server.OnCommit(verdict.note)
	first, second := s.host(one), s.host(two)
	defer first.stop()
	defer second.stop()
	first.complete()
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		out, err := first.Wait(s.t.Context(), Waiting{}, func(coordinator.Outcome) {
			select {
			case begun <- struct{}{}:
			default:
			}
		})
		if err == nil && out.Verdict != profile.VerdictComplete {
			err = errors.New("the verdict is " + out.Verdict)
		}
		ended <- err
	}()
	select {
	case <-begun:
	case err := <-ended:
		s.t.Errorf("the wait ended before all: %v", err)
		return
	}

	m.falls(first.way)
	m.falls(second.way)
	s.stir()
	if !m.heals && !m.reads {
		s.soon("long polls of before have their answer", func() bool { return first.way.suffered.Load() > 0 })
	}
	completes := make(chan struct{})
	go func() {
		defer close(completes)
		second.complete()
	}()
	if !m.heals {
		s.soon("the mishap is felt", func() bool {
			return second.way.suffered.Load() >= 3 && (m.reads || first.way.suffered.Load() >= 3)
		})
		select {
		case err := <-ended:
			s.t.Errorf("the gate opened (%v) though nobody could know of the completion", err)
			ended <- err
		default:
		}
		first.way.heal()
		second.way.heal()
	}
	<-completes
	if err := <-ended; err != nil {
		s.t.Errorf("the wait ended with: %v", err)
	}
	verdict.mu.Lock()
	defer verdict.mu.Unlock()
	if !verdict.seen || verdict.early {
		s.t.Errorf("the gate opened; verdict committed: %v, before the last completion: %v", verdict.seen, verdict.early)
	}
}

// verdict is what the commits show of the verdict.
type verdict struct {
	mu          sync.Mutex
	seen, early bool
}

func (v *verdict) note(c endpoint.Commit) {
	var object struct{ Params profile.Params }
	if c.Prefix != "profiles" || json.Unmarshal(c.Object, &object) != nil {
		return
	}
	d := &profile.Document{Params: object.Params}
	b, _, err := d.Barrier(profile.BarrierComplete, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil || b.Verdict == "" || v.seen {
		return
	}
	v.seen = true
	for _, uuid := range []string{one, two} {
		if r, _, err := d.Record(uuid); err != nil || r.Results["1"] != profile.Complete {
			v.early = true
		}
	}
}

// host is an agent with its socket.
type host struct {
	*Client
	site *site
	way  *way
	stop func()
}

func (s *site) host(uuid string) *host {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "muster") // a short path, as sockets need
	if err != nil {
		s.t.Fatal(err)
	}
	h := &host{site: s, way: s.way()}
	cfg := s.config(uuid, h.way, false)
	cfg.Socket = filepath.Join(dir, "sock")
	a, err := Open(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	if err := a.Join(ctx, false); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	h.stop = func() {
		stop(errDone)
		if err := <-ended; !errors.Is(err, errDone) {
			s.t.Errorf("Run: %v", err)
		}
		a.Close()
		os.RemoveAll(dir)
	}
	s.soon("the agent answers", func() bool {
		h.Client, err = Dial(cfg.Socket)
		return err == nil
	})
	return h
}

// complete reports that the workflow ran and is complete, as often as it takes.
func (h *host) complete() {
	h.site.t.Helper()
	for _, said := range []string{profile.Running, profile.Complete} {
		h.site.soon("report "+said, func() bool {
			_, err := h.Report(h.site.t.Context(), said)
			return err == nil
		})
	}
}

// soon waits for something that must happen.
func (s *site) soon(what string, happens func() bool) {
	s.t.Helper()
	for late := time.Now().Add(2 * time.Minute); !happens(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(late) {
			s.t.Errorf("not within two minutes: %s", strings.TrimSpace(what))
			return
		}
	}
}

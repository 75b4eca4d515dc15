package endpoint

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"gitlab.com/rackn/provision/v4/models"
)

// A stalled socket cannot be told from a quiet one but by what comes later.
func TestStalledSocketStaysOpenAndLosesWhatWasDue(t *testing.T) {
	for _, openBefore := range []bool{true, false} {
		t.Run(fmt.Sprintf("open before %v", openBefore), func(t *testing.T) {
			s, _ := workServer(t, "")
			s.putAll(t, models.MakeRole("all", "*", "*", "*"), &models.User{Name: "eve", Roles: []string{"all"}})
			eves, err := s.UserToken("eve", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			witness := s.dial(t, userToken(t, s))
			witness.say("register profiles.*.*")
			witness.expect("websocket.register.profiles.*.*")
			fault := Fault{Kind: FaultStall, Path: "/ws", Principal: "user:eve", Times: 1}
			var k *socket
			if openBefore {
				k = s.dial(t, eves)
				k.say("register profiles.*.*")
				k.expect("websocket.register.profiles.*.*")
			}
			id, err := s.Inject(fault)
			if err != nil {
				t.Fatal(err)
			}
			if !openBefore {
				k = s.dial(t, eves)
				k.say("register profiles.*.*")
			}
			var pongs []string
			k.conn.SetPongHandler(func(data string) error { pongs = append(pongs, data); return nil })
			k.ping("lost")
			k.say("register stages.*.*") // by which the ping is known to have been read
			waitRegistered(t, s, "stages.*.*")
			s.putAll(t, &models.Profile{Name: "unseen"})
			witness.expect("profiles.create.unseen")
			if got := s.Faults()[0].Hits; got != 1 {
				t.Errorf("%d hits, want 1", got)
			}
			if err := s.Clear(id); err != nil {
				t.Fatal(err)
			}
			k.ping("found")
			k.say("deregister none")
			k.until("websocket.deregister.none", "websocket.register.stages.*.*") // the second may have been late enough
			s.putAll(t, &models.Profile{Name: "seen"})
			k.expect("profiles.create.seen")
			if !slices.Equal(pongs, []string{"found"}) {
				t.Errorf("the pongs are for %q", pongs)
			}
		})
	}
}

func TestRestartCutsSocketsAlsoSilentOnes(t *testing.T) {
	s, _ := workServer(t, "")
	open := s.dial(t, userToken(t, s))
	silent := s.dial(t, userToken(t, s))
	if _, err := s.Inject(Fault{Kind: FaultStall, Path: "/ws", Times: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, k := range []*socket{open, silent} {
		_ = k.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, _, err := k.conn.ReadMessage()
		if e, ok := errors.AsType[net.Error](err); err == nil || ok && e.Timeout() {
			t.Errorf("the socket lives on: %v", err)
		}
	}
	s.ClearAll()
	again := s.dial(t, userToken(t, s))
	again.say("register profiles.*.*")
	again.expect("websocket.register.profiles.*.*")
}

// until hears the events in may, until want comes.
func (k *socket) until(want string, may ...string) {
	k.t.Helper()
	for {
		switch got, _ := k.hear(); {
		case got == want:
			return
		case !slices.Contains(may, got):
			k.t.Fatalf("got event %s, want %s", got, want)
		}
	}
}

func (k *socket) ping(data string) {
	k.t.Helper()
	if err := k.conn.WriteControl(websocket.PingMessage, []byte(data), time.Now().Add(10*time.Second)); err != nil {
		k.t.Fatal(err)
	}
}

// waitRegistered waits until some session has registered spec.
func waitRegistered(t *testing.T, s *Server, spec string) {
	t.Helper()
	registered := func() bool {
		s.faults.mu.Lock()
		defer s.faults.mu.Unlock()
		for ss := range s.faults.sessions {
			ss.mu.Lock()
			_, found := ss.specs[spec]
			ss.mu.Unlock()
			if found {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(20 * time.Second); !registered(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody registers " + spec)
		}
	}
}

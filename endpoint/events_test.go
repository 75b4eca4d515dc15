package endpoint

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"gitlab.com/rackn/provision/v4/models"
)

// workServer runs an endpoint until the test ends, after prepare has changed it.
func workServer(t *testing.T, compat string, prepare ...func(*Server)) (s *Server, stop func()) {
	t.Helper()
	s, err := New(Config{Listen: "127.0.0.1:0", Compat: compat, Logger: Watch(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prepare {
		p(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx); close(served) }()
	stop = func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func newMachineNamed(name string, profiles ...string) *models.Machine {
	m := &models.Machine{}
	m.Name, m.Profiles = name, profiles
	m.Fill()
	setDefaults(m)
	return m
}

func (s *Server) putAll(t *testing.T, objects ...models.Model) {
	t.Helper()
	err := s.store.update("user:test", func(tx *tx) error {
		for _, o := range objects {
			if err := tx.put(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// socket is a test's side of a websocket.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func (s *Server) dial(t *testing.T, token string) *socket {
	t.Helper()
	conn, resp, err := s.dialer().Dial(s.wsURL(), http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	t.Cleanup(func() { conn.Close() })
	return &socket{t, conn}
}

func (s *Server) dialer() *websocket.Dialer {
	return &websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, HandshakeTimeout: 30 * time.Second}
}

func (s *Server) wsURL() string { return "wss" + strings.TrimPrefix(s.URL(), "https") + "/api/v3/ws" }

func (k *socket) say(command string) {
	k.t.Helper()
	if err := k.conn.WriteMessage(websocket.TextMessage, []byte(command)); err != nil {
		k.t.Fatal(err)
	}
}

// hear returns the next event as TYPE.ACTION.KEY.
func (k *socket) hear() (string, event) {
	k.t.Helper()
	_ = k.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var e event
	if err := k.conn.ReadJSON(&e); err != nil {
		k.t.Fatal(err)
	}
	return e.Type + "." + e.Action + "." + e.Key, e
}

func (k *socket) expect(want ...string) {
	k.t.Helper()
	for _, w := range want {
		if got, _ := k.hear(); got != w {
			k.t.Fatalf("got event %s, want %s", got, w)
		}
	}
}

func userToken(t *testing.T, s *Server) string {
	t.Helper()
	token, err := s.UserToken(DefaultUser, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestEventsFollowRegistrations(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat"+compat, func(t *testing.T) {
			s, _ := workServer(t, compat)
			k := s.dial(t, userToken(t, s))
			k.say("register profiles.create,update,delete.aa,b\\1b")
			k.expect("websocket.register.profiles.create,update,delete.aa,b\\1b")
			s.putAll(t, &models.Profile{Name: "xx"}, &models.Profile{Name: "aa"}, &models.Profile{Name: "b.b"})
			k.expect("profiles.create.aa", "profiles.create.b.b")
			changed := &models.Profile{Name: "aa"}
			changed.Description = "new"
			s.putAll(t, changed)
			_, e := k.hear()
			var now, was models.Profile
			if json.Unmarshal(e.Object, &now) != nil || json.Unmarshal(e.Original, &was) != nil {
				t.Fatal("event without objects")
			}
			if now.Description != "new" || was.Description != "" || e.Principal != "user:test" || e.Time.IsZero() {
				t.Errorf("got %+v", e)
			}
			k.say("deregister profiles.create,update,delete.aa,b\\1b")
			k.expect("websocket.deregister.profiles.create,update,delete.aa,b\\1b")
			s.putAll(t, &models.Profile{Name: "aa"})
			k.say("register *.*.*")
			k.expect("websocket.register.*.*.*")
		})
	}
}

func TestMalformedCommandsAreAnswered(t *testing.T) {
	s, _ := workServer(t, "")
	k := s.dial(t, userToken(t, s))
	for _, command := range []string{"register profiles", "register a.b", "register ..", "register a.b.c.", "register a.b.c.Eq(1)", "register a.b.c.x=Eq({\"a\":})", "", "nonsense"} {
		k.say(command)
		_, e := k.hear()
		if e.Type != "websocket" || e.Action != "error" {
			t.Errorf("%q: got %+v", command, e)
		}
	}
	s.putAll(t, &models.Profile{Name: "aa"})
	k.say("register profiles.*.*")
	k.expect("websocket.register.profiles.*.*")
}

// A machine token sees its machine, a profile token its profile, and both see
// what clients post.
func TestEventsAreFilteredByClaims(t *testing.T) {
	s, _ := workServer(t, "")
	m1, m2 := newMachineNamed("m1", "mine"), newMachineNamed("m2")
	s.putAll(t, &models.Profile{Name: "mine"}, &models.Profile{Name: "other"}, m1, m2)
	machine, err := s.MachineToken(m1.Key(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := s.ProfileToken(m1.Key(), "mine", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	byMachine, byProfile := s.dial(t, machine), s.dial(t, profile)
	for _, k := range []*socket{byMachine, byProfile} {
		k.say("register *.*.*")
		k.expect("websocket.register.*.*.*")
	}
	s.putAll(t, &models.Profile{Name: "other"}, &models.Profile{Name: "mine"}, m2, m1)
	resp := s.call(t, machine, "POST", "/events", `{"Type":"note","Action":"say","Key":"hello"}`)
	if resp.StatusCode != http.StatusNoContent || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		t.Errorf("POST /events: got %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	byMachine.expect("machines.update."+m1.Key(), "note.say.hello")
	byProfile.expect("profiles.update.mine", "note.say.hello")
	forged := `{"Type":"machines","Action":"update","Key":"` + m2.Key() + `"}`
	if resp := s.call(t, machine, "POST", "/events", forged); resp.StatusCode != http.StatusForbidden {
		t.Errorf("forged event: got %s", resp.Status)
	}
}

// An event needs no Key. Nobody can forge the answer to a command.
func TestEventsOfClients(t *testing.T) {
	s, _ := workServer(t, "")
	token := userToken(t, s)
	k := s.dial(t, token)
	k.say("register *.*.*")
	k.expect("websocket.register.*.*.*")
	for body, want := range map[string]int{
		`{"Type":"websocket","Action":"register","Key":"a.b.c"}`: http.StatusForbidden,
		`{"Type":"note","Key":"x"}`:                              http.StatusBadRequest,
		`{"Action":"say","Key":"x"}`:                             http.StatusBadRequest,
		`{"Type":"note","Action":"say"}`:                         http.StatusNoContent,
	} {
		if got := s.call(t, token, "POST", "/events", body); got.StatusCode != want {
			t.Errorf("%s: got %s, want %d", body, got.Status, want)
		}
	}
	k.expect("note.say.")
}

func (s *Server) call(t *testing.T, token, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+"/api/v3"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// A pack holds everything that its objects do, and its events are for those who may
// read packs.
func TestEventsOfContentsAreForWhoMayReadThem(t *testing.T) {
	s, _ := workServer(t, "")
	m := newMachineNamed("node-1", "c1")
	s.putAll(t, &models.Profile{Name: "c1"}, m)
	token, err := s.ProfileToken(m.Key(), "c1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	k := s.dial(t, token)
	k.say("register *.*.*")
	k.hear()
	err = s.store.update("user:test", func(tx *tx) error {
		p, err := parsePack([]byte(`{"meta":{"Name":"pack"},"sections":{"profiles":{"pro":{"Name":"pro"}}}}`))
		if err != nil {
			return err
		}
		return tx.upload(p, false)
	})
	if err != nil {
		t.Fatal(err)
	}
	s.putAll(t, &models.Profile{Name: "c1", ParamData: models.ParamData{}})
	if got, _ := k.hear(); got != "profiles.update.c1" {
		t.Errorf("heard %s", got)
	}
	forged := event{Type: "contents", Action: "delete", Key: "BasicStore"}
	if visible(&forged, &principal{}) {
		t.Error("events of contents are for everybody")
	}
}

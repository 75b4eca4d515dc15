package endpoint

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/go-hclog"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/pattern"
)

// patient gives close frames all the time that a busy machine may need.
func patient(s *Server) { s.socketTimes.goodbye = time.Minute }

// logInto keeps a server's log, which may be read when the server has stopped.
func logInto(out *lockedBuilder) func(*Server) {
	return func(s *Server) { s.log = hclog.New(&hclog.LoggerOptions{Output: out, Level: hclog.Trace}) }
}

type lockedBuilder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// farewell reads until the socket ends and returns the close frame.
func (k *socket) farewell() *websocket.CloseError {
	k.t.Helper()
	for {
		_ = k.conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, _, err := k.conn.ReadMessage(); err != nil {
			closed, ok := errors.AsType[*websocket.CloseError](err)
			if !ok {
				k.t.Fatalf("ended without a close frame: %v", err)
			}
			return closed
		}
	}
}

func (s *Server) openSockets() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.hub.sessions)
}

// flood publishes big events until somebody is told to go.
func (s *Server) flood(t *testing.T) {
	t.Helper()
	gone := func() bool {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		for ss := range s.hub.sessions {
			select {
			case <-ss.gone:
				return true
			default:
			}
		}
		return len(s.hub.sessions) == 0
	}
	big, _ := json.Marshal(strings.Repeat("x", 100_000))
	for n := 0; !gone(); n++ {
		if n > 8*wsQueue {
			t.Fatal("nobody is dropped")
		}
		s.hub.publish(event{Type: "profiles", Action: "update", Key: "big", Object: big})
	}
}

// A reader that does not read holds up nobody, and is told so when it reads again.
func TestSlowReaderIsDroppedAndTold(t *testing.T) {
	var log lockedBuilder
	s, _ := workServer(t, "", patient, logInto(&log))
	slow, quick := s.dial(t, userToken(t, s)), s.dial(t, userToken(t, s))
	slow.say("register profiles.*.big")
	slow.expect("websocket.register.profiles.*.big")
	quick.say("register profiles.*.end")
	quick.expect("websocket.register.profiles.*.end")
	s.flood(t)
	s.putAll(t, &models.Profile{Name: "end"})
	quick.expect("profiles.create.end")
	if got := slow.farewell(); got.Code != websocket.CloseTryAgainLater || got.Text != tooSlow {
		t.Errorf("told %+v", got)
	}
	for s.openSockets() > 1 {
		time.Sleep(time.Millisecond)
	}
	if !strings.Contains(log.String(), "user:rocketskates") {
		t.Errorf("the log does not say who was dropped: %s", log.String())
	}
}

// One that never reads again is cut off all the same.
func TestDeafReaderIsCutOff(t *testing.T) {
	s, _ := workServer(t, "", func(s *Server) { s.socketTimes.goodbye = time.Millisecond })
	deaf := s.dial(t, userToken(t, s))
	deaf.say("register profiles.*.big")
	deaf.expect("websocket.register.profiles.*.big")
	s.flood(t)
	for s.openSockets() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// Serve returns only when the sessions have ended, and they are told.
func TestServerEndsSessions(t *testing.T) {
	s, stop := workServer(t, "", patient)
	k := s.dial(t, userToken(t, s))
	k.say("register *.*.*")
	k.expect("websocket.register.*.*.*")
	told := make(chan *websocket.CloseError, 1)
	go func() { told <- k.farewell() }()
	stop()
	if n := s.openSockets(); n != 0 {
		t.Errorf("%d sessions left", n)
	}
	if got := <-told; got.Code != websocket.CloseGoingAway {
		t.Errorf("told %+v", got)
	}
}

func TestSocketsArePinged(t *testing.T) {
	s, _ := workServer(t, "", func(s *Server) { s.socketTimes.ping = time.Millisecond })
	k := s.dial(t, userToken(t, s))
	pings := make(chan struct{}, 1)
	k.conn.SetPingHandler(func(string) error {
		select {
		case pings <- struct{}{}:
		default:
		}
		return nil
	})
	go func() { _, _, _ = k.conn.ReadMessage() }()
	select {
	case <-pings:
	case <-time.After(time.Minute):
		t.Error("no ping")
	}
}

// A client that answers no ping is gone.
func TestSilentClientIsCutOff(t *testing.T) {
	s, _ := workServer(t, "", func(s *Server) { s.socketTimes.pong = time.Millisecond })
	s.dial(t, userToken(t, s))
	for s.openSockets() > 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestLongCommandEndsTheSocket(t *testing.T) {
	for compat, most := range map[string]int{"": 16 << 10, "3.13": 512} {
		s, _ := workServer(t, compat, patient)
		for _, more := range []int{1, 1 << 20} { // the client is told also while it still sends
			k := s.dial(t, userToken(t, s))
			command := "register profiles.*."
			key := strings.Repeat("x", most-len(command))
			k.say(command + key)
			k.expect("websocket.register.profiles.*." + key)
			k.say(command + key + strings.Repeat("x", more))
			_ = k.conn.SetReadDeadline(time.Now().Add(time.Minute))
			if _, _, err := k.conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
				t.Errorf("compat %q: %d bytes: got %v, want 1009", compat, most+more, err)
			}
			k.conn.Close()
		}
	}
}

// What is wrong with a filter is not what is wrong with a command.
func TestWrongFilterIsNamed(t *testing.T) {
	s, _ := workServer(t, "")
	k := s.dial(t, userToken(t, s))
	for spec, want := range map[string]string{
		"a.b.c.Eq(1)":                                   "wrong FILTER: expected And(...), Or(...), Not(...) and FIELD=FUNCTION(...), where FUNCTION is Eq, Ne, In, Nin, Re, Exists or Changed",
		`a.b.c.x=Eq({"a":})`:                            "wrong FILTER: expected And",
		"a.b.c.x=Gt(1)":                                 "wrong FILTER: expected And",
		"a.b.c." + strings.Repeat("Not(", 300):          "wrong FILTER: expected at most 256 terms",
		"a.b.c.x=Re(" + strings.Repeat("x{9}", 9) + ")": "wrong FILTER: expected at most 8 counted",
		"a.b":  "expected TYPE.ACTION.KEY or TYPE.ACTION.KEY.FILTER, found 2 parts",
		"a..c": "expected TYPE.ACTION.KEY or TYPE.ACTION.KEY.FILTER, found an empty part",
	} {
		k.say("register " + spec)
		name, e := k.hear()
		var got string
		if err := json.Unmarshal(e.Object, &got); err != nil || name != "websocket.error."+spec || !strings.HasPrefix(got, want) {
			t.Errorf("%.40s: got %.60s: %q, %v", spec, name, got, err)
		}
	}
}

// DRP's helper adds filters to its registrations when it finds the feature.
func TestFiltersAreAdvertised(t *testing.T) {
	for compat, want := range map[string]bool{"": true, "3.13": false} {
		s, _ := workServer(t, compat)
		if got := s.info().HasFeature("websocket-changed-filter"); got != want {
			t.Errorf("compat %q: advertised %v, want %v", compat, got, want)
		}
	}
}

func TestEventFilters(t *testing.T) {
	s, _ := workServer(t, "")
	s.putAll(t, &models.Profile{Name: "aa"})
	token := userToken(t, s)
	var sockets []*socket
	rows := []struct {
		filter string
		want   bool
	}{
		{`Description=Eq("new")`, true},
		{`Description=Eq(new)`, true},
		{`Description=Eq("old")`, false},
		{`Description=Ne("old")`, true},
		{`Description=In("a","new")`, true},
		{`Description=Nin("a","new")`, false},
		{`Description=Re("^n.w$")`, true},
		{`Description=Exists()`, true},
		{`Nothing=Exists()`, false},
		{`Description=Changed("old","new")`, true},
		{`Description=Changed("other","new")`, false},
		{`Description=Changed(,)`, true},
		{`Name=Changed(,)`, false},
		{`Original.Description=Eq("old")`, true},
		{`Object.Description=Eq("new")`, true},
		{`event.Principal=Eq("user:test")`, true},
		{`event.Action=Eq("save")`, false},
		{`/Params/cluster~1x=Eq(1)`, true},
		{`Params.cluster/x=Eq(1)`, true},
		{`Params.dot\1ted=Eq(2)`, true},
		{`And(Name=Eq("aa"),Description=Eq("new"))`, true},
		{`All(Name=Eq("aa"),Description=Eq("old"))`, false},
		{`Or(Name=Eq("bb"),Description=Eq("new"))`, true},
		{`Any(Name=Eq("bb"),Description=Eq("old"))`, false},
		{`Not(Name=Eq("aa"))`, false},
		{`Name=Eq("aa"),Not(Description=Eq("old"))`, true},
	}
	for _, row := range rows {
		k := s.dial(t, token)
		k.say("register profiles.update,save,delete.aa." + row.filter)
		k.expect("websocket.register.profiles.update,save,delete.aa." + row.filter)
		k.say("register profiles.update.end")
		k.expect("websocket.register.profiles.update.end")
		sockets = append(sockets, k)
	}
	end := &models.Profile{Name: "end"}
	old, changed := &models.Profile{Name: "aa"}, &models.Profile{Name: "aa"}
	old.Description, changed.Description = "old", "new"
	changed.Fill()
	changed.SetParams(map[string]any{"cluster/x": 1, "dot.ted": 2})
	old.Fill()
	old.SetParams(changed.GetParams())
	s.putAll(t, old, end)
	s.putAll(t, changed, end)
	for i, row := range rows {
		var got []string
		for name, e := sockets[i].hear(); name != "profiles.update.end"; name, e = sockets[i].hear() {
			var p models.Profile
			_ = json.Unmarshal(e.Object, &p)
			got = append(got, p.Description)
		}
		if has := strings.Contains(strings.Join(got, " "), "new"); has != row.want {
			t.Errorf("%s: got updates to %v", row.filter, got)
		}
	}
}

// The dots of a key need no escape on 3.13, which has no filters.
func TestKeysHaveDotsOn313(t *testing.T) {
	s, _ := workServer(t, "3.13")
	k := s.dial(t, userToken(t, s))
	k.say("register profiles.create.a.b")
	k.expect("websocket.register.profiles.create.a.b")
	s.putAll(t, &models.Profile{Name: "a.b"})
	k.expect("profiles.create.a.b")
}

func TestFilterRegistrationsAreBounded(t *testing.T) {
	s, _ := workServer(t, "")
	k := s.dial(t, userToken(t, s))
	for i := range wsMaxFilters + 1 {
		k.say("register profiles.*.k" + strings.Repeat("x", i) + ".Name=Exists()")
		want := "register"
		if i == wsMaxFilters {
			want = "error"
		}
		if _, e := k.hear(); e.Action != want {
			t.Fatalf("registration %d: got %+v", i, e)
		}
	}
}

// Every event is compared with the registrations, while the store waits.
func TestRegistrationsOfASessionAreBoundedTogether(t *testing.T) {
	s, _ := workServer(t, "")
	k := s.dial(t, userToken(t, s))
	long := strings.Repeat("x", wsMaxText/8)
	for i := range 9 {
		spec := "register profiles.*.k" + string(rune('0'+i)) + "," + long
		want := "register"
		if i >= 7 {
			want = "error"
		}
		k.say(spec)
		if _, e := k.hear(); e.Action != want {
			t.Fatalf("registration %d: got %s, want %s", i, e.Action, want)
		}
	}
	k.say("register profiles.*.k0," + long) // as before
	k.expect("websocket.register.profiles.*.k0," + long)
	k.say("deregister profiles.*.k0," + long)
	k.expect("websocket.deregister.profiles.*.k0," + long)
	k.say("register profiles.create, update.a\\1b,c\\2d")
	k.expect("websocket.register.profiles.create, update.a\\1b,c\\2d")
	for _, key := range []string{"ab", "a.b", "c,d", "c", "k1"} {
		s.hub.publish(event{Type: "profiles", Action: "update", Key: key})
	}
	k.expect("profiles.update.a.b", "profiles.update.c,d", "profiles.update.k1")
}

// A filter that is being matched is not interrupted, so it must end soon by itself.
func TestServeDoesNotWaitForACostlyFilter(t *testing.T) {
	s, stop := workServer(t, "")
	k := s.dial(t, userToken(t, s))
	costly := func(n int) string { return `profiles.*.*.Note=Re("` + strings.Repeat("a?", n) + `b$")` }
	most := pattern.MaxSize/2 - 10
	k.say("register " + costly(most+20))
	if _, e := k.hear(); e.Action != "error" {
		t.Fatalf("a filter that is too big: got %s", e.Action)
	}
	k.say("register " + costly(most))
	k.expect("websocket.register." + costly(most))
	for _, n := range []int{pattern.MaxSteps/pattern.MaxSize - 1000, maxBody} {
		note, _ := json.Marshal(map[string]string{"Note": strings.Repeat("a", n)})
		s.hub.publish(event{Type: "profiles", Action: "update", Key: "aa", Object: note})
	}
	ended := make(chan struct{})
	go func() { stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("Serve waits for a filter")
	}
}

// A browser's page from elsewhere must not open a socket with its user's password.
func TestForeignOriginIsRefused(t *testing.T) {
	s, _ := workServer(t, "")
	_, resp, err := s.dialer().Dial(s.wsURL(), http.Header{
		"Authorization": {"Bearer " + userToken(t, s)}, "Origin": {"https://elsewhere.example"},
	})
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("got %v, %v", resp, err)
	}
	resp.Body.Close()
}

// Events of the claim event, as DRP 4 has it, and of who may do what they report.
func TestEventClaimLetsSeeEvents(t *testing.T) {
	watcher := &principal{claims: []claim{{"machines", "event", "*"}, {"profiles", "update", "mine"}}}
	for name, want := range map[string]bool{
		"machines.update.m": true, "machines.delete.m": true, "profiles.update.mine": true,
		"profiles.update.other": false, "profiles.delete.mine": false, "jobs.update.j": false, "note.say.hello": true,
	} {
		part := strings.Split(name, ".")
		if got := visible(&event{Type: part[0], Action: part[1], Key: part[2]}, watcher); got != want {
			t.Errorf("%s: visible %v, want %v", name, got, want)
		}
	}
}

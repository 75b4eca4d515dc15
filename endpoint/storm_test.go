package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
)

// Clients of all kinds at once, and the server stops in the middle: nothing hangs
// or breaks, and no guarded write that was confirmed is lost.
func TestStormOfClientsAndShutdownInTheMiddle(t *testing.T) {
	s, stop := workServer(t, "")
	shared, machine := &models.Profile{Name: "shared"}, newMachineNamed("m1", "shared")
	shared.Fill()
	shared.SetParams(map[string]any{"counter": 0})
	s.putAll(t, shared, machine)
	token := userToken(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done, won, unknown atomic.Int64
	enough := make(chan struct{})
	// send returns the answer's status and body, 0 if there was none.
	send := func(client *http.Client, method, path, body string, headers ...string) (int, string) {
		req, err := http.NewRequestWithContext(ctx, method, s.URL()+"/api/v3"+path, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return 0, ""
		}
		if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
		}
		if done.Add(1) == 600 {
			close(enough)
		}
		return resp.StatusCode, string(text)
	}
	kinds := map[string]func(n int, c *http.Client){
		"crud": func(n int, c *http.Client) {
			name := fmt.Sprintf("own-%d", n%3)
			send(c, "POST", "/profiles", `{"Name":"`+name+`"}`)
			send(c, "PATCH", "/profiles/"+name, `[{"op":"replace","path":"/Description","value":"x"}]`)
			send(c, "PATCH", "/machines/"+machine.Key(), `[{"op":"add","path":"/Profiles/-","value":"`+name+`"}]`)
			send(c, "DELETE", "/profiles/"+name, "")
			send(c, "PATCH", "/machines/"+machine.Key(), `[{"op":"replace","path":"/Profiles","value":["shared"]}]`)
		},
		"params": func(n int, c *http.Client) {
			key := fmt.Sprintf("/profiles/shared/params/p/%d", n%5)
			send(c, "POST", key, fmt.Sprintf(`{"n":%d}`, n))
			send(c, "DELETE", key, "")
		},
		"counters": func(_ int, c *http.Client) {
			code, text := send(c, "GET", "/profiles/shared/params/counter", "")
			var at int
			if code != 200 || json.Unmarshal([]byte(text), &at) != nil {
				return
			}
			code, _ = send(c, "PATCH", "/profiles/shared", fmt.Sprintf(
				`[{"op":"test","path":"/Params/counter","value":%d},{"op":"replace","path":"/Params/counter","value":%d}]`, at, at+1))
			switch code {
			case 200:
				won.Add(1)
			case 0:
				unknown.Add(1)
			}
		},
		"lists": func(_ int, c *http.Client) {
			send(c, "GET", "/machines?Profiles=Eq(shared)&aggregate=true&sort=Name&slim=Meta", "")
			send(c, "HEAD", "/profiles?Name=Re(own)", "")
			send(c, "GET", "/info", "")
		},
		"long polls": func(_ int, c *http.Client) {
			send(c, "GET", "/profiles/shared", "", "If-None-Match", `"never"`)
			if _, text := send(c, "HEAD", "/machines/"+machine.Key(), "", "If-None-Match", `"x"`, "Prefer", "wait=100"); text != "" {
				t.Errorf("HEAD has a body: %s", text)
			}
			rec, _ := s.store.next(id{"profiles", "shared"})
			send(c, "GET", "/profiles/shared", "", "If-None-Match", s.store.etag(rec), "Prefer", "wait=100")
		},
		"bad requests": func(n int, c *http.Client) {
			send(c, "PATCH", "/profiles/shared", badBodies[n%len(badBodies)])
			send(c, "POST", "/events", `{"Type":"note","Action":"say","Key":"hello"}`)
		},
		"sockets": func(n int, _ *http.Client) {
			conn, resp, err := s.dialer().DialContext(ctx, s.wsURL(), http.Header{"Authorization": {"Bearer " + token}})
			if err != nil {
				return // the server has stopped
			}
			defer resp.Body.Close()
			defer conn.Close()
			for _, spec := range []string{"*.*.*", "profiles.update.shared.Params.counter=Changed(,)", "nonsense"} {
				_ = conn.WriteMessage(websocket.TextMessage, []byte("register "+spec))
			}
			for i := 0; n%4 == 0 || i < 50; i++ { // the others leave in the middle
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
			}
		},
	}
	var clients sync.WaitGroup
	for _, act := range kinds {
		for range 3 {
			clients.Go(func() {
				client := insecure(t)
				for n := 0; ctx.Err() == nil; n++ {
					act(n, client)
				}
			})
		}
	}
	<-enough
	stop() // returns only when every request and session has ended
	cancel()
	clients.Wait()
	if n, waiting := s.openSockets(), s.Counts().Waiting; n != 0 || waiting != 0 {
		t.Errorf("%d sockets and %d long polls are left", n, waiting)
	}
	rec, _ := s.store.next(id{"profiles", "shared"})
	var counter int64
	if err := json.Unmarshal(rawjson.Lookup(rec.params, "counter"), &counter); err != nil {
		t.Fatal(err)
	}
	if counter < won.Load() || counter > won.Load()+unknown.Load() {
		t.Errorf("the counter is %d after %d writes and %d of unknown outcome", counter, won.Load(), unknown.Load())
	}
}

package endpoint_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/rackn/jp"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// send is do for a request that may get no answer.
func (c caller) send(ctx context.Context, method, path, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", c.auth)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(got)}, err
}

// onBoth runs a test over HTTP/1.1 and HTTP/2, with the profile c1 in place.
func onBoth(t *testing.T, test func(t *testing.T, s *endpoint.Server, c caller)) {
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprintf("HTTP%d", version), func(t *testing.T) {
			s := start(t, "")
			c := asAdmin(t, s)
			if version == 1 {
				c.http.Transport.(*http.Transport).ForceAttemptHTTP2 = false
				c.http.Transport.(*http.Transport).TLSClientConfig.NextProtos = nil
			}
			resp, err := c.http.Get(s.URL())
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.ProtoMajor != version {
				t.Fatalf("the answer came by %s", resp.Proto)
			}
			plant(c)
			test(t, s, c)
		})
	}
}

func inject(t *testing.T, s *endpoint.Server, f endpoint.Fault) int {
	t.Helper()
	id, err := s.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// hits is what the only fault has hit.
func hits(t *testing.T, s *endpoint.Server) int {
	t.Helper()
	list := s.Faults()
	if len(list) != 1 {
		t.Fatalf("the faults are %+v", list)
	}
	return list[0].Hits
}

const casPatch = `[{"op":"test","path":"/Params/cas","value":0},{"op":"replace","path":"/Params/cas","value":1}]`

func cas(c caller) string {
	c.t.Helper()
	return c.must("GET", "/profiles/c1/params/cas", "").body
}

func TestRequestDroppedBeforeCommitChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, s *endpoint.Server, c caller) {
		inject(t, s, endpoint.Fault{Kind: endpoint.FaultDropBefore, Method: "PATCH", Path: "/profiles/c1", Times: 1})
		if got, err := c.send(t.Context(), "PATCH", "/profiles/c1", casPatch); err == nil {
			t.Errorf("there is an answer: %d %s", got.status, got.body)
		}
		if got := cas(c); got != "0" {
			t.Errorf("the value became %s", got)
		}
		c.must("PATCH", "/profiles/c1", casPatch)
		if got := hits(t, s); got != 1 {
			t.Errorf("%d hits, want 1", got)
		}
	})
}

func TestRequestDroppedAfterCommitHasChangedWhatItShould(t *testing.T) {
	onBoth(t, func(t *testing.T, s *endpoint.Server, c caller) {
		inject(t, s, endpoint.Fault{Kind: endpoint.FaultDropAfter, Method: "PATCH", Times: 1})
		if got, err := c.send(t.Context(), "PATCH", "/profiles/c1", casPatch); err == nil {
			t.Errorf("there is an answer: %d %s", got.status, got.body)
		}
		if got := cas(c); got != "1" {
			t.Errorf("the value stayed %s", got)
		}
	})
}

// DRP's client sends a PATCH again when it gets no answer.
func TestClientWhoseAnswerIsDroppedConflictsWithItself(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	client := admin(t, s)
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultDropAfter, Method: "PATCH", Path: "/profiles/*", Times: 1})
	patch, err := jp.NewPatch([]byte(casPatch))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Req().Patch(patch).UrlFor("profiles", "c1").Do(&models.Profile{}); status(err) != 409 {
		t.Errorf("the client says %v, want a conflict", err)
	}
	if got := cas(c); got != "1" {
		t.Errorf("the value is %s", got)
	}
}

func TestInjectedRefusalHasTheShapeOfDRPs(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultRefuse, Status: 503, Message: "Not now", Method: "GET,PATCH", Path: "/profiles/c1"})
	for _, method := range []string{"GET", "PATCH"} {
		got := c.do(method, "/profiles/c1", casPatch)
		if e := got.fault(t); got.status != 503 || e.Type != method || !slices.Equal(e.Messages, []string{"Not now"}) {
			t.Errorf("%s: %d %s", method, got.status, got.body)
		}
	}
	if _, err := admin(t, s).GetModel("profiles", "c1"); status(err) != 503 || !strings.Contains(err.Error(), "Not now") {
		t.Errorf("the client says %v", err)
	}
	s.ClearAll()
	if got := cas(c); got != "0" || len(s.Faults()) != 0 {
		t.Errorf("the value is %s, the faults %v", got, s.Faults())
	}
}

func TestDelayHoldsARequestBackThatLongAndNoOther(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	const delay = 50 * time.Millisecond
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultDelay, Delay: delay, Method: "PATCH"})
	began := time.Now()
	c.must("PATCH", "/profiles/c1", casPatch)
	if took := time.Since(began); took < delay {
		t.Errorf("it took %s", took)
	}
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultDelay, Delay: time.Hour, Path: "/machines"})
	if got := cas(c); got != "1" {
		t.Errorf("the value is %s", got)
	}
}

// What lingers in a network lands although nobody waits for it any more.
func TestDelayedRequestLandsAfterItsClientHasGone(t *testing.T) {
	onBoth(t, func(t *testing.T, s *endpoint.Server, c caller) {
		id := inject(t, s, endpoint.Fault{Kind: endpoint.FaultDelay, Delay: time.Hour, Method: "PATCH"})
		sent := make(chan struct{}) // with its body: the fault is hit before that has come
		ctx, cancel := context.WithCancel(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) },
		}))
		gone := make(chan error, 1)
		go func() {
			_, err := c.send(ctx, "PATCH", "/profiles/c1", casPatch)
			gone <- err
		}()
		<-sent
		waitFor(t, func() bool { return hits(t, s) == 1 })
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Fatalf("the client says %v", err)
		}
		if got := cas(c); got != "0" {
			t.Errorf("it was not held back: %s", got)
		}
		if err := s.Clear(id); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return cas(c) == "1" })
	})
}

func TestStalledAnswerStopsInTheMiddleUntilTheFaultIsCleared(t *testing.T) {
	onBoth(t, func(t *testing.T, s *endpoint.Server, c caller) {
		want := c.must("GET", "/profiles/c1", "")
		id := inject(t, s, endpoint.Fault{Kind: endpoint.FaultStall, Path: "/profiles/c1"})
		req, _ := http.NewRequestWithContext(t.Context(), "GET", c.url+"/profiles/c1", nil)
		req.Header.Set("Authorization", c.auth)
		before := s.Counts().Requests
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 || resp.ContentLength != int64(len(want.body)) || resp.Header.Get("ETag") != want.header.Get("ETag") {
			t.Errorf("status %d, length %d, header %v", resp.StatusCode, resp.ContentLength, resp.Header)
		}
		half := make([]byte, len(want.body)/2)
		if _, err := io.ReadFull(resp.Body, half); err != nil {
			t.Fatal(err)
		}
		if got := s.Counts().Requests; got != before {
			t.Error("the request is not held")
		}
		if err := s.Clear(id); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(resp.Body)
		if err != nil || string(half)+string(rest) != want.body {
			t.Errorf("got %s and then %s, %v; want %s", half, rest, err, want.body)
		}
	})
}

func TestAnswerWithoutABodyIsStalledWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, s *endpoint.Server, c caller) {
		id := inject(t, s, endpoint.Fault{Kind: endpoint.FaultStall, Method: "HEAD"})
		res := make(chan answer, 1)
		go func() { res <- c.do("HEAD", "/profiles/c1", "") }()
		waitFor(t, func() bool { return hits(t, s) == 1 })
		quiet(t, res)
		if err := s.Clear(id); err != nil {
			t.Fatal(err)
		}
		if got := <-res; got.status != 200 || got.header.Get("ETag") == "" {
			t.Errorf("got %d %v", got.status, got.header)
		}
	})
}

func TestStallEndsWithItsClient(t *testing.T) {
	onBoth(t, func(t *testing.T, s *endpoint.Server, c caller) {
		inject(t, s, endpoint.Fault{Kind: endpoint.FaultStall, Method: "PATCH"})
		before := s.Counts().Requests
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if got, err := c.send(ctx, "PATCH", "/profiles/c1", casPatch); err == nil {
				t.Errorf("there is a whole answer: %d", got.status)
			}
		}()
		waitFor(t, func() bool { return cas(c) == "1" }) // so the request is handled, and its answer is held
		cancel()
		<-ended
		waitFor(t, func() bool {
			counts := s.Counts()
			return counts.Requests == before+counts.ProfileReads+1
		})
	})
}

func TestEndOfTheServerEndsWhatFaultsHold(t *testing.T) {
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Logger: endpoint.Watch(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	c := asAdmin(t, s)
	plant(c)
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultStall, Method: "GET"})
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultDelay, Method: "PATCH", Delay: time.Hour})
	var asked sync.WaitGroup
	for _, method := range []string{"GET", "PATCH"} {
		asked.Go(func() {
			if got, err := c.send(t.Context(), method, "/profiles/c1", casPatch); err == nil {
				t.Errorf("%s has a whole answer: %d", method, got.status)
			}
		})
	}
	waitFor(t, func() bool { return s.Faults()[0].Hits == 1 && s.Faults()[1].Hits == 1 })
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	asked.Wait()
}

func TestFaultAppliesToWhomItNames(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/machines", `{"Name":"node-2","Profiles":["c1"]}`)
	c.must("POST", "/users", `{"Name":"eve"}`)
	machine, profile := tokens(t, s)
	askers := map[string]caller{"admin": c, "machine": machine, "profile": profile}
	eve, err := s.UserToken("eve", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	askers["eve"] = as(t, s, eve)
	basic := c
	basic.auth = "Basic ZXZlOndyb25n" // eve:wrong
	askers["basic"] = basic
	nobody := c
	nobody.auth = ""
	askers["nobody"] = nobody
	for principal, want := range map[string]string{
		"":                       "admin basic eve machine nobody profile",
		"user:" + "rocketskates": "admin",
		"user:eve":               "basic eve",
		"user:nobody":            "",
		"machine:node-1":         "machine profile",
		"machine:" + nodeID:      "machine profile",
		"machine:node-2":         "",
		"machine:node-3":         "",
		"profile:c1":             "profile",
		"profile:global":         "",
	} {
		inject(t, s, endpoint.Fault{Kind: endpoint.FaultRefuse, Status: 418, Principal: principal})
		var got []string
		for name, asker := range askers {
			if asker.do("GET", "/profiles/c1", "").status == 418 {
				got = append(got, name)
			}
		}
		s.ClearAll()
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q applies to %q, want %s", principal, got, want)
		}
	}
}

func TestFaultAppliesToTheMethodsAndPathsThatItNames(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	for _, f := range []struct {
		method, path string
		want         bool
	}{
		{"", "", true},
		{"get", "", true},
		{"PATCH, GET", "", true},
		{"HEAD", "", false},
		{"", "/profiles/c1/params/cluster/profile", true},
		{"", "/profiles/*", true},
		{"", "/profiles/*/params/*", true},
		{"", "*", true},
		{"", "/profiles/c1", false},
		{"", "/profiles/c1*x", false},
		{"", "/profiles/c.", false},
		{"", "/*/params", false},
		{"", "/machines/*", false},
	} {
		inject(t, s, endpoint.Fault{Kind: endpoint.FaultRefuse, Status: 418, Method: f.method, Path: f.path})
		got := c.do("GET", "/profiles/c1/params/cluster%2Fprofile", "").status == 418
		s.ClearAll()
		if got != f.want {
			t.Errorf("%q %q: applies is %v", f.method, f.path, got)
		}
	}
}

func TestFaultAppliesAsOftenAsItShould(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultRefuse, Status: 500, Times: 3})
	var refused atomic.Int64
	var asked sync.WaitGroup
	for range 20 {
		asked.Go(func() {
			if c.do("GET", "/info", "").status == 500 {
				refused.Add(1)
			}
		})
	}
	asked.Wait()
	if refused.Load() != 3 || hits(t, s) != 3 {
		t.Errorf("%d refused, %d hits, want 3", refused.Load(), hits(t, s))
	}
}

func TestOldestFaultDecidesAfterAllDelays(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultDelay, Delay: time.Millisecond})
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultRefuse, Status: 501, Times: 1})
	inject(t, s, endpoint.Fault{Kind: endpoint.FaultRefuse, Status: 502})
	got := []int{c.do("GET", "/info", "").status, c.do("GET", "/info", "").status}
	if !slices.Equal(got, []int{501, 502}) {
		t.Errorf("got %v", got)
	}
	var counts []int
	for _, f := range s.Faults() {
		counts = append(counts, f.Hits)
	}
	if !slices.Equal(counts, []int{2, 1, 1}) {
		t.Errorf("hits are %v", counts)
	}
}

func TestWrongFaultsAreRefusedAndSayWhy(t *testing.T) {
	s := start(t, "")
	for want, f := range map[string]endpoint.Fault{
		`kind: expected one of`:         {Kind: "explode"},
		`found ""`:                      {},
		`times: expected 0`:             {Kind: endpoint.FaultStall, Times: -1},
		`delay: expected more than 0`:   {Kind: endpoint.FaultDelay},
		`delay: expected none`:          {Kind: endpoint.FaultStall, Delay: 1},
		`status: expected 400 to 599`:   {Kind: endpoint.FaultRefuse, Status: 200},
		`status and message`:            {Kind: endpoint.FaultStall, Message: "x"},
		`path: expected one below`:      {Kind: endpoint.FaultStall, Path: "/api/v3/ws"},
		`found "profiles"`:              {Kind: endpoint.FaultStall, Path: "profiles"},
		`method: expected some of`:      {Kind: endpoint.FaultStall, Method: "FETCH"},
		`found "c1"`:                    {Kind: endpoint.FaultStall, Principal: "c1"},
		`principal: expected user:NAME`: {Kind: endpoint.FaultStall, Principal: "user:"},
	} {
		if _, err := s.Inject(f); !errors.Is(err, endpoint.ErrFault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", f, err, want)
		}
	}
	if len(s.Faults()) != 0 {
		t.Errorf("there are faults: %v", s.Faults())
	}
	if err := s.Clear(1); !errors.Is(err, endpoint.ErrFault) {
		t.Errorf("a fault that is not there was cleared: %v", err)
	}
	for _, who := range []string{"user:none", "machine:none", "profile:none", "none"} {
		if err := s.ExpireTokens(who); !errors.Is(err, endpoint.ErrFault) {
			t.Errorf("tokens of %s expire: %v", who, err)
		}
	}
	if err := s.Restart(t.Context(), -1); !errors.Is(err, endpoint.ErrFault) {
		t.Errorf("a restart takes less than no time: %v", err)
	}
}

func TestFaultsComeAndGoWhileRequestsRun(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	ctx, cancel := context.WithCancel(t.Context())
	var asked sync.WaitGroup
	for range 4 {
		asked.Go(func() {
			for ctx.Err() == nil {
				_, _ = c.send(ctx, "PATCH", "/profiles/c1", "[]") // whatever becomes of it
			}
		})
	}
	for range 20 {
		for _, f := range []endpoint.Fault{
			{Kind: endpoint.FaultDelay, Delay: time.Microsecond}, {Kind: endpoint.FaultDropAfter, Times: 1},
			{Kind: endpoint.FaultDropBefore, Principal: "machine:node-1"}, {Kind: endpoint.FaultStall},
		} {
			id := inject(t, s, f)
			if err := s.ExpireTokens("profile:c1"); err != nil {
				t.Fatal(err)
			}
			if err := s.Clear(id); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	asked.Wait()
	if got := cas(c); got != "0" {
		t.Errorf("the value is %s", got)
	}
}

func TestExpiredTokensAreRefusedAndLaterOnesAreGood(t *testing.T) {
	for who, want := range map[string]string{
		"":                  "admin machine profile",
		"user:rocketskates": "admin",
		"machine:node-1":    "machine profile",
		"machine:" + nodeID: "machine profile",
		"profile:c1":        "profile",
		"profile:global":    "",
		"machine:11111111-2222-4333-8444-000000000000": "",
	} {
		s := start(t, "")
		c := asAdmin(t, s)
		plant(c)
		all := func() map[string]caller {
			machine, profile := tokens(t, s)
			return map[string]caller{"admin": asAdmin(t, s), "machine": machine, "profile": profile}
		}
		old := all()
		if err := s.ExpireTokens(who); err != nil {
			t.Fatal(err)
		}
		var got []string
		for name, asker := range old {
			a := asker.do("GET", "/params", "")
			if a.status == 200 {
				continue
			}
			got = append(got, name)
			if e := a.fault(t); e.Code != 403 || e.Model != "system" || e.Messages[0] != "Invalid Token" {
				t.Errorf("%q: %s gets %s", who, name, a.body)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q: expired are %q, want %s", who, got, want)
		}
		for name, asker := range all() {
			asker.must("GET", "/params", "")
			_ = name
		}
		basic := c
		basic.auth = "Basic cm9ja2V0c2thdGVzOnIwY2tldHNrOHRz"
		basic.must("GET", "/params", "")
	}
}

func TestRestartCutsEverythingAndKeepsWhatIsStored(t *testing.T) {
	onBoth(t, func(t *testing.T, s *endpoint.Server, c caller) {
		etag := c.must("GET", "/profiles/c1", "").header.Get("ETag")
		cut := make(chan error, 2)
		go func() {
			req, _ := http.NewRequestWithContext(t.Context(), "HEAD", c.url+"/profiles/c1", nil)
			req.Header = http.Header{"Authorization": {c.auth}, "If-None-Match": {etag}, "Prefer": {"wait=600"}}
			other := &http.Client{Transport: c.http.Transport.(*http.Transport).Clone()} // which sends nothing again: its connection is new
			defer other.CloseIdleConnections()
			resp, err := other.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			cut <- err
		}()
		waitFor(t, func() bool { return s.Counts().Waiting == 1 })
		stalled := inject(t, s, endpoint.Fault{Kind: endpoint.FaultStall, Path: "/info", Times: 1})
		go func() {
			_, err := c.send(t.Context(), "GET", "/info", "")
			cut <- err
		}()
		waitFor(t, func() bool { return hits(t, s) == 1 })
		idle, err := tls.Dial("tcp", strings.TrimPrefix(s.URL(), "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer idle.Close()
		if err := s.Restart(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-cut; err == nil {
				t.Error("a request got an answer")
			}
		}
		if _, err := idle.Read(make([]byte, 1)); err == nil {
			t.Error("a connection lives on")
		}
		if got := c.must("GET", "/profiles/c1", ""); got.header.Get("ETag") != etag {
			t.Errorf("the ETag became %s", got.header.Get("ETag"))
		}
		if err := s.Clear(stalled); err != nil {
			t.Error(err)
		}
		if err := s.Restart(t.Context(), 0); err != nil { // and again
			t.Error(err)
		}
		c.http.CloseIdleConnections()
		c.must("PATCH", "/profiles/c1", casPatch)
	})
}

func TestAddressIsRefusedWhileTheEndpointIsDown(t *testing.T) {
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Logger: endpoint.Watch(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	restarted := make(chan error, 1)
	go func() { restarted <- s.Restart(context.Background(), time.Hour) }()
	refused := func() bool {
		resp, err := http.Get(s.URL())
		if err == nil {
			resp.Body.Close()
		}
		return err != nil && strings.Contains(err.Error(), "connection refused")
	}
	waitFor(t, refused)
	select {
	case err := <-restarted:
		t.Errorf("it is up again: %v", err)
	default:
	}
	cancel() // which also ends the outage
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := <-restarted; err == nil {
		t.Error("the restart of an endpoint that has ended succeeded")
	}
	if err := s.Restart(t.Context(), 0); err == nil {
		t.Error("an endpoint that has ended was restarted")
	}
}

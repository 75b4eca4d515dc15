package endpoint_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// poll starts a long poll and returns where its answer will be.
func poll(c caller, method, path, etag, wait string) <-chan answer {
	res := make(chan answer, 1)
	go func() { res <- c.do(method, path, "", "If-None-Match", etag, "Prefer", "wait="+wait) }()
	return res
}

// quiet fails the test if a long poll has been answered.
func quiet(t *testing.T, res <-chan answer) {
	t.Helper()
	select {
	case got := <-res:
		t.Fatalf("answered too early: %d %s", got.status, got.body)
	default:
	}
}

func TestETagChangesWithEveryWrite(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plant(c)
	seen := map[string]bool{}
	for range 3 {
		got := c.must("PATCH", "/profiles/c1", `[{"op":"replace","path":"/Params/cas","value":0}]`)
		etag := got.header.Get("ETag")
		if len(etag) < 3 || etag[0] != '"' || seen[etag] {
			t.Errorf("ETag is %s after %v", etag, seen)
		}
		seen[etag] = true
		for _, method := range []string{"GET", "HEAD"} {
			if again := c.do(method, "/profiles/c1", "").header.Get("ETag"); again != etag {
				t.Errorf("%s has ETag %s, the patch had %s", method, again, etag)
			}
		}
	}
}

func TestLongPollEndsAtTheChange(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		t.Run(method, func(t *testing.T) {
			s := start(t, "")
			c := asAdmin(t, s)
			plant(c)
			etag := c.do("HEAD", "/profiles/c1", "").header.Get("ETag")
			res := poll(c, method, "/profiles/c1", etag, "10m")
			waitFor(t, func() bool { return s.Counts().Waiting == 1 })
			c.must("PATCH", "/machines/"+nodeID, `[{"op":"replace","path":"/Description","value":"x"}]`)
			quiet(t, res)
			want := c.must("PATCH", "/profiles/c1", `[{"op":"replace","path":"/Params/cas","value":1}]`)
			got := <-res
			if got.status != 200 || got.header.Get("ETag") != want.header.Get("ETag") {
				t.Errorf("woke with %d and ETag %s, want %s", got.status, got.header.Get("ETag"), want.header.Get("ETag"))
			}
			if body := map[string]string{"GET": want.body}[method]; got.body != body {
				t.Errorf("woke with %s", got.body)
			}
			if got := c.do(method, "/profiles/c1", "", "If-None-Match", etag, "Prefer", "wait=600"); got.status != 200 {
				t.Errorf("a stale ETag waits: %d", got.status)
			}
		})
	}
}

func TestLongPollTimesOut(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plant(c)
	etag := c.do("HEAD", "/profiles/c1", "").header.Get("ETag")
	for wait, want := range map[string]int{"1ms": 304, "0": 304, "0s": 304, "x": 400, "-1": 400} {
		got := c.do("GET", "/profiles/c1", "", "If-None-Match", etag, "Prefer", "respond-async, wait="+wait)
		if got.status != want || want == 304 && (got.body != "" || got.header.Get("ETag") != etag) {
			t.Errorf("wait=%s: %d %q", wait, got.status, got.body)
		}
	}
	if got := c.do("GET", "/profiles/c1", "", "If-None-Match", etag); got.status != 304 {
		t.Errorf("no wait: %d", got.status)
	}
	if got := c.do("GET", "/profiles/c1", "", "Prefer", "wait=600"); got.status != 200 {
		t.Errorf("no ETag: %d", got.status)
	}
}

func TestLongPollEndsWhenTheObjectIsDeleted(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	c.must("POST", "/profiles", `{"Name":"c1"}`)
	etag := c.do("HEAD", "/profiles/c1", "").header.Get("ETag")
	res := poll(c, "GET", "/profiles/c1", etag, "600")
	waitFor(t, func() bool { return s.Counts().Waiting == 1 })
	c.must("DELETE", "/profiles/c1", "")
	if got := <-res; got.status != 404 {
		t.Errorf("answer is %d %s", got.status, got.body)
	}
}

func TestLongPollNeedsGet(t *testing.T) {
	s := start(t, "")
	plant(asAdmin(t, s))
	machine, _ := tokens(t, s)
	if got := machine.do("HEAD", "/profiles/c1", "", "If-None-Match", `"x"`, "Prefer", "wait=600"); got.status != 404 {
		t.Errorf("answer is %d", got.status)
	}
}

func TestManyWaitersWakeTogether(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	etag := c.do("HEAD", "/profiles/c1", "").header.Get("ETag")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if got := <-poll(c, "HEAD", "/profiles/c1", etag, "600"); got.status != 200 {
				t.Errorf("answer is %d", got.status)
			}
		})
	}
	waitFor(t, func() bool { return s.Counts().Waiting == 100 })
	c.must("POST", "/profiles/c1/params/cas", `1`)
	wg.Wait()
}

func TestServeEndsLongPolls(t *testing.T) {
	s, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	c := asAdmin(t, s)
	plant(c)
	etag := c.do("HEAD", "/profiles/c1", "").header.Get("ETag")
	res := poll(c, "GET", "/profiles/c1", etag, "600")
	waitFor(t, func() bool { return s.Counts().Waiting == 1 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if got := <-res; got.status != http.StatusServiceUnavailable {
		t.Errorf("answer is %d", got.status)
	}
}

func TestClientWaits(t *testing.T) {
	s := start(t, "")
	plant(asAdmin(t, s))
	c := admin(t, s)
	p := &models.Profile{}
	first := c.Req().Context(t.Context()).UrlFor("profiles", "c1")
	if err := first.Do(p); err != nil {
		t.Fatal(err)
	}
	same := c.Req().Context(t.Context()).Wait(first.GetETag(), "1").UrlFor("profiles", "c1")
	start := time.Now()
	if err := same.Do(p); err != nil || same.Resp.StatusCode != http.StatusNotModified {
		t.Errorf("answer is %v, %v", same.Resp, err)
	}
	if waited := time.Since(start); waited < time.Second {
		t.Errorf("answered after %v", waited)
	}
}

func TestConditionsHaveListsAndStars(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plant(c)
	tag := c.must("GET", "/profiles/c1", "").header.Get("ETag")
	for _, match := range []string{tag, `"x", ` + tag, tag + `,"x"`, "*", "W/" + tag} {
		got := c.do("GET", "/profiles/c1", "", "If-None-Match", match, "Prefer", `respond-async, Wait = "0"; x=y`)
		if got.status != 304 || got.header.Get("ETag") != tag {
			t.Errorf("If-None-Match %s: %d with ETag %s", match, got.status, got.header.Get("ETag"))
		}
	}
	if got := c.do("GET", "/profiles/c1", "", "If-None-Match", `"x", "y"`, "Prefer", "wait=60"); got.status != 200 {
		t.Errorf("another tag: %d", got.status)
	}
}

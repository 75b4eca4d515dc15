package drp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/profile"
	"muster/profile/drp"
)

// answer is a handler that serves profile c1 as an endpoint does.
func answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", `"1"`)
	_, _ = io.WriteString(w, `{"Name":"c1","Params":{"test/count":1}}`)
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	for name, headers := range map[string]bool{"before its answer": false, "within its answer": true} {
		for _, h2 := range []bool{true, false} {
			patches := make(chan struct{}, 1)
			s := listen(t, h2, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.Method == http.MethodPatch {
					patches <- struct{}{}
				}
				if headers {
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, `{"Name":`)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
				panic(http.ErrAbortHandler) // no answer that crosses the giving up
			})
			bounded := client(t, drp.Config{Endpoint: s.URL, CA: s.pem(), Timeout: 200 * time.Millisecond}).Profile("c1", nil)
			if _, err := bounded.Read(t.Context()); !errors.Is(err, profile.ErrUnavailable) || !strings.Contains(err.Error(), "200ms") {
				t.Errorf("%s, HTTP/2 %v: Read: %v, want %v that says the bound", name, h2, err, profile.ErrUnavailable)
			}
			patient := client(t, drp.Config{Endpoint: s.URL, CA: s.pem(), Timeout: time.Hour}).Profile("c1", nil)
			if _, err := (impatient{patient, patches}).Apply(t.Context(), change()); !errors.Is(err, profile.ErrUnknownOutcome) {
				t.Errorf("%s, HTTP/2 %v: Apply: %v, want %v", name, h2, err, profile.ErrUnknownOutcome)
			}
			stop := errors.New("stopped by the test")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, stop)
			defer cancel()
			if _, err := patient.Read(ctx); !errors.Is(err, profile.ErrUnavailable) || !errors.Is(err, stop) {
				t.Errorf("%s, HTTP/2 %v: Read: %v, want %v caused by %v", name, h2, err, profile.ErrUnavailable, stop)
			}
		}
	}
}

func TestAPatchIsSentOnceWhateverHappensToItsAnswer(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		for _, reused := range []bool{true, false} {
			s := listen(t, h2, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.Method == http.MethodPatch {
					panic(http.ErrAbortHandler)
				}
				answer(w, r)
			})
			store := s.client(t).Profile("c1", nil)
			if reused {
				if _, err := store.Read(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := store.Apply(t.Context(), change()); !errors.Is(err, profile.ErrUnknownOutcome) {
				t.Errorf("Apply: %v, want %v", err, profile.ErrUnknownOutcome)
			}
			if n, _ := s.count(http.MethodPatch); n != 1 {
				t.Errorf("HTTP/2 %v, connection reused %v: the patch arrived %d times, want once", h2, reused, n)
			}
		}
	}
}

// hanging is a handler whose long polls hang until the test ends.
func hanging(t *testing.T) (handle http.HandlerFunc, polls <-chan struct{}) {
	begun, end := make(chan struct{}, 16), make(chan struct{})
	t.Cleanup(func() { close(end) })
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Prefer") != "" {
			begun <- struct{}{}
			select {
			case <-end:
			case <-r.Context().Done():
			}
		}
		answer(w, r)
	}, begun
}

// poll begins two long polls, of profile and machine, and returns when the
// server has both. They end with the test.
func poll(t *testing.T, c *drp.Client, polls <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	t.Cleanup(func() { cancel(); done.Wait() })
	done.Go(func() { _, _ = c.Profile("c1", nil).Changed(ctx, `"1"`, time.Hour) })
	<-polls
	done.Go(func() { _, _ = c.Machine(machineUUID, nil).Changed(ctx, `"1"`, time.Hour) })
	<-polls
}

// crowd makes many requests at once.
func crowd(t *testing.T, s *drp.Store) {
	t.Helper()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := s.Apply(t.Context(), change()); err != nil {
				t.Errorf("Apply: %v", err)
			}
			if _, err := s.Read(t.Context()); err != nil {
				t.Errorf("Read: %v", err)
			}
		})
	}
	all.Wait()
}

func TestOverHTTP2EverythingSharesOneConnection(t *testing.T) {
	handle, polls := hanging(t)
	s := listen(t, true, handle)
	c := s.client(t)
	poll(t, c, polls)
	crowd(t, c.Profile("c1", nil))
	if _, conns := s.count(http.MethodGet); conns != 1 {
		t.Errorf("%d connections, want 1", conns)
	}
}

func TestOverHTTP1WritesPassTwoLongPollsOnAThirdConnection(t *testing.T) {
	handle, polls := hanging(t)
	s := listen(t, false, handle)
	c := s.client(t)
	poll(t, c, polls)
	crowd(t, c.Profile("c1", nil))
	if _, conns := s.count(http.MethodGet); conns > 3 {
		t.Errorf("%d connections, want 3 at most", conns)
	}
}

func TestALongPollAsksInWholeSeconds(t *testing.T) {
	for wait, want := range map[time.Duration]string{time.Millisecond: "wait=1", 2 * time.Second: "wait=2", 90500 * time.Millisecond: "wait=91"} {
		var got string
		s := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Prefer") + " " + r.Header.Get("If-None-Match")
			w.WriteHeader(http.StatusNotModified)
		})
		version, err := s.client(t).Profile("c1", nil).Changed(t.Context(), `"7"`, wait)
		if version != `"7"` || err != nil {
			t.Errorf("Changed = %q, %v, want since after a 304", version, err)
		}
		s.Close() // after which nothing writes got
		if got != want+` "7"` {
			t.Errorf("a wait of %v asks for %q, want %q", wait, got, want+` "7"`)
		}
	}
}

func TestNamesAreEscapedInURLs(t *testing.T) {
	var mu sync.Mutex
	var paths []string
	s := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.RequestURI)
		answer(w, r)
	})
	for name, want := range map[string]string{
		"two words": "/api/v3/profiles/two%20words", "größe": "/api/v3/profiles/gr%C3%B6%C3%9Fe",
		"a/b?c#d%": "/api/v3/profiles/a%2Fb%3Fc%23d%25",
	} {
		_, _ = s.client(t).Profile(name, nil).Read(t.Context()) // the answer is about another profile
		mu.Lock()
		if got := paths[len(paths)-1]; got != want {
			t.Errorf("profile %q is asked for at %s, want %s", name, got, want)
		}
		mu.Unlock()
	}
	for _, name := range []string{"", ".", ".."} {
		if _, err := s.client(t).Profile(name, nil).Read(t.Context()); !errors.Is(err, profile.ErrInvalid) {
			t.Errorf("profile %q: %v, want %v", name, err, profile.ErrInvalid)
		}
	}
}

func TestAnEndpointThatWantsNoRequestsGetsNone(t *testing.T) {
	s := listen(t, true, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	store := s.client(t).Profile("c1", nil)
	if _, err := store.Read(t.Context()); !errors.Is(err, profile.ErrUnavailable) {
		t.Errorf("Read: %v, want %v", err, profile.ErrUnavailable)
	}
	for name, err := range calls(t, store) {
		if !errors.Is(err, profile.ErrUnavailable) || !strings.Contains(err.Error(), "wants no requests for another") {
			t.Errorf("%s: %v, want %v and for how long", name, err, profile.ErrUnavailable)
		}
	}
	if gets, _ := s.count("GET"); gets != 1 {
		t.Errorf("%d GET requests were sent, want the first", gets)
	}
	if patches, _ := s.count("PATCH"); patches != 0 {
		t.Errorf("%d PATCH requests were sent", patches)
	}
}

// A HEAD tells how long the body of a GET would be: room for it, of a large profile
// at every hint, would cost more than the hint.
func TestAHintOfALargeProfileMakesNoRoomForIt(t *testing.T) {
	const size = 64 << 20
	for _, h2 := range []bool{true, false} {
		s := listen(t, h2, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			w.Header().Set("ETag", `"1"`)
		})
		store := s.client(t).Profile("c1", nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		version, err := store.Changed(t.Context(), "", 0)
		runtime.ReadMemStats(&after)
		if version != `"1"` || err != nil {
			t.Fatalf("Changed: %q, %v", version, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n >= size {
			t.Errorf("HTTP/2 %v: a hint took %d bytes of memory, the profile has %d", h2, n, size)
		}
	}
}

package drp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"muster/profile"
	"muster/profile/drp"
)

// change returns one that sets something.
func change() *profile.Change {
	c := &profile.Change{}
	c.Set(profile.At("test/count"), 1)
	return c
}

// calls makes every kind of request of a profile, and returns the errors.
func calls(t *testing.T, s *drp.Store) map[string]error {
	t.Helper()
	_, read := s.Read(t.Context())
	_, params := s.ReadParams(t.Context(), "test/count")
	_, apply := s.Apply(t.Context(), change())
	_, changed := s.Changed(t.Context(), "", time.Minute)
	return map[string]error{"Read": read, "ReadParams": params, "Apply": apply, "Changed": changed}
}

func TestAnswersBecomeTheErrorsOfTheContract(t *testing.T) {
	const jsonType, html = "application/json; charset=utf-8", "text/html"
	failure := func(status int) string {
		return fmt.Sprintf(`{"Model":"profiles","Key":"c1","Type":"PATCH","Messages":["line one","line two"],"Code":%d}`, status)
	}
	for _, test := range []struct {
		name        string
		status      int
		kind, body  string
		read, write error
		head        bool // holds for HEAD too, whose answers have no body
	}{
		{"no credentials", 401, "", "", profile.ErrRefused, profile.ErrRefused, true},
		{"refused", 403, jsonType, failure(403), profile.ErrRefused, profile.ErrRefused, true},
		{"absent", 404, jsonType, failure(404), profile.ErrNotFound, profile.ErrNotFound, true},
		{"no DRP at all", 404, html, "<html>", profile.ErrUnavailable, profile.ErrUnavailable, true},
		{"guard failed", 409, jsonType, failure(409), profile.ErrConflict, profile.ErrConflict, true},
		{"bad request", 400, jsonType, failure(400), profile.ErrInvalid, profile.ErrInvalid, true},
		{"schema", 422, jsonType, failure(422), profile.ErrInvalid, profile.ErrInvalid, true},
		{"too many", 429, jsonType, failure(429), profile.ErrUnavailable, profile.ErrUnavailable, true},
		{"too many, from a proxy", 429, html, "<html>", profile.ErrUnavailable, profile.ErrUnavailable, true},
		{"internal", 500, jsonType, failure(500), profile.ErrUnavailable, profile.ErrUnknownOutcome, true},
		{"gateway", 502, html, "<html>", profile.ErrUnavailable, profile.ErrUnknownOutcome, true},
		{"stopping", 503, jsonType, failure(503), profile.ErrUnavailable, profile.ErrUnknownOutcome, true},
		{"a web page", 200, html, "<html>", profile.ErrUnavailable, profile.ErrUnknownOutcome, true},
		{"a redirect", 302, "", "", profile.ErrUnavailable, profile.ErrUnknownOutcome, true},
		{"truncated JSON", 200, jsonType, `{"Name":"c1","Par`, profile.ErrUnavailable, profile.ErrUnknownOutcome, false},
		{"another shape", 200, jsonType, `["c1"]`, profile.ErrUnavailable, profile.ErrUnknownOutcome, false},
		{"nothing", 200, jsonType, ``, profile.ErrUnavailable, profile.ErrUnknownOutcome, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := listen(t, true, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				if test.kind != "" {
					w.Header().Set("Content-Type", test.kind)
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			})
			for name, err := range calls(t, s.client(t).Profile("c1", nil)) {
				want := test.read
				if name == "Apply" {
					want = test.write
				}
				if name == "Changed" && !test.head {
					want = nil
				}
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
				if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "line two")) {
					t.Errorf("%s: %q, want one line", name, err)
				}
			}
		})
	}
}

func TestAnAnswerAboutAnotherProfileIsNotTaken(t *testing.T) {
	s := listen(t, true, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"Name":"c2","Params":{}}`))
	})
	errs := calls(t, s.client(t).Profile("c1", nil))
	if !errors.Is(errs["Read"], profile.ErrUnavailable) || !errors.Is(errs["Apply"], profile.ErrUnknownOutcome) {
		t.Errorf("Read: %v, Apply: %v", errs["Read"], errs["Apply"])
	}
}

func TestAnAnswerThatBreaksOffIsNoAnswer(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		s := listen(t, h2, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"Name":"c1"`))
			panic(http.ErrAbortHandler)
		})
		errs := calls(t, s.client(t).Profile("c1", nil))
		if !errors.Is(errs["Read"], profile.ErrUnavailable) || !errors.Is(errs["Apply"], profile.ErrUnknownOutcome) {
			t.Errorf("HTTP/2 %v: Read: %v, Apply: %v", h2, errs["Read"], errs["Apply"])
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := listen(t, true, func(http.ResponseWriter, *http.Request) {})
	for _, status := range []int{301, 303, 307, 308} {
		s := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		})
		for name, err := range calls(t, s.client(t).Profile("c1", drp.Token("t0ken"))) {
			if err == nil {
				t.Errorf("%s took a redirect (%d) for an answer", name, status)
			}
		}
	}
	for _, method := range []string{"GET", "HEAD", "PATCH"} {
		if n, _ := elsewhere.count(method); n != 0 {
			t.Errorf("%d %s requests were sent to where the redirect points", n, method)
		}
	}
}

func TestNoErrorRepeatsACredential(t *testing.T) {
	const password = "pass-phrase"
	for _, secret := range []string{"s3cret", strings.Repeat("aZ0_-", 60), "eyJh.eyJi.c2ln"} {
		for _, status := range []int{200, 302, 400, 403, 404, 409, 422, 500} {
			s := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
				_, echo, _ := strings.Cut(r.Header.Get("Authorization"), " ")
				if _, p, ok := r.BasicAuth(); ok {
					echo += " " + p
				}
				kind := "application/json"
				if r.URL.Path == "/api/v3/profiles/html" {
					kind = "text/" + strings.ReplaceAll(echo, " ", "-")
				}
				w.Header().Set("Content-Type", kind)
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]any{
					"Name": echo, "Messages": []string{"Invalid Token :" + echo, echo}, "Code": status,
				})
			})
			c := s.client(t)
			for _, auth := range []drp.Auth{drp.Token(secret), drp.Basic("user", password)} {
				for _, name := range []string{"c1", "html"} {
					for call, err := range calls(t, c.Profile(name, auth)) {
						if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), secret)) {
							t.Errorf("%s, status %d: the error repeats a secret: %v", call, status, err)
						}
					}
				}
			}
		}
	}
}

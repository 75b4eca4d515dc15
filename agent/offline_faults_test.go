package agent

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/profile"
)

// mishap is one row of the offline table: what befalls the way to the endpoint.
type mishap struct {
	name  string
	extra time.Duration // that it takes to notice the end of it
	heals bool          // by itself: only the connections of before are lost
	reads bool          // reading works
	err   error         // of a command that gives up meanwhile
	falls func(*way)
}

// retryAfter is for how long an endpoint that has too many requests wants to be
// left alone, and noticed within what time a connection is found to be dead.
const (
	retryAfter = 10 * time.Second
	noticed    = 15 * time.Second
)

// requestMost is the time-out of a request.
const requestMost = 10 * time.Second

var mishaps = []mishap{
	{name: "no answer", err: profile.ErrUnknownOutcome, extra: requestMost, falls: answers(func(w *way, rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch { // the worst case: it is carried out all the same
			w.site.server.ServeHTTP(unheard{http.Header{}}, r)
		}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})},
	{name: "401", err: profile.ErrRefused, falls: refuses(http.StatusUnauthorized)},
	{name: "403", err: profile.ErrRefused, falls: refuses(http.StatusForbidden)},
	{name: "404", err: profile.ErrNotFound, falls: refuses(http.StatusNotFound)},
	{name: "409 on every patch", err: profile.ErrConflict, reads: true, falls: answers(func(w *way, rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			refuse(rw, http.StatusConflict)
			return
		}
		w.site.server.ServeHTTP(rw, r)
	})},
	{name: "429, Retry-After: 10", err: profile.ErrUnavailable, extra: retryAfter, falls: answers(func(_ *way, rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
		refuse(rw, http.StatusTooManyRequests)
	})},
	{name: "500 to 504", err: profile.ErrUnknownOutcome, falls: answers(func(w *way, rw http.ResponseWriter, r *http.Request) {
		n := int(w.requests.Load())
		if r.Method == http.MethodPatch && n%2 == 0 { // carried out all the same
			w.site.server.ServeHTTP(unheard{http.Header{}}, r)
		}
		refuse(rw, http.StatusInternalServerError+n%5)
	})},
	{name: "a proxy's web page", err: profile.ErrUnknownOutcome, falls: answers(func(_ *way, rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		io.WriteString(rw, "<html>Log in</html>")
	})},
	{name: "another certificate", err: profile.ErrUnavailable, falls: func(w *way) {
		w.foreign.Store(true)
		w.cut()
	}},
	{name: "half-open connection", extra: noticed, heals: true, falls: (*way).silence},
}

// answers is a mishap with answers.
func answers(answer func(*way, http.ResponseWriter, *http.Request)) func(*way) {
	return func(w *way) {
		h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { answer(w, rw, r) })
		w.answer.Store(&h)
	}
}

func refuses(status int) func(*way) {
	return answers(func(_ *way, rw http.ResponseWriter, _ *http.Request) { refuse(rw, status) })
}

// refuse answers as DRP does.
func refuse(rw http.ResponseWriter, status int) {
	raw, err := json.Marshal(models.NewError("", status, "a mishap"))
	if err != nil {
		panic(err)
	}
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(status)
	rw.Write(raw)
}

// heal ends every mishap but those that heal by themselves. Requests that are
// under way stay without an answer.
func (w *way) heal() {
	w.answer.Store(nil)
	w.foreign.Store(false)
}

// unheard is an answer that nobody gets.
type unheard struct{ header http.Header }

func (u unheard) Header() http.Header       { return u.header }
func (unheard) WriteHeader(int)             {}
func (unheard) Write(b []byte) (int, error) { return len(b), nil }

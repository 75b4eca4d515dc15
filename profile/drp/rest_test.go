package drp

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheRestThatIsAskedForIsKeptWithinBounds(t *testing.T) {
	for _, row := range []struct {
		status int
		asked  string
		want   time.Duration
	}{
		{429, "7", 7 * time.Second},
		{503, "7", 7 * time.Second},
		{429, "3600", restMost},
		{429, "Sat, 01 Jan 2000 10:00:09 GMT", 9 * time.Second}, // by the clock of who answers
		{429, "Sat, 01 Jan 2000 09:00:00 GMT", 0},
		{429, "", 0},
		{429, "-7", 0},
		{429, "soon", 0},
		{500, "7", 0},
		{200, "7", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var r rest
			h := http.Header{}
			h.Set("Date", "Sat, 01 Jan 2000 10:00:00 GMT")
			h.Set("Retry-After", row.asked)
			r.heed(&http.Response{StatusCode: row.status, Header: h})
			if got := r.left(); got != row.want {
				t.Errorf("%d with Retry-After %q: rests for %v, want %v", row.status, row.asked, got, row.want)
			}
			time.Sleep(row.want)
			if got := r.left(); got > 0 {
				t.Errorf("%d with Retry-After %q: rests for another %v", row.status, row.asked, got)
			}
		})
	}
}

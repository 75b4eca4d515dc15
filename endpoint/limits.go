package endpoint

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// Bounds of what clients send, so that no request can stop the server, or hold up
// others for long.
const (
	maxBody     = 8 << 20     // bytes of a request's body
	maxObject   = 2 * maxBody // bytes of an object; patches can make it grow
	maxTasks    = 10000       // entries of a machine's task list, prerequisites included
	maxProfiles = 1000        // of one object
	maxHeader   = 64 << 10    // bytes of a request's header
)

// requestTimes are the time limits of clients that are slow to ask.
type requestTimes struct {
	header time.Duration // for the TLS handshake, and for a header to arrive
	body   time.Duration // for a body to arrive
	idle   time.Duration // between two requests
}

var defaultRequestTimes = requestTimes{header: 10 * time.Second, body: readTime, idle: 2 * time.Minute}

// readAll reads a body, within the time that ServeHTTP has given it.
func readAll(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		return nil, unreadable(err)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, nil
}

// unreadable is the error of a body that could not be read.
func unreadable(err error) *models.Error {
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return models.NewError("", http.StatusRequestEntityTooLarge, fmt.Sprintf("The body has more than %d bytes", e.Limit))
	}
	return badRequest("Cannot read the body: " + err.Error())
}

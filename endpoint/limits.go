package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// Bounds of what clients send, so that no request can stop the server, or hold up
// others for long.
const (
	maxBody   = 8 << 20     // bytes of a request's body
	maxObject = 2 * maxBody // bytes of an object; patches can make it grow
	maxHeader = 64 << 10    // bytes of a request's header
)

// requestTimes are the time limits of clients that are slow to ask.
type requestTimes struct {
	header time.Duration // for the TLS handshake, and for a header to arrive
	body   time.Duration // for a body to arrive
	idle   time.Duration // between two requests
}

var defaultRequestTimes = requestTimes{header: 10 * time.Second, body: readTime, idle: 2 * time.Minute}

// misfit words an error of decoding JSON without the value that did not fit.
func misfit(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		found, _, _ := strings.Cut(e.Value, " ") // "number 12"
		return fmt.Errorf("field %s: expected %s, found %s", e.Field, e.Type, found)
	}
	return errors.New("a field is malformed")
}

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

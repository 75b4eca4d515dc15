package endpoint

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
)

const (
	readTime  = 30 * time.Second // for a body, or the next part of a big one, to arrive
	writeTime = 60 * time.Second // for an answer to leave
)

// writeJSON sends v with a status. HEAD requests get the headers only.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	raw, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(v); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(raw))) // so that clients can make room for it
	writeHeader(w, status)
	_, _ = w.Write(raw) // the client is gone: nobody is left to be told
	return nil
}

// writeHeader sends an answer's header; DRP's client needs the content type on
// every answer, those without a body included.
func writeHeader(w http.ResponseWriter, status int) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
}

// writeError sends err in DRP's shape. An error that is no *models.Error is a
// fault of this server and reported as 500.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*models.Error](err)
	if !ok {
		e = &models.Error{Code: http.StatusInternalServerError, Messages: []string{"Internal error"}}
	}
	shown := *e
	if shown.Type == "" && shown.Model != "system" && shown.Model != "users" {
		shown.Type = r.Method
	}
	if shown.Messages == nil {
		shown.Messages = []string{}
	}
	if shown.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "dr-provision")
	}
	_ = writeJSON(w, shown.Code, shown) // models.Error always marshals
}

// readBody returns the compact JSON of the request's body. An empty body is
// nil and stands for no value.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return readBodyUpTo(w, r, maxBody)
}

// readBodyUpTo is readBody with a limit in bytes.
func readBodyUpTo(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if !strings.Contains(r.Header.Get("Content-Type"), "application/json") {
		return nil, badRequest("Invalid content type: application/json needed")
	}
	body, err := readAll(w, r, most)
	if err != nil {
		return nil, err
	}
	return parseBody(body)
}

// parseBody returns the compact JSON of a body, nil for an empty one.
func parseBody(body []byte) ([]byte, error) {
	compact, err := rawjson.Parse(body)
	if err != nil {
		return nil, badRequest("Cannot parse the body: " + err.Error())
	}
	return compact, nil
}

func badRequest(msg string) *models.Error {
	return models.NewError("", http.StatusBadRequest, msg)
}

func notFound(prefix, key string) *models.Error {
	return &models.Error{Model: prefix, Key: key, Code: http.StatusNotFound, Messages: []string{"Not Found"}}
}

func noRoute() *models.Error {
	return models.NewError("", http.StatusNotFound, "No route")
}

package drp

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"gitlab.com/rackn/provision/v4/models"

	"muster/internal/redact"
	"muster/profile"
)

// answerError maps an answer to a sentinel of package profile (wire contract,
// section 2), or to nil.
func answerError(resp *http.Response, body []byte, r request) error {
	status := resp.StatusCode
	if status == http.StatusNotModified {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	fromDRP := kind == "application/json" || resp.Request.Method == http.MethodHead && kind != "text/html"
	switch {
	case status == http.StatusUnauthorized: // DRP's has no body
		return fmt.Errorf("%w: the endpoint wants credentials (401)", profile.ErrRefused)
	case !fromDRP && status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: too many requests (429)", profile.ErrUnavailable)
	case !fromDRP:
		return fmt.Errorf("%w: this is no DRP endpoint: expected application/json, found status %d with %s; check the URL and what stands in front of it",
			silence(r.writes() && status != http.StatusNotFound), status, named(kind))
	case status < 300:
		return nil
	}
	text := said(body, status)
	switch status {
	case http.StatusForbidden:
		return fmt.Errorf("%w: %s", profile.ErrRefused, text)
	case http.StatusNotFound:
		return fmt.Errorf("%w: %s (absent, or not allowed with this token)", profile.ErrNotFound, text)
	case http.StatusConflict:
		return fmt.Errorf("%w: %s", profile.ErrConflict, text)
	case http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s", profile.ErrUnavailable, text)
	}
	if status >= 500 {
		return fmt.Errorf("%w: %s", silence(r.writes()), text)
	}
	return fmt.Errorf("%w: %s", profile.ErrInvalid, text)
}

// said is the first message of DRP's error body, made safe: DRP's messages
// echo tokens and dump params, so only a short first line is kept.
func said(body []byte, status int) string {
	var e models.Error
	if json.Unmarshal(body, &e) != nil || len(e.Messages) == 0 {
		return fmt.Sprintf("status %d", status)
	}
	const most = 120
	text, _, _ := strings.Cut(redact.Tokens(e.Messages[0]), "\n")
	if text, _, _ = strings.Cut(text, "{"); len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Sprintf("%s (%d)", strings.TrimSpace(text), status)
}

func named(kind string) string {
	if kind == "" {
		return "no content type"
	}
	return kind
}

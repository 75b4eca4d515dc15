package drp

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
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
	fromDRP = fromDRP && status/100 != 3 // DRP never redirects
	switch {
	case status == http.StatusUnauthorized: // DRP's has no body
		return fmt.Errorf("%w: the endpoint wants credentials (401)", profile.ErrRefused)
	case !fromDRP && status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: too many requests (429)", profile.ErrUnavailable)
	case !fromDRP:
		return fmt.Errorf("%w: this is no DRP endpoint: expected application/json, found status %d with %s; check the URL and what stands in front of it",
			silence(r.writes() && status != http.StatusNotFound), status, withoutSecrets(named(kind), resp.Request))
	case status < 300:
		return nil
	}
	text := said(body, resp, r)
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
// echo tokens and dump params, so only a short first line is kept, without the
// values that r would set.
func said(body []byte, resp *http.Response, r request) string {
	var e models.Error
	if json.Unmarshal(body, &e) != nil || len(e.Messages) == 0 {
		return fmt.Sprintf("status %d", resp.StatusCode)
	}
	const most = 120
	text := e.Messages[0]
	for _, value := range r.values() {
		text = strings.ReplaceAll(text, value, "[value]")
	}
	text, _, _ = strings.Cut(withoutSecrets(text, resp.Request), "\n")
	if text, _, _ = strings.Cut(text, "{"); len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return fmt.Sprintf("%s (%d)", strings.TrimSpace(text), resp.StatusCode)
}

// values are the strings that a patch would set in params that are not Muster's,
// line by line, the longest first: they may be meant to be secret. Shorter than
// four bytes nothing is.
func (r request) values() []string {
	patch, _ := r.body.(json.RawMessage)
	var ops []struct {
		Path  string
		Value any
	}
	if json.Unmarshal(patch, &ops) != nil {
		return nil
	}
	var values []string
	for _, op := range ops {
		if !strings.HasPrefix(op.Path, "/Params/muster~1") {
			values = append(values, lines(op.Value)...)
		}
	}
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	return values
}

// lines are the lines of all strings in v, as they are and as JSON writes them.
func lines(v any) (found []string) {
	switch v := v.(type) {
	case string:
		escaped, _ := json.Marshal(v) // a string always is
		for _, text := range []string{v, string(escaped[1 : len(escaped)-1])} {
			for line := range strings.Lines(text) {
				if line = strings.TrimSpace(line); len(line) >= 4 {
					found = append(found, line)
				}
			}
		}
	case []any:
		for _, part := range v {
			found = append(found, lines(part)...)
		}
	case map[string]any:
		for _, part := range v {
			found = append(found, lines(part)...)
		}
	}
	return found
}

func named(kind string) string {
	if kind == "" {
		return "no content type"
	}
	return kind
}

// withoutSecrets returns s, which the endpoint sent, without the credentials of
// the request and without anything else that may be a token.
func withoutSecrets(s string, req *http.Request) string {
	_, credential, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	_, password, _ := req.BasicAuth()
	for _, secret := range []string{credential, password} {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "[redacted]")
		}
	}
	return redact.Tokens(s)
}

package drp

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"

	"muster/profile"
)

// Auth is the credentials of requests. It is safe for concurrent use.
type Auth interface {
	// sign puts the credentials on a request.
	sign(*http.Request) error
	// taken is told that the endpoint took the credentials of a request.
	taken(*http.Request)
	// refused is told that it did not, and reports whether others are there to
	// try.
	refused(*http.Request) bool
}

// fixed are credentials that never change.
type fixed func(*http.Request) error

func (f fixed) sign(r *http.Request) error { return f(r) }
func (fixed) taken(*http.Request)          {}
func (fixed) refused(*http.Request) bool   { return false }

// Basic authenticates as a DRP user with a password.
func Basic(user, password string) Auth {
	return fixed(func(r *http.Request) error {
		r.SetBasicAuth(user, password)
		return nil
	})
}

// Token authenticates with a token.
func Token(token string) Auth {
	return fixed(func(r *http.Request) error {
		if err := CheckToken(token); err != nil {
			return fmt.Errorf("%w: the token %w", profile.ErrRefused, err)
		}
		bearer(r, token)
		return nil
	})
}

// TokenFile authenticates with the token in a file, which is read for every
// request: a new token counts as soon as it is there. While the file holds what
// cannot be a token, or one that the endpoint refuses, the last one that it took
// is used on, if it still is good: so a file that is being written, or was
// written half, does no harm. The errors of the requests are ErrRefused when
// there is no token to send.
func TokenFile(name string) Auth { return &tokenFile{name: name} }

type tokenFile struct {
	name string

	mu   sync.Mutex
	good string // that the endpoint took last
	bad  string // that the file held when the endpoint refused it
}

func (f *tokenFile) sign(r *http.Request) error {
	token, err := f.pick()
	if err != nil {
		return err
	}
	bearer(r, token)
	return nil
}

// pick returns the token to use.
func (f *tokenFile) pick() (string, error) {
	raw, err := os.ReadFile(f.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: token file %s does not exist; write the token that the DRP task rendered there", profile.ErrRefused, f.name)
	case err != nil:
		return "", fmt.Errorf("%w: token file: %w", profile.ErrRefused, err)
	}
	token := strings.TrimSpace(string(raw))
	fault := CheckToken(token)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.good != "" && (fault != nil || token == f.bad):
		return f.good, nil
	case fault != nil:
		return "", fmt.Errorf("%w: token file %s %w", profile.ErrRefused, f.name, fault)
	}
	return token, nil
}

func (f *tokenFile) taken(r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.good = sent(r); f.good == f.bad {
		f.bad = ""
	}
}

func (f *tokenFile) refused(r *http.Request) bool {
	token := sent(r)
	f.mu.Lock()
	if f.bad = token; f.good == token {
		f.good = ""
	}
	f.mu.Unlock()
	other, err := f.pick()
	return err == nil && other != token
}

func bearer(r *http.Request, token string) {
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
}

// sent is the token on a request.
func sent(r *http.Request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token
}

// CheckToken says, without repeating it, why a text cannot be a DRP token: it
// is empty, is more than one word, or is the text that DRP renders in the place
// of a token that it will not give (wire contract, section 8).
func CheckToken(token string) error {
	token = strings.TrimSpace(token)
	for _, text := range []string{"InvalidToken", "UnknownMachineToken"} {
		if strings.HasPrefix(token, text) {
			return fmt.Errorf("holds %q, which DRP renders in the place of a token: the machine must carry the cluster profile itself when the template is rendered; add it to the machine's Profiles and run the task again", clip(token))
		}
	}
	switch {
	case token == "":
		return errors.New("is empty; expected a DRP token, one word")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("is not a DRP token: expected one word of printable ASCII, found blanks, control or other characters")
	}
	return nil
}

func clip(s string) string { return s[:min(len(s), 60)] }

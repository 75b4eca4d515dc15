package drp

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"muster/profile"
)

// Basic authenticates as a DRP user with a password.
func Basic(user, password string) Auth {
	return func(r *http.Request) error {
		r.SetBasicAuth(user, password)
		return nil
	}
}

// Token authenticates with a token.
func Token(token string) Auth {
	return func(r *http.Request) error { return bearer(r, "the token", token) }
}

// TokenFile authenticates with the token in a file, which is read for every
// request, so that a new token counts as soon as it is there. The errors of the
// requests are ErrRefused when the file cannot hold a token.
func TokenFile(name string) Auth {
	return func(r *http.Request) error {
		raw, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: token file %s does not exist; write the token that the DRP task rendered there", profile.ErrRefused, name)
		case err != nil:
			return fmt.Errorf("%w: token file: %w", profile.ErrRefused, err)
		}
		return bearer(r, "token file "+name, string(raw))
	}
}

func bearer(r *http.Request, origin, token string) error {
	if err := CheckToken(token); err != nil {
		return fmt.Errorf("%w: %s %w", profile.ErrRefused, origin, err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	return nil
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

package drp_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"muster/profile"
	"muster/profile/drp"
	"muster/profile/profiletest"
)

func TestWhatCannotBeATokenIsRefusedBeforeItIsSent(t *testing.T) {
	s := listen(t, true, answer)
	file := filepath.Join(t.TempDir(), "profile.token")
	for token, says := range map[string]string{
		"":                                   "is empty",
		" \n":                                "is empty",
		"s3cret s3cret":                      "one word",
		"s3cret\ns3cret":                     "one word",
		"s3cret\x00":                         "one word",
		"s3cretö":                            "one word",
		"InvalidTokenNotAllowedNotOnMachine": "must carry the cluster profile",
		"InvalidTokenNotAllowedNoProfile\n":  "must carry the cluster profile",
		"UnknownMachineTokenNotAllowed":      "must carry the cluster profile",
	} {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		for origin, auth := range map[string]drp.Auth{"the token": drp.Token(token), file: drp.TokenFile(file)} {
			for call, err := range calls(t, s.client(t).Profile("c1", auth)) {
				if !errors.Is(err, profile.ErrRefused) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), origin) {
					t.Errorf("%s with %q: %v, want %v of %s that says %q", call, token, err, profile.ErrRefused, origin, says)
				}
				if err != nil && strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%s: the error repeats the token: %v", call, err)
				}
			}
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPatch} {
		if n, _ := s.count(method); n != 0 {
			t.Errorf("%d %s requests were sent", n, method)
		}
	}
}

func TestAMissingTokenFileIsRefusedAndNamed(t *testing.T) {
	s := listen(t, true, answer)
	file := filepath.Join(t.TempDir(), "absent.token")
	_, err := s.client(t).Profile("c1", drp.TokenFile(file)).Read(t.Context())
	if !errors.Is(err, profile.ErrRefused) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), fs.ErrNotExist.Error()) {
		t.Errorf("error %v, want %v that names the file and what to do", err, profile.ErrRefused)
	}
}

func TestANewTokenInTheFileCountsAtOnce(t *testing.T) {
	r := serve(t, "")
	r.profile(profiletest.Name, nil)
	file := filepath.Join(t.TempDir(), "profile.token")
	s := r.client(t).Profile(profiletest.Name, drp.TokenFile(file))
	for _, test := range []struct {
		token string
		want  error
	}{{"expired", profile.ErrRefused}, {r.token(profiletest.Name) + "\n", nil}} {
		if err := os.WriteFile(file, []byte(test.token), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(t.Context()); !errors.Is(err, test.want) {
			t.Errorf("Read: %v, want %v", err, test.want)
		}
	}
}

func TestAFileThatIsWrittenHalfDoesNoHarmWhileTheTokenOfBeforeIsGood(t *testing.T) {
	r := serve(t, "")
	r.profile(profiletest.Name, profile.Params{"test/count": []byte("1")})
	file := filepath.Join(t.TempDir(), "profile.token")
	s := r.client(t).Profile(profiletest.Name, drp.TokenFile(file))
	old := r.token(profiletest.Name)
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mint := func() string {
		t.Helper()
		token, err := r.ProfileToken(machineUUID, profiletest.Name, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	next := mint()
	put(old)
	for _, text := range []string{old, "", next[:len(next)/2], "InvalidTokenNotAllowedNotOnMachine", next[:len(next)-1], next} {
		put(text)
		for range 2 {
			for call, err := range calls(t, s) {
				if err != nil {
					t.Errorf("%s with the first %d bytes in the file: %v", call, len(text), err)
				}
			}
		}
	}
	// The old one is not clung to: the new one is used by now, and a third counts at once.
	if err := r.ExpireTokens("profile:" + profiletest.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, profile.ErrRefused) {
		t.Errorf("Read when all tokens have expired: %v, want %v", err, profile.ErrRefused)
	}
	put(mint())
	if _, err := s.Read(t.Context()); err != nil {
		t.Errorf("Read with a new token: %v", err)
	}
}

func TestARequestIsSentAgainOnlyIfItsTokenWasRefusedAndAnotherIsThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "profile.token")
	var sent []string
	s := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		sent = append(sent, token)
		if token == "third" {
			answer(w, r)
			return
		}
		if token == "second" { // it is replaced while the request is under way
			_ = os.WriteFile(file, []byte("third"), 0o600)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
	})
	store := s.client(t).Profile("c1", drp.TokenFile(file))
	for _, row := range []struct {
		token string
		sent  []string
		want  error
	}{{"first", []string{"first"}, profile.ErrRefused}, {"second", []string{"second", "third"}, nil}, {"third", []string{"third"}, nil}} {
		if err := os.WriteFile(file, []byte(row.token), 0o600); err != nil {
			t.Fatal(err)
		}
		sent = nil
		if _, err := store.Apply(t.Context(), change()); !errors.Is(err, row.want) || !slices.Equal(sent, row.sent) {
			t.Errorf("Apply with %q: %v, sent with %q; want %v, sent with %q", row.token, err, sent, row.want, row.sent)
		}
	}
}

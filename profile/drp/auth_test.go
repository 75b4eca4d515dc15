package drp_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

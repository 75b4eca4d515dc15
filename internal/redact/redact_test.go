package redact_test

import (
	"strings"
	"testing"

	"muster/internal/redact"
)

func TestTokensAreReplaced(t *testing.T) {
	token := strings.Repeat("aZ0_-", 20)
	for _, s := range []string{
		"Invalid Token :" + token,
		"Authorization: Bearer short",
		"basic dXNlcjpwYXNz",
		`{"Messages":["` + token + `"]}`,
		"/v1/" + token,
		"abc/" + strings.Repeat("aZ0_-", 7) + "/" + token[:39],
	} {
		got := redact.Tokens(s)
		if strings.Contains(got, token) || strings.Contains(got, "short") || strings.Contains(got, "dXNl") {
			t.Errorf("Tokens(%q) = %q, still holds the secret", s, got)
		}
	}
}

func TestOrdinaryTextStays(t *testing.T) {
	for _, s := range []string{
		"Patch error at line 0: Test op failed.",
		"3e7031fc-3062-45f1-835c-92541bc9cbd3 is gone",
		"PATCH profiles/my-cluster",
		"token file /var/lib/muster-of-the-second-cluster/credentials/profile.token is empty",
	} {
		if got := redact.Tokens(s); got != s {
			t.Errorf("Tokens(%q) = %q, want it unchanged", s, got)
		}
	}
}

package drp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"muster/profile"
	"muster/profile/drp"
)

var secret = profile.Edit{Key: "site/password", Value: json.RawMessage(`"hunter2hunter2"`)}

// An endpoint of old times refuses what is not sealed.
func TestASecureValueLeavesSealed(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		r := serve(t, compat)
		r.profile("alpha", profile.Params{})
		r.post("params", map[string]any{"Name": secret.Key, "Secure": true})
		store := r.admin.Profile("alpha", drp.Token(r.token("alpha")))
		edit, sealed, err := secret.Sealed(t.Context(), store)
		if err != nil || !sealed || strings.Contains(string(edit.Value), "hunter2") {
			t.Fatalf("compat %q: sealed %v, %v: %s", compat, sealed, err, edit.Value)
		}
		if _, err := profile.NewOperator(store).Write(t.Context(), edit.Plan); err != nil {
			t.Errorf("compat %q: %v", compat, err)
		}
		if _, err := profile.Get(t.Context(), store, secret.Key, false); !errors.Is(err, profile.ErrInvalid) {
			t.Errorf("compat %q: not decoded: got %v, want %v", compat, err, profile.ErrInvalid)
		}
		if raw, err := profile.Get(t.Context(), store, secret.Key, true); err != nil || string(raw) != string(secret.Value) {
			t.Errorf("compat %q: decoded: %s, %v", compat, raw, err)
		}
	}
}

func TestAValueOfWhichNobodyKnowsWhetherItIsSecretIsNotSent(t *testing.T) {
	for name, answer := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"refused":       {403, `{"Messages":["no"]}`, profile.ErrRefused},
		"internal":      {500, `{"Messages":["no"]}`, profile.ErrUnavailable},
		"another param": {200, `{"Name":"site/other","Secure":false}`, profile.ErrUnavailable},
		"no object":     {200, `[]`, profile.ErrUnavailable},
		"no key":        {200, `{"Name":"site/password","Secure":true}`, profile.ErrUnavailable},
	} {
		s := listen(t, true, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if strings.HasSuffix(r.URL.Path, "/pubkey") {
				answer.body = `"c2hvcnQ="`
			}
			w.WriteHeader(answer.status)
			_, _ = w.Write([]byte(answer.body))
		})
		if _, _, err := secret.Sealed(t.Context(), s.client(t).Profile("alpha", nil)); !errors.Is(err, answer.want) {
			t.Errorf("%s: got %v, want %v", name, err, answer.want)
		}
	}
}

// DRP's errors repeat what they refuse (wire contract, section 9).
func TestAValueThatIsRefusedIsNotRepeated(t *testing.T) {
	for _, value := range []string{`"hunter2hunter2"`, `{"user":"me","password":["hunter2hunter2"]}`, `"hunter2\nhunter2 \"and\" hunter2"`, `"` + strings.Repeat("hunter2", 50) + `"`} {
		var plain any
		if err := json.Unmarshal([]byte(value), &plain); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{fmt.Sprintf("Param site/password: %v does not fit", plain), "Param site/password: " + value + " does not fit", fmt.Sprintf("Param site/password: %q does not fit", plain)} {
			s := listen(t, true, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusUnprocessableEntity)
				_ = json.NewEncoder(w).Encode(map[string]any{"Messages": []string{text}, "Code": 422})
			})
			c := &profile.Change{}
			c.Set(profile.At("site/password"), json.RawMessage(value))
			_, err := s.client(t).Profile("alpha", nil).Apply(t.Context(), c)
			if !errors.Is(err, profile.ErrInvalid) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "Param site/password: ") {
				t.Errorf("%s: got %v", text, err)
			}
		}
	}
}

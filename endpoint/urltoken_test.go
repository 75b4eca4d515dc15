package endpoint

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

func TestCredentialInTheURL(t *testing.T) {
	var log lockedBuilder
	s, stop := workServer(t, "", logInto(&log))
	old, stopOld := workServer(t, "3.13", logInto(&log))
	const pair = DefaultUser + ":" + DefaultPassword
	good, goodOld := userToken(t, s), userToken(t, old)
	expired, err := s.UserToken(DefaultUser, -time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	get := func(s *Server, path, header string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/api/v3"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("Authorization", header)
		}
		resp, err := insecure(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for _, row := range []struct {
		name, option, value, header string
		path                        string
		want, want313               int
	}{
		{"bearer", "token", good, "", "/info", 200, 403}, // another server's token
		{"bearer of the old server", "token", goodOld, "", "/info", 403, 200},
		{"basic", "token", pair, "", "/info", 200, 200},
		{"capital", "Token", pair, "", "/info", 200, 401},
		{"wrong password", "token", "rocketskates:planted-secret", "", "/info", 403, 403},
		{"expired", "token", expired, "", "/info", 403, 403},
		{"nothing", "token", "", "", "/info", 401, 401},
		{"list", "token", pair, "", "/profiles", 200, 406},
		{"list, capital", "Token", pair, "", "/profiles", 200, 401},
		{"header wins", "token", pair, "Bearer planted-secret", "/info", 403, 403},
	} {
		path := row.path + "?" + row.option + "=" + url.QueryEscape(row.value)
		for server, want := range map[*Server]int{s: row.want, old: row.want313} {
			got, body := get(server, path, row.header)
			if got != want {
				t.Errorf("%s: 3.13 %v: got %d %s, want %d", row.name, server == old, got, body, want)
			}
			for _, secret := range []string{good, goodOld, expired, DefaultPassword, "planted-secret"} {
				if got >= 400 && strings.Contains(body, secret) {
					t.Errorf("%s: the answer repeats the credential: %s", row.name, body)
				}
			}
		}
	}
	conn, resp, err := s.dialer().Dial(s.wsURL()+"?Token="+good, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	defer conn.Close()
	k := &socket{t, conn}
	k.say("register profiles.*.*")
	k.expect("websocket.register.profiles.*.*")
	s.putAll(t, &models.Profile{Name: "aa"})
	k.expect("profiles.create.aa")
	conn.Close()
	stop()
	stopOld()
	if log.String() == "" {
		t.Error("nothing was logged")
	}
	for _, secret := range []string{good, goodOld, expired, DefaultPassword, "planted-secret"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has a credential: %s", log.String())
		}
	}
}

// insecure is a client that trusts any certificate.
func insecure(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: (&Server{}).dialer().TLSClientConfig, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

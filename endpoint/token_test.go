package endpoint_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// tokens returns a caller for each kind of token that belongs to node-1.
func tokens(t *testing.T, s *endpoint.Server) (machine, profile caller) {
	t.Helper()
	m, err := s.MachineToken(nodeID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.ProfileToken(nodeID, "c1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return as(t, s, m), as(t, s, p)
}

func TestTokenPowers(t *testing.T) {
	const other = "99999999-2222-4333-8444-555555555555"
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/profiles", `{"Name":"c2"}`)
	c.must("POST", "/machines", `{"Name":"node-2","Uuid":"`+other+`"}`)
	c.must("POST", "/users", `{"Name":"nobody"}`)
	token, err := s.UserToken("nobody", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	machine, profile := tokens(t, s)
	nobody := as(t, s, token)
	describe := `[{"op":"replace","path":"/Description","value":"x"}]`
	for _, row := range []struct {
		method, path, body             string
		admin, machine, profile, nobdy int
	}{
		{"GET", "/info", "", 200, 200, 404, 200},
		{"GET", "/machines/" + nodeID, "", 200, 200, 404, 404},
		{"HEAD", "/machines/" + nodeID, "", 200, 200, 404, 404},
		{"GET", "/machines/Name:node-1", "", 200, 200, 404, 404},
		{"GET", "/machines/" + other, "", 200, 404, 404, 404},
		{"PATCH", "/machines/" + nodeID, describe, 200, 200, 403, 403},
		{"PATCH", "/machines/" + other, describe, 200, 403, 403, 403},
		{"PATCH", "/machines/" + nodeID, `[]`, 200, 200, 404, 404},
		{"GET", "/machines/" + nodeID + "/params/cas?aggregate=true", "", 200, 200, 404, 404},
		{"POST", "/machines/" + nodeID + "/params/mine", `1`, 200, 200, 403, 403},
		{"GET", "/machines/" + nodeID + "/token?ttl=60", "", 200, 200, 403, 403},
		{"GET", "/machines/" + other + "/token?ttl=60", "", 200, 403, 403, 403},
		{"POST", "/machines", `{"Name":"node-1"}`, 422, 403, 403, 403},
		{"DELETE", "/machines/nix", "", 404, 403, 403, 403},
		{"GET", "/profiles/c1", "", 200, 404, 200, 404},
		{"HEAD", "/profiles/c1", "", 200, 404, 200, 404},
		{"PATCH", "/profiles/c1", describe, 200, 403, 200, 403},
		{"PUT", "/profiles/c1", `{"Name":"c1"}`, 200, 403, 200, 403},
		{"PATCH", "/profiles/c1", `[{"op":"test","path":"/Name","value":"c1"}]`, 200, 404, 200, 404},
		{"PATCH", "/profiles/c1/params", `[]`, 200, 404, 200, 404},
		{"PATCH", "/profiles/c1/params", `[{"op":"add","path":"/xx","value":1}]`, 200, 403, 200, 403},
		{"POST", "/profiles/c1/params/xx", `1`, 200, 403, 200, 403},
		{"DELETE", "/profiles/c1/params/xx", "", 200, 403, 200, 403},
		{"GET", "/profiles/c2", "", 200, 404, 404, 404},
		{"PATCH", "/profiles/c2", describe, 200, 403, 403, 403},
		{"POST", "/profiles", `{"Name":"c1"}`, 409, 403, 403, 403},
		{"DELETE", "/profiles/c1", "", 422, 403, 403, 403},
		{"GET", "/params/nix", "", 404, 404, 404, 404},
		{"GET", "/stages/none", "", 200, 200, 404, 404},
		{"GET", "/users/nobody/token", "", 200, 403, 403, 200},
		{"GET", "/users/rocketskates/token", "", 200, 403, 403, 403},
	} {
		for who, want := range map[*caller]int{&c: row.admin, &machine: row.machine, &profile: row.profile, &nobody: row.nobdy} {
			// Every holder starts from the same state.
			c.do("POST", "/profiles/c1/params/xx", `0`)
			if got := who.do(row.method, row.path, row.body); got.status != want {
				names := map[*caller]string{&c: "user", &machine: "machine", &profile: "profile", &nobody: "powerless user"}
				t.Errorf("%s token: %s %s is %d %s, want %d", names[who], row.method, row.path, got.status, got.body, want)
			}
		}
	}
	for _, list := range []string{"machines", "profiles", "params", "users"} {
		for name, who := range map[string]caller{"machine": machine, "profile": profile, "powerless user": nobody} {
			got := who.do("GET", "/"+list, "")
			if got.status != 200 || got.body != "[]" || got.header.Get("X-DRP-LIST-TOTAL-COUNT") != "0" {
				t.Errorf("%s token lists %s: %d %s", name, list, got.status, got.body)
			}
		}
	}
}

func TestRefusedActionSaysWhatItNeeds(t *testing.T) {
	s := start(t, "")
	plant(asAdmin(t, s))
	machine, _ := tokens(t, s)
	e := machine.do("POST", "/profiles/c1/params/xx", `1`).fault(t)
	if e.Code != 403 || e.Type != "AUTH" || e.Model != "profiles" || e.Messages[1] != "Requires: profiles update:/Params/xx c1" {
		t.Errorf("error is %+v", e)
	}
}

func TestBadCredentials(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	expired, err := s.UserToken(endpoint.DefaultUser, -time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	good, err := s.UserToken(endpoint.DefaultUser, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	for _, row := range []struct {
		name, auth     string
		status         int
		model, message string
	}{
		{"none", "", 401, "", "Authentication required"},
		{"unknown scheme", "Digest x", 401, "", "Authentication required"},
		{"malformed basic", "Basic %%%", 401, "", "Authentication required"},
		{"wrong password", basic("rocketskates:sesame"), 403, "users", "Access Denied"},
		{"unknown user", basic("mallory:sesame"), 403, "users", "Access Denied"},
		{"expired", "Bearer " + expired, 403, "system", "Invalid Token"},
		{"malformed", "Bearer abc", 403, "system", "Invalid Token"},
		{"truncated", "Bearer " + good[:len(good)-3], 403, "system", "Invalid Token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c.t, c.auth = t, row.auth
			got := c.do("GET", "/info", "")
			e := got.fault(t)
			if got.status != row.status || e.Model != row.model || len(e.Messages) != 1 || e.Messages[0] != row.message {
				t.Errorf("answer is %d %s", got.status, got.body)
			}
			if token, ok := strings.CutPrefix(row.auth, "Bearer "); ok && strings.Contains(got.body, token) {
				t.Error("the token is repeated")
			}
			if (got.header.Get("WWW-Authenticate") != "") != (row.status == 401) {
				t.Errorf("WWW-Authenticate is %q", got.header.Get("WWW-Authenticate"))
			}
		})
	}
	c.t, c.auth = t, basic("rocketskates:r0cketsk8ts")
	c.must("GET", "/profiles/global", "")
}

func TestNewSecretRevokesTokens(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	machine, profile := tokens(t, s)
	machine.must("PATCH", "/machines/"+nodeID, `[{"op":"replace","path":"/Secret","value":"another"}]`)
	for name, who := range map[string]caller{"machine": machine, "profile": profile} {
		e := who.do("GET", "/profiles/c1", "").fault(t)
		if e.Code != 403 || e.Type != "AUTH" || e.Messages[0] != "Validation failed" {
			t.Errorf("%s token after the change: %+v", name, e)
		}
	}
	c.must("POST", "/users", `{"Name":"nina"}`)
	token, err := s.UserToken("nina", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c.must("PUT", "/users/nina/password", `{"Password":"sesame"}`)
	if got := as(t, s, token).do("GET", "/info", ""); got.status != 403 {
		t.Errorf("user's token after a new password: %d", got.status)
	}
	if got := c.must("GET", "/users/nina", "").body; strings.Contains(got, "PasswordHash") {
		t.Errorf("user shows the hash: %s", got)
	}
}

func TestTokensOutliveTheirMachine(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	_, profile := tokens(t, s)
	c.must("DELETE", "/machines/"+nodeID, "")
	profile.must("GET", "/profiles/c1", "")
}

func TestProfileTokenNeedsTheProfileOnTheMachine(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/profiles", `{"Name":"outer","Profiles":["c1"]}`)
	c.must("POST", "/machines", `{"Name":"node-2","Profiles":["outer"]}`)
	var other models.Machine
	if err := json.Unmarshal([]byte(c.must("GET", "/machines/Name:node-2", "").body), &other); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ machine, profile, want string }{
		{other.Key(), "c1", "InvalidTokenNotAllowedNotOnMachine"},
		{nodeID, "global", "InvalidTokenNotAllowedNotOnMachine"},
		{nodeID, "nix", "InvalidTokenNotAllowedNoProfile"},
		{"nix", "c1", "UnknownMachineTokenNotAllowed"},
	} {
		got, err := s.ProfileToken(row.machine, row.profile, time.Hour)
		if got != row.want || !errors.Is(err, endpoint.ErrTokenNotAllowed) {
			t.Errorf("token of %s for %s is %q, %v", row.machine, row.profile, got, err)
		}
	}
	if forEver, err := s.ProfileToken(nodeID, "c1", 0); err != nil {
		t.Error(err)
	} else {
		as(t, s, forEver).must("GET", "/profiles/c1", "")
	}
}

func TestTokensAreOpaque(t *testing.T) {
	s := start(t, "")
	plant(asAdmin(t, s))
	token, err := s.ProfileToken(nodeID, "c1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || strings.Contains(string(raw), nodeID) || strings.Contains(string(raw), "profiles") || strings.Contains(token, ".") {
		t.Errorf("token is %q, %v", token, err)
	}
	elsewhere := as(t, start(t, ""), token)
	if got := elsewhere.do("GET", "/profiles/c1", ""); got.status != 403 {
		t.Errorf("another server says %d", got.status)
	}
}

func TestTokenLife(t *testing.T) {
	c, old := asAdmin(t, start(t, "")), asAdmin(t, start(t, "3.13"))
	plant(c)
	for ttl, want := range map[string][3]int{
		"":                    {200, 200, 200},
		"600":                 {200, 200, 200},
		"-600":                {200, 200, 200},
		"0":                   {200, 200, 200},
		"1h":                  {200, 200, 400},
		"3y":                  {200, 200, 400},
		"h":                   {400, 400, 400},
		"1x":                  {400, 400, 400},
		"9999999999999999999": {400, 400, 400},
		"999999999y":          {400, 400, 400},
	} {
		got := [3]int{
			c.do("GET", "/users/rocketskates/token?ttl="+ttl, "").status,
			c.do("GET", "/machines/"+nodeID+"/token?ttl="+ttl, "").status,
			old.do("GET", "/users/rocketskates/token?ttl="+ttl, "").status,
		}
		if got != want {
			t.Errorf("ttl %q: user, machine and 3.13 user token are %v, want %v", ttl, got, want)
		}
	}
	var fresh models.UserToken
	if err := json.Unmarshal([]byte(c.must("GET", "/users/rocketskates/token?ttl=-600", "").body), &fresh); err != nil {
		t.Fatal(err)
	}
	c.auth = "Bearer " + fresh.Token
	if got := c.do("GET", "/info", ""); got.status != http.StatusForbidden {
		t.Errorf("token with a negative life: %d", got.status)
	}
}

func TestClientRenewsAMachineToken(t *testing.T) {
	s := start(t, "")
	plant(asAdmin(t, s))
	token, err := s.MachineToken(nodeID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c, err := api.TokenSessionProxyServer(s.URL(), token, false, false, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.RefreshToken("machines", nodeID, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetModel("machines", nodeID); err != nil {
		t.Fatal(err)
	}
}

func TestTokenOfOneRoleStaysThere(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/roles", `{"Name":"reader","Claims":[{"scope":"profiles","action":"get,list","specific":"*"}]}`)
	c.must("PATCH", "/users/rocketskates", `[{"op":"add","path":"/Roles/-","value":"reader"}]`)
	mint := func(c caller, query string) caller {
		var fresh models.UserToken
		if err := json.Unmarshal([]byte(c.must("GET", "/users/rocketskates/token"+query, "").body), &fresh); err != nil {
			t.Fatal(err)
		}
		return as(t, s, fresh.Token)
	}
	reader := mint(c, "?roles=reader")
	for name, who := range map[string]caller{"reader": reader, "renewed reader": mint(reader, "?ttl=60")} {
		who.must("GET", "/profiles/c1", "")
		if got := who.do("DELETE", "/profiles/c1", ""); got.status != 403 {
			t.Errorf("%s deletes: %d %s", name, got.status, got.body)
		}
	}
	if got := reader.do("GET", "/users/rocketskates/token?roles=superuser", ""); got.status != 403 {
		t.Errorf("the reader becomes superuser: %d", got.status)
	}
}

package endpoint

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// badBodies are requests that cannot succeed everywhere, with what must never be
// repeated in them.
var badBodies = []string{
	``,
	`{"Name":"vault","Description":"planted-body"`,
	`"planted-body"`, `["planted-body"]`, `{"Name":["planted-body"]}`, `737373737`,
	`{"Name":"vault","Meta":{"a":737373737},"Params":"planted-body","Roles":737373737}`,
	`{"Name":"vault","Uuid":"planted-body","Address":"planted-body","StartTime":"planted-body","CreatedAt":"planted-body"}`,
	`{"Name":"vault","Params":{"some/number":"planted-body","sealed":"planted-body","deep/secret":1}}`,
	`{"some/number":"planted-body","sealed":{"Key":"planted-body"}}`,
	`{"Name":"decl","Schema":{"type":737373737,"default":"planted-body"}}`,
	`{"Name":"decl","Schema":{"type":"number","default":"planted-body"}}`,
	`{"Type":"profiles","Action":"update","Key":"vault","Object":"planted-body","Time":"planted-body"}`,
	`{"meta":{"Name":"pack","Version":"1.0.0"},"sections":{"profiles":{"x":{"Name":"x","Meta":737373737,"Params":{"some/number":"planted-body"}}}}}`,
	`{"Password":737373737}`,
	`[{"op":"test","path":"/Params/deep~1secret","value":"planted-body"}]`,
	`[{"op":"test","path":"","value":{}}]`, `[{"op":"test","path":"/Params","value":{}}]`, `[{"op":"test","path":"/deep~1secret","value":1}]`,
	`[{"op":"remove","path":"/Params/nothing"}]`, `[{"op":"move","from":"/Params/deep~1secret","path":"/Meta"}]`,
	`[{"op":"copy","from":"/deep~1secret","path":"/some~1number"}]`, `[{"op":"copy","from":"/Params/deep~1secret","path":"/Params/some~1number"}]`,
	`[{"op":"add","path":"/Meta","value":737373737},{"op":"add","path":"/Roles","value":"planted-body"}]`,
	`[{"op":"odd","path":"/Params","value":"planted-body"}]`, `[{"op":"add","value":"planted-body"}]`, `[737373737]`,
}

// Every route gets every kind of bad request from everybody. Neither the answers
// that refuse them nor the log repeat values, tokens or the maps of params.
func TestErrorsAndLogTellNoSecrets(t *testing.T) {
	var log lockedBuilder
	s, stop := workServer(t, "", logInto(&log))
	machine := newMachineNamed("m1", "vault")
	machine.SetParams(map[string]any{"deep/secret": "planted-param"})
	vault := &models.Profile{Name: "vault"}
	vault.Fill()
	vault.SetParams(map[string]any{"deep/secret": "planted-param", "some/number": 5})
	s.putAll(t, &models.Param{Name: "some/number", Schema: map[string]any{"type": "number", "enum": []any{5.0}}}, &models.Param{Name: "sealed", Secure: true})
	replant := func() { s.putAll(t, vault, machine, &models.User{Name: "nobody"}) }
	replant()
	mint := func(token string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	admin := userToken(t, s)
	credentials := map[string]string{
		"nobody":  mint(s.UserToken("nobody", time.Hour)),
		"machine": mint(s.MachineToken(machine.Key(), time.Hour)),
		"profile": mint(s.ProfileToken(machine.Key(), "vault", time.Hour)),
		"expired": mint(s.UserToken(DefaultUser, -time.Hour)),
		"garbage": "planted-token", "admin": admin, "none": "",
	}
	secrets := []string{"planted-", "737373737", machine.Secret}
	for _, token := range credentials {
		if token != "" {
			secrets = append(secrets, token)
		}
	}
	leaks := func(text string) string {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				return secret
			}
		}
		return ""
	}
	client := insecure(t)
	refused := 0
	for _, rt := range append(s.routes(), s.workRoutes()...) {
		replant()
		key := "vault"
		if strings.HasPrefix(rt.path, "/machines/") {
			key = machine.Key()
		}
		path := strings.NewReplacer("{key}", key, "{key...}", "deep/secret", "{param...}", "some/number", "{path...}", "some/file").Replace(rt.path)
		for who, token := range credentials {
			if who == "admin" && rt.method == "DELETE" {
				continue
			}
			for _, query := range []string{"", "?decode=planted-query&ttl=planted-query&limit=planted-query&token=planted-query&Token=" + token} {
				bodies := badBodies
				if rt.method == "GET" || rt.method == "DELETE" || query != "" || strings.Contains("expired garbage none", who) {
					bodies = badBodies[:1]
				}
				for _, body := range bodies {
					req, err := http.NewRequestWithContext(t.Context(), rt.method, s.URL()+"/api/v3"+path+query, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Content-Type", "application/json")
					if token != "" && query == "" {
						req.Header.Set("Authorization", "Bearer "+token)
					}
					resp, err := client.Do(req)
					if err != nil {
						t.Fatalf("%s %s: %v", rt.method, path, err)
					}
					text, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if resp.StatusCode < 400 && who != "nobody" {
						continue // it was no bad request
					}
					refused++
					if secret := leaks(string(text)); secret != "" {
						t.Errorf("%s %s by %s, %s: %d repeats %s: %s", rt.method, path, who, body, resp.StatusCode, secret, text)
					}
					if resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented {
						t.Errorf("%s %s by %s, %s: %d %s", rt.method, path, who, body, resp.StatusCode, text)
					}
				}
			}
		}
	}
	stop()
	t.Logf("%d requests refused", refused)
	for line := range strings.Lines(log.String()) {
		if secret := leaks(line); secret != "" {
			t.Errorf("the log repeats %s: %s", secret, line)
		}
	}
}

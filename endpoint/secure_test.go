package endpoint_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// seal makes a value that only the object at url can hold.
func seal(c caller, url string, v any) string {
	c.t.Helper()
	var key []byte
	if err := json.Unmarshal([]byte(c.must("GET", url+"/pubkey", "").body), &key); err != nil {
		c.t.Fatal(err)
	}
	var data models.SecureData
	if err := data.Marshal(key, v); err != nil {
		c.t.Fatal(err)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(raw)
}

func TestSecureParams(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/params", `{"Name":"cluster/secret","Secure":true,"Schema":{"type":"string"}}`)
	_, profile := tokens(t, s)
	sealed := seal(profile, "/profiles/c1", "hunter2")
	profile.must("POST", "/profiles/c1/params/cluster/secret", sealed)

	for url, want := range map[string]string{
		"/profiles/c1/params/cluster/secret":                                               sealed,
		"/profiles/c1/params/cluster/secret?decode=true":                                   `"hunter2"`,
		"/profiles/c1/params?params=cluster/secret&decode=true":                            `{"cluster/secret":"hunter2"}`,
		"/machines/" + nodeID + "/params/cluster/secret?aggregate=true":                    sealed,
		"/machines/" + nodeID + "/params/cluster/secret?aggregate=true&decode=true":        `"hunter2"`,
		"/machines/" + nodeID + "/params?aggregate=true&decode=true&params=cluster/secret": `{"cluster/secret":"hunter2"}`,
	} {
		if got := c.must("GET", url, "").body; got != want {
			t.Errorf("GET %s: %s, want %s", url, got, want)
		}
	}
	for _, url := range []string{"/profiles/c1", "/profiles?Name=c1"} {
		if got := c.must("GET", url, "").body; strings.Contains(got, "hunter2") {
			t.Errorf("GET %s shows the value", url)
		}
	}
	for _, url := range []string{"/profiles/c1?decode=true", "/profiles?Name=c1&decode=true"} {
		if got := c.must("GET", url, "").body; !strings.Contains(got, "hunter2") {
			t.Errorf("GET %s does not show the value", url)
		}
	}

	for name, value := range map[string]string{
		"for another object": seal(c, "/machines/"+nodeID, "hunter2"),
		"of another type":    seal(c, "/profiles/c1", 7),
		"kept elsewhere":     `{"LookupUri":"vault://x"}`,
	} {
		onParams := c.do("POST", "/profiles/c1/params/cluster/secret", value)
		onObject := c.do("PATCH", "/profiles/c1", `[{"op":"replace","path":"/Params/cluster~1secret","value":`+value+`}]`)
		if onParams.status != 409 || onObject.status != 422 || strings.Contains(onParams.body+onObject.body, "hunter2") {
			t.Errorf("value %s: %d %s and %d %s", name, onParams.status, onParams.body, onObject.status, onObject.body)
		}
	}
}

// Plain text is sealed by the endpoint, as by DRP 4, which says so by a feature;
// 3.13 refuses it.
func TestPlainTextOfSecureParamsIsSealed(t *testing.T) {
	const declared = `{"Name":"cluster/secret","Secure":true,"Schema":{"type":"string"}}`
	c := asAdmin(t, start(t, ""))
	plant(c)
	c.must("POST", "/params", declared)
	for name, write := range map[string]func() answer{
		"POST of the param":  func() answer { return c.must("POST", "/profiles/c1/params/cluster/secret", `"hunter2"`) },
		"POST of the params": func() answer { return c.must("POST", "/profiles/c1/params", `{"cluster/secret":"hunter2"}`) },
		"PATCH": func() answer {
			return c.must("PATCH", "/profiles/c1", `[{"op":"add","path":"/Params/cluster~1secret","value":"hunter2"}]`)
		},
	} {
		if got := write(); strings.Contains(got.body, "hunter2") || !strings.Contains(got.body, `"Payload"`) {
			t.Errorf("%s answers %s", name, got.body)
		}
		if got := c.must("GET", "/profiles/c1/params/cluster/secret?decode=true", "").body; got != `"hunter2"` {
			t.Errorf("after %s the value is %s", name, got)
		}
	}
	if got := c.do("POST", "/profiles/c1/params/cluster/secret", `7`); got.status != 409 {
		t.Errorf("plain text of another type: %d %s", got.status, got.body)
	}
	if got := c.must("GET", "/info", ""); !strings.Contains(got.body, "auto-secure-params") {
		t.Errorf("info is %s", got.body)
	}

	old := asAdmin(t, start(t, "3.13"))
	plant(old)
	old.must("POST", "/params", declared)
	onParams := old.do("POST", "/profiles/c1/params/cluster/secret", `"hunter2"`)
	onObject := old.do("PATCH", "/profiles/c1", `[{"op":"add","path":"/Params/cluster~1secret","value":"hunter2"}]`)
	if onParams.status != 409 || onObject.status != 422 || strings.Contains(onParams.body+onObject.body, "hunter2") {
		t.Errorf("3.13: %d %s and %d %s", onParams.status, onParams.body, onObject.status, onObject.body)
	}
}

func TestSecureParamsNeedTheirClaims(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	c.must("POST", "/params", `{"Name":"cluster/secret","Secure":true}`)
	c.must("POST", "/profiles/c1/params/cluster/secret", seal(c, "/profiles/c1", "hunter2"))
	c.must("POST", "/roles", `{"Name":"reader","Claims":[{"scope":"profiles","action":"get,list,update","specific":"*"}]}`)
	c.must("POST", "/users", `{"Name":"nina","Roles":["reader"]}`)
	token, err := s.UserToken("nina", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	nina := as(t, s, token)
	for _, try := range []struct{ method, path, body string }{
		{"POST", "/profiles/c1/params/cluster/secret", `"mine"`},
		{"POST", "/profiles/c1/params", `{"cluster/secret":"mine"}`},
		{"PATCH", "/profiles/c1/params", `[{"op":"add","path":"/cluster~1secret","value":"mine"}]`},
		{"PATCH", "/profiles/c1", `[{"op":"add","path":"/Params/cluster~1secret","value":"mine"}]`},
	} {
		if got := nina.do(try.method, try.path, try.body); got.status != 403 || !strings.Contains(got.body, "updateSecure") {
			t.Errorf("%s %s: %d %s", try.method, try.path, got.status, got.body)
		}
	}
	nina.must("POST", "/profiles/c1/params/cas", "7")
	for url, want := range map[string]int{
		"/profiles/c1/params/cluster/secret":             200,
		"/profiles/c1/params/cluster/secret?decode=true": 403,
		"/profiles/c1/params?decode=true":                403,
		"/profiles/c1?decode=true":                       403,
		"/profiles?decode=true":                          200,
		"/profiles/c1/pubkey":                            403,
	} {
		if got := nina.do("GET", url, ""); got.status != want || strings.Contains(got.body, "hunter2") {
			t.Errorf("GET %s: %d %s, want %d", url, got.status, got.body, want)
		}
	}
}

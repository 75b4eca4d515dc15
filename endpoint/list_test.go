package endpoint_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// plantMany creates machines to choose from.
func plantMany(c caller) {
	c.t.Helper()
	c.must("POST", "/profiles", `{"Name":"c1","Params":{"size":30}}`)
	c.must("POST", "/profiles", `{"Name":"c2"}`)
	c.must("POST", "/params", `{"Name":"size","Schema":{"type":"number","default":5}}`)
	c.must("POST", "/params", `{"Name":"cluster/leader","Schema":{"type":"boolean","default":false}}`)
	for _, body := range []string{
		`{"Name":"n1","Uuid":"aaaaaaaa-0000-4000-8000-00000000000a","Profiles":["c1"],"Address":"10.0.0.1","Params":{"size":4,"cluster/leader":true,"free":"x"}}`,
		`{"Name":"n2","Profiles":["c1","c2"],"Address":"10.0.0.2","Params":{"size":10}}`,
		`{"Name":"n3","Profiles":["c2"],"Meta":{"zone":"a"},"Params":{"size":9.5,"cluster/leader":false}}`,
		`{"Name":"n4","Profiles":["c1"]}`,
	} {
		c.must("POST", "/machines", body)
	}
	c.must("PATCH", "/machines/Name:n3", `[{"op":"replace","path":"/Runnable","value":false}]`)
}

// names lists the machines that a query finds, or the status if it fails.
func names(c caller, query string) string {
	c.t.Helper()
	got := c.do("GET", "/machines?"+query, "")
	if got.status != 200 {
		return http.StatusText(got.status)
	}
	var ms []models.Machine
	if err := json.Unmarshal([]byte(got.body), &ms); err != nil {
		c.t.Fatal(err)
	}
	var res []string
	for _, m := range ms {
		res = append(res, m.Name)
	}
	return strings.Join(res, " ")
}

func TestListFilters(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plantMany(c)
	const bad = "Not Acceptable"
	for _, row := range []struct{ query, want string }{
		{"", "n1 n2 n3 n4"},
		{"Name=n1", "n1"},
		{"Name=Eq(n1)", "n1"},
		{"Name=Eq(n1", ""},
		{"Name=Ne(n1)", "n2 n3 n4"},
		{"Name=In(n1,n3,n9)", "n1 n3"},
		{"Name=Nin(n1,n3)", "n2 n4"},
		{"Name=Re(n[12])", "n1 n2"},
		{"Name=Re(()", bad},
		{"Name=Gt(n2)", "n3 n4"},
		{"Name=Between(n2,n3)", "n2 n3"},
		{"Name=Except(n2,n3)", "n1 n4"},
		{"Name=Between(n2)", bad},
		{"Name=n1&Name=n3", "n1 n3"},
		{"Name=n1&Name=n3&Profiles=c2", "n3"},
		{"Profiles=Eq(c1)", "n1 n2 n4"},
		{"Profiles=Ne(c1)", "n3"},
		{"Profiles=c1,c2", "n2"},
		{"Profiles=In(c2,c9)", "n2 n3"},
		{"Address=10.0.0.2", "n2"},
		{"Runnable=true", "n1 n2 n4"},
		{"Runnable=Eq(false)", "n3"},
		{"Runnable=maybe", bad},
		{"WorkflowComplete=Eq(true)", "n1 n2 n3 n4"},
		{"Available=true", "n1 n2 n3 n4"},
		{"Workflow=", "n1 n2 n3 n4"},
		{"Stage=none", "n1 n2 n3 n4"},
		{"Meta.zone=a", "n3"},
		{"size=10", "n2"},
		{"size=10.0", "n2"},
		{"size=Eq(4)", "n1"},
		{"size=Lt(10)", "n1 n3"},
		{"size=Gte(9.5)", "n2 n3"},
		{"size=Ne(4)", "n2 n3 n4"},
		{"size=Eq(5)", ""},
		{"size=Eq(5)&aggregate=true", ""},
		{"size=Eq(30)&aggregate=true", "n4"},
		{"cluster/leader=Eq(false)&aggregate=true", "n2 n3 n4"},
		{"cluster/leader=Eq(true)", "n1"},
		{"Params.size=4", "n1"},
		{"Params.free=x", "n1"},
		{"Params.nix=x", ""},
		{"free=x", bad},
		{"Profile=c1", bad},
		{"CurrentTask=Gt(x)", bad},
		{"Address=", "n3 n4"},
		{"Address=Ne()", "n1 n2"},
		{"Address=Gt(10.0.0.1)", "n2"},
		{"Address=Lt(10.0.0.10)", "n1 n2 n3 n4"},
		{"Address=::ffff:10.0.0.2", "n2"},
		{"CurrentJob=", "n1 n2 n3 n4"},
		{"Uuid=Eq(AAAAAAAA-0000-4000-8000-00000000000A)", "n1"},
		{"Uuid=In(,aaaaaaaa-0000-4000-8000-00000000000a)", "n1"},
		{"Uuid=Ne(AAAAAAAA-0000-4000-8000-00000000000A)", "n2 n3 n4"},
		{"CreatedAt=Gt(2020-01-01)", "n1 n2 n3 n4"},
		{"CreatedAt=Between(2020-01-01T01:02:03+01:00,2020-01-02)", ""},
		{"cluster/leader=Ne(true)", "n2 n3 n4"},
		{"sort=Name&reverse=true", "n4 n3 n2 n1"},
		{"sort=Name&reverse", "n4 n3 n2 n1"},
		{"sort=size", "n4 n1 n3 n2"},
		{"sort=Name&limit=2", "n1 n2"},
		{"sort=Name&limit=2&offset=1", "n2 n3"},
		{"sort=Name&offset=9", ""},
		{"limit=0", ""},
		{"limit=-1", bad},
		{"offset=x", bad},
		{"sort=nix", bad},
		{"reverse=maybe", bad},
	} {
		query := row.query
		if !strings.Contains(query, "sort=") && query != "" {
			query += "&sort=Name"
		}
		if query == "" {
			query = "sort=Name"
		}
		if got := names(c, escapeQuery(query)); got != row.want {
			t.Errorf("%s finds %q, want %q", row.query, got, row.want)
		}
	}
}

// What cannot be a value of a field is refused, by its name and what was expected.
func TestBadFilterValuesAreNamed(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plantMany(c)
	c.must("POST", "/params", `{"Name":"int","Schema":{"type":"integer"}}`)
	expected := map[string]string{
		"Runnable": "true or false", "cluster/leader": "true or false", "Params.cluster/leader": "true or false",
		"CurrentTask": "a number", "size": "a number", "int": "a number", "Params.int": "a number",
		"Uuid": "a UUID, or nothing", "CurrentJob": "a UUID, or nothing", "Address": "an IP address, or nothing",
		"CreatedAt": "a time such as 2006-01-02T15:04:05Z, or a date",
	}
	for name, want := range expected {
		want = "Invalid value for " + name + ": expected " + want
		for _, value := range []string{"nonsense", "Eq(nonsense)", "Ne(NaN)", "Lt(x)", "Gte(x)", "In(x,y)", "Nin(x)", "Between(x,y)", "Except(x,y)"} {
			got := c.do("GET", "/machines?"+escapeQuery(name+"="+value), "")
			if got.status != 406 || got.fault(t).Messages[0] != want {
				t.Errorf("%s=%s: got %d %s, want %s", name, value, got.status, got.body, want)
			}
		}
	}
	for query, want := range map[string]string{
		"Name=Re(()":         "Invalid value for Name: expected a regular expression of at most 1000 instructions",
		"Name=Between(a)":    "Invalid value for Name: expected two values, as in Between(low,high)",
		"Runnable=":          "Invalid value for Runnable: expected true or false",
		"limit=-1":           "Invalid value for limit: expected a number, 0 or more",
		"reverse=maybe":      "Invalid value for reverse: expected true or false",
		"Runnable=In(true,)": "Invalid value for Runnable: expected true or false",
	} {
		if got := c.do("GET", "/machines?"+escapeQuery(query), ""); got.status != 406 || got.fault(t).Messages[0] != want {
			t.Errorf("%s: got %d %s, want %s", query, got.status, got.body, want)
		}
	}
}

// escapeQuery escapes the values of a readable query.
func escapeQuery(q string) string {
	parts := strings.Split(q, "&")
	for i, p := range parts {
		name, value, found := strings.Cut(p, "=")
		parts[i] = url.QueryEscape(name)
		if found {
			parts[i] += "=" + url.QueryEscape(value)
		}
	}
	return strings.Join(parts, "&")
}

func TestListCounts(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plantMany(c)
	for _, method := range []string{"GET", "HEAD"} {
		got := c.do(method, "/machines?Profiles=c1&limit=2", "")
		if got.header.Get("X-DRP-LIST-COUNT") != "2" || got.header.Get("X-DRP-LIST-TOTAL-COUNT") != "4" || got.header.Get("ETag") != "" {
			t.Errorf("%s has headers %v", method, got.header)
		}
		if method == "HEAD" && got.body != "" {
			t.Errorf("HEAD has a body: %s", got.body)
		}
	}
}

func TestSlimAndPartialAnswers(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plantMany(c)
	for query, want := range map[string]string{
		"Name=n1":                               `false {"cluster/leader":true,"free":"x","size":4} role`,
		"Name=n1&slim=Params":                   `true {} role`,
		"Name=n1&slim=Params,Meta":              `true {} `,
		"Name=n1&params=size,nix":               `true {"size":4} role`,
		"Name=n4&params=size&aggregate=true":    `true {"size":30} role`,
		"Name=n2&aggregate=true":                `false {"size":10} role`,
		"Name=n1&slim=Meta&params=free&limit=1": `true {"free":"x"} `,
	} {
		var ms []models.Machine
		if err := json.Unmarshal([]byte(c.must("GET", "/machines?"+query, "").body), &ms); err != nil || len(ms) != 1 {
			t.Fatal(query, err, len(ms))
		}
		params, err := json.Marshal(ms[0].Params)
		if err != nil {
			t.Fatal(err)
		}
		got := map[bool]string{true: "true ", false: "false "}[ms[0].Partial] + string(params) + " "
		if ms[0].Meta["machine-role"] != "" {
			got += "role"
		}
		if got != want {
			t.Errorf("%s answers %s, want %s", query, got, want)
		}
	}
}

func TestClientFilters(t *testing.T) {
	s := start(t, "")
	plantMany(asAdmin(t, s))
	c := admin(t, s)
	var ms []*models.Machine
	rq := c.Req().Context(t.Context()).Filter("machines", "Profiles", "Eq", "c1", "WorkflowComplete", "Eq", "true", "sort", "Name", "reverse", "slim", "Meta,Params")
	if err := rq.Do(&ms); err != nil {
		t.Fatal(err)
	}
	if len(ms) != 3 || ms[0].Name != "n4" || !ms[0].Partial {
		t.Errorf("found %d machines", len(ms))
	}
	h := http.Header{}
	if err := c.Req().Context(t.Context()).Head().UrlFor("machines").Params("Profiles", "Eq(c1)").Do(&h); err != nil {
		t.Fatal(err)
	}
	if h.Get("X-DRP-LIST-COUNT") != "3" {
		t.Errorf("counted %q", h.Get("X-DRP-LIST-COUNT"))
	}
}

func TestListPermissionCanBeNarrow(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plantMany(c)
	c.must("POST", "/roles", `{"Name":"narrow","Claims":[{"scope":"profiles","action":"list","specific":"c1,c2"}]}`)
	c.must("POST", "/users", `{"Name":"nina","Roles":["narrow"]}`)
	token, err := s.UserToken("nina", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got := as(t, s, token).must("GET", "/profiles", "").header.Get("X-DRP-LIST-TOTAL-COUNT"); got != "2" {
		t.Errorf("nina sees %s profiles", got)
	}
}

func TestUnknownCompatIsRefused(t *testing.T) {
	if _, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: "3.14"}); err == nil {
		t.Error("3.14 was accepted")
	}
}

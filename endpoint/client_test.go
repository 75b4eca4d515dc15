package endpoint_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/jp"
	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// DRP's client, with the checks that it makes of a server.

func TestClientReadsInfo(t *testing.T) {
	info, err := admin(t, start(t, "")).Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Version != "v4.16.9-muster" || !info.HasFeature("api-v3") || info.ApiPort == 0 || len(info.Scopes) == 0 {
		t.Errorf("info is %+v", info)
	}
}

func TestClientPatchesByDifference(t *testing.T) {
	c := admin(t, start(t, ""))
	for _, prefix := range []string{"profiles", "machines"} {
		m, err := models.New(prefix)
		if err != nil {
			t.Fatal(err)
		}
		m.(models.NameSetter).SetName("one-of-them")
		m.(models.Paramer).SetParams(map[string]any{"cluster/x": map[string]any{"a": 1, "b": []any{"<&>"}}})
		if err := c.CreateModel(m); err != nil {
			t.Fatal(err)
		}
		for _, paranoid := range []bool{false, true} {
			next := models.Clone(m)
			params := next.(models.Paramer).GetParams()
			params["cluster/y"] = paranoid
			next.(models.Paramer).SetParams(params)
			res, err := c.PatchToFull(m, next, paranoid)
			if err != nil {
				t.Fatalf("%s, paranoid %v: %v", prefix, paranoid, err)
			}
			if res.(models.Paramer).GetParams()["cluster/y"] != paranoid {
				t.Errorf("%s, paranoid %v: patched to %+v", prefix, paranoid, res)
			}
			if _, err := c.PatchToFull(m, next, true); status(err) != 409 || !strings.Contains(err.Error(), "Test op failed.") {
				t.Errorf("%s: a stale patch says %v", prefix, err)
			}
			m = res.(models.Slicer)
		}
		if err := c.PutModel(m); err != nil {
			t.Error(err)
		}
		if found, err := c.ExistsModel(prefix, m.Key()); err != nil || !found {
			t.Errorf("exists says %v, %v", found, err)
		}
	}
}

func TestClientSessions(t *testing.T) {
	s := start(t, "")
	plant(asAdmin(t, s))
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, s.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	token, err := s.ProfileToken(nodeID, "c1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (*api.Client, error){
		"user": func() (*api.Client, error) {
			return api.UserSession(s.URL(), endpoint.DefaultUser, endpoint.DefaultPassword)
		},
		"user by basic auth": func() (*api.Client, error) {
			return api.UserSessionToken(s.URL(), endpoint.DefaultUser, endpoint.DefaultPassword, false)
		},
		"user, verified": func() (*api.Client, error) {
			return api.UserSessionTokenProxyContextServer(t.Context(), s.URL(), endpoint.DefaultUser, endpoint.DefaultPassword, true, false, true, caFile)
		},
		"token":           func() (*api.Client, error) { return api.TokenSession(s.URL(), token) },
		"token, verified": func() (*api.Client, error) { return api.TokenSessionProxyServer(s.URL(), token, false, true, caFile) },
	} {
		c, err := open()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m, err := c.GetModel("profiles", "c1"); err != nil || m.Key() != "c1" {
			t.Errorf("%s: reads %v, %v", name, m, err)
		}
		c.Close()
	}
	refused, err := api.UserSession(s.URL(), endpoint.DefaultUser, "wrong")
	if status(err) != 403 || !strings.Contains(err.Error(), "Access Denied") {
		t.Errorf("wrong password: %v", err)
	}
	if refused != nil {
		refused.Close()
	}
	c, err := api.TokenSession(s.URL(), "nonsense")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.GetModel("profiles", "c1"); status(err) != 403 || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("wrong token: %v", err)
	}
}

func TestClientHandlesEveryType(t *testing.T) {
	c := admin(t, start(t, ""))
	for _, prefix := range []string{
		"blueprints", "bootenvs", "contexts", "filters", "machines", "params", "pools", "profiles", "roles", "stages", "tasks",
		"templates", "users", "ux_options", "ux_settings", "ux_views", "workflows",
	} {
		m, err := models.New(prefix)
		if err != nil {
			t.Fatal(err)
		}
		named := []byte(`{"Name":"one-of-them","ID":"one-of-them","Id":"one-of-them"}`)
		if err := json.Unmarshal(named, m); err != nil {
			t.Fatal(err)
		}
		before, err := c.ListModel(prefix)
		if err != nil {
			t.Fatalf("list %s: %v", prefix, err)
		}
		if err := c.CreateModel(m); err != nil {
			t.Errorf("create %s: %v", prefix, err)
			continue
		}
		if err := c.CreateModel(models.Clone(m)); status(err) != 409 {
			t.Errorf("create %s again: %v", prefix, err)
		}
		after, err := c.ListModel(prefix)
		if err != nil || len(after) != len(before)+1 {
			t.Errorf("list %s: %d objects, then %d, %v", prefix, len(before), len(after), err)
		}
		got, err := c.GetModel(prefix, m.Key())
		if err != nil || got.Key() != m.Key() {
			t.Errorf("get %s: %v, %v", prefix, got, err)
			continue
		}
		next := models.Clone(got)
		next.(models.MetaHaver).SetMeta(models.Meta{"color": "red"})
		changed, err := c.PatchTo(got, next)
		if err != nil || changed.(models.MetaHaver).GetMeta()["color"] != "red" {
			t.Errorf("patch %s: %v, %v", prefix, changed, err)
		}
		if err := c.PutModel(next); err != nil {
			t.Errorf("put %s: %v", prefix, err)
		}
		if err := c.FillModel(got, m.Key()); err != nil || got.(models.MetaHaver).GetMeta()["color"] != "red" {
			t.Errorf("fill %s: %v, %v", prefix, got, err)
		}
		if _, err := c.DeleteModel(prefix, m.Key()); err != nil {
			t.Errorf("delete %s: %v", prefix, err)
		}
		if found, err := c.ExistsModel(prefix, m.Key()); found || err != nil && status(err) != 404 {
			t.Errorf("exists %s after it was deleted: %v, %v", prefix, found, err)
		}
	}
}

func TestClientReadsAndWritesParams(t *testing.T) {
	s := start(t, "")
	raw, c := asAdmin(t, s), admin(t, s)
	plant(raw)
	raw.must("POST", "/params", `{"Name":"cluster/size","Schema":{"type":"integer","default":3}}`)
	req := func(v any, key ...string) error {
		return c.Req().Context(t.Context()).UrlFor(append([]string{"machines", nodeID, "params"}, key...)...).Params("aggregate", "true").Do(v)
	}
	var value any
	if err := req(&value, "cluster/size"); err != nil || value != 3.0 {
		t.Errorf("default is %v, %v", value, err)
	}
	if err := c.Req().Context(t.Context()).Post(7).UrlFor("profiles", "c1", "params", "cluster/size").Do(&value); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	if err := req(&all); err != nil || all["cluster/size"] != 7.0 || all["cluster/profile"] != "c1" {
		t.Errorf("params are %v, %v", all, err)
	}
	if err := c.Req().Context(t.Context()).Del().UrlFor("profiles", "c1", "params", "cluster/size").Do(&value); err != nil || value != 7.0 {
		t.Errorf("deleted %v, %v", value, err)
	}
}

func TestClientSealsSecureParams(t *testing.T) {
	s := start(t, "")
	raw, c := asAdmin(t, s), admin(t, s)
	plant(raw)
	raw.must("POST", "/params", `{"Name":"cluster/secret","Secure":true,"Schema":{"type":"string"}}`)
	var key []byte
	if err := c.Req().Context(t.Context()).UrlFor("profiles", "c1", "pubkey").Do(&key); err != nil {
		t.Fatal(err)
	}
	sealed := &models.SecureData{}
	if err := sealed.Marshal(key, "hunter2"); err != nil {
		t.Fatal(err)
	}
	p := &jp.Patcher{}
	p.Add(jp.PtrTo("Params", "cluster/secret"), sealed)
	patch, err := p.Patch()
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.PatchModel("profiles", "c1", patch)
	if err != nil || !models.IsSecureData(m.(models.Paramer).GetParams()["cluster/secret"]) {
		t.Errorf("patched to %v, %v", m, err)
	}
	var value any
	if err := c.Req().Context(t.Context()).UrlFor("profiles", "c1", "params", "cluster/secret").Params("decode", "true").Do(&value); err != nil || value != "hunter2" {
		t.Errorf("decoded to %v, %v", value, err)
	}
}

func TestClientFollowsEvents(t *testing.T) {
	s := start(t, "")
	plant(asAdmin(t, s))
	c := admin(t, s)
	es, err := c.Events()
	if err != nil {
		t.Fatal(err)
	}
	defer es.Close()
	handle, events, err := es.Register("profiles.*.c1", "muster.*.*")
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		e, err := (<-events).Event()
		if got := e.Type + "." + e.Action + "." + e.Key; err != nil || got != want || e.Principal != "user:rocketskates" {
			t.Errorf("event %s by %s, %v; want %s", got, e.Principal, err, want)
		}
	}
	p, err := c.GetModel("profiles", "c1")
	if err != nil {
		t.Fatal(err)
	}
	next := models.Clone(p).(*models.Profile)
	next.Description = "changed"
	if _, err := c.PatchTo(p, next); err != nil {
		t.Fatal(err)
	}
	expect("profiles.update.c1")
	if err := c.PostEvent(&models.Event{Time: time.Now(), Type: "muster", Action: "call", Key: "all"}); err != nil {
		t.Fatal(err)
	}
	expect("muster.call.all")
	if err := es.Deregister(handle); err != nil {
		t.Fatal(err)
	}
}

func TestClientWaitsForAnObject(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		s := start(t, compat)
		plant(asAdmin(t, s))
		c := admin(t, s)
		es, err := c.Events()
		if err != nil {
			t.Fatal(err)
		}
		defer es.Close()
		get := func() *models.Machine {
			m, err := c.GetModel("machines", nodeID)
			if err != nil {
				t.Fatal(err)
			}
			return m.(*models.Machine)
		}
		for name, wait := range map[string]func(models.Model, api.TestFunc, time.Duration) (string, error){"WaitFor": es.WaitFor, "WaitForEvent": es.WaitForEvent} {
			if got, err := wait(get(), api.EqualItem("Name", "node-1"), 10*time.Second); got != "complete" || err != nil {
				t.Errorf("compat %q: %s for what is so: %s, %v", compat, name, got, err)
			}
			if got, err := wait(get(), api.EqualItem("Name", "nix"), time.Second); got != "timeout" || err != nil {
				t.Errorf("compat %q: %s for what will not be: %s, %v", compat, name, got, err)
			}
			change := time.AfterFunc(100*time.Millisecond, func() {
				before := get()
				after := models.Clone(before).(*models.Machine)
				after.Description = name
				if _, err := c.PatchTo(before, after); err != nil {
					t.Error(err)
				}
			})
			if got, err := wait(get(), api.AndItems(api.EqualItem("Description", name), api.EqualItem("Runnable", true)), 20*time.Second); got != "complete" || err != nil {
				t.Errorf("compat %q: %s for a change: %s, %v", compat, name, got, err)
			}
			change.Stop()
		}
	}
}

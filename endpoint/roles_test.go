package endpoint_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"
)

// cluster creates a cluster by DRP's client.
func newCluster(t *testing.T, c *api.Client, name string) *models.Cluster {
	t.Helper()
	made := &models.Cluster{}
	made.Name = name
	if err := c.Req().Context(t.Context()).Post(made).UrlFor("clusters").Do(made); err != nil {
		t.Fatal(err)
	}
	return made
}

func TestClusterIsAMachineWithAProfile(t *testing.T) {
	c := admin(t, start(t, ""))
	made := newCluster(t, c, "blue")
	if made.Meta["machine-role"] != "cluster" || made.Context != "drpcli-runner" || !slices.Equal(made.Profiles, []string{"blue"}) {
		t.Errorf("got %+v", made)
	}
	if err := c.Req().UrlFor("profiles", "blue").Do(&models.Profile{}); err != nil {
		t.Errorf("its profile: %v", err)
	}
	plain := &models.Machine{}
	plain.Name, plain.Profiles = "node1", []string{"blue"}
	if err := c.CreateModel(plain); err != nil {
		t.Fatal(err)
	}
	list := []*models.Cluster{}
	req := c.Req().Context(t.Context()).UrlFor("clusters")
	if err := req.Do(&list); err != nil || len(list) != 1 || list[0].Name != "blue" || req.Resp.Header.Get("X-DRP-LIST-TOTAL-COUNT") != "1" {
		t.Errorf("clusters: got %d, total %s, %v", len(list), req.Resp.Header.Get("X-DRP-LIST-TOTAL-COUNT"), err)
	}
	machines := []*models.Machine{}
	if err := c.Req().UrlFor("machines").Do(&machines); err != nil || len(machines) != 2 {
		t.Errorf("machines: got %d, %v", len(machines), err)
	}
	machines = nil
	if err := c.Req().Filter("machines", "Profiles", "Eq", "blue", "Meta.machine-role", "Eq", "machine").Do(&machines); err != nil || len(machines) != 1 || machines[0].Name != "node1" {
		t.Errorf("members: got %d, %v", len(machines), err)
	}
	for _, key := range []string{made.Key(), "Name:blue"} {
		got := &models.Cluster{}
		if err := c.Req().UrlFor("clusters", key).Do(got); err != nil || got.Name != "blue" {
			t.Errorf("%s: got %q, %v", key, got.Name, err)
		}
	}
	if err := c.Req().UrlFor("clusters", plain.Key()).Do(&models.Cluster{}); status(err) != http.StatusNotFound {
		t.Errorf("a machine as a cluster: got %v", err)
	}
	if err := c.Req().UrlFor("resource_brokers", made.Key()).Do(&models.ResourceBroker{}); status(err) != http.StatusNotFound {
		t.Errorf("a cluster as a broker: got %v", err)
	}
	if err := c.Req().Post(made).UrlFor("clusters").Do(nil); status(err) != http.StatusConflict {
		t.Errorf("the same again: got %v", err)
	}
}

func TestClusterIsChanged(t *testing.T) {
	c := admin(t, start(t, ""))
	made := newCluster(t, c, "blue")
	to := models.Clone(made).(*models.Cluster)
	to.Description = "patched"
	if err := c.Req().PatchTo(made, to).Do(to); err != nil || to.Description != "patched" {
		t.Errorf("patch: got %q, %v", to.Description, err)
	}
	to.Description = "put"
	if err := c.Req().Put(to).UrlForM(to).Do(to); err != nil || to.Description != "put" {
		t.Errorf("put: got %q, %v", to.Description, err)
	}
	var value any
	if err := c.Req().Post(3).UrlForM(made, "params", "cluster", "count").Do(&value); err != nil {
		t.Errorf("param: %v", err)
	}
	if err := c.Req().UrlForM(made, "params", "cluster/count").Do(&value); err != nil || value != 3.0 {
		t.Errorf("param: got %v, %v", value, err)
	}
	key := []byte{}
	if err := c.Req().UrlForM(made, "pubkey").Do(&key); err != nil || len(key) != 32 {
		t.Errorf("pubkey: got %d bytes, %v", len(key), err)
	}
	token := models.UserToken{}
	if err := c.Req().UrlForM(made, "token").Params("ttl", "600").Do(&token); err != nil || token.Token == "" {
		t.Errorf("token: %v", err)
	}
}

// The params of the group are those of the shared profile.
func TestGroupParamsAreThoseOfTheProfile(t *testing.T) {
	s := start(t, "")
	c := admin(t, s)
	made := newCluster(t, c, "blue")
	as := asAdmin(t, s)
	group := "/clusters/" + made.Key() + "/group/params"
	for _, step := range []struct {
		method, path, body, want string
		status                   int
	}{
		{"POST", group + "/cluster/step", `1`, "1", 200},
		{"GET", group + "/cluster/step", "", "1", 200},
		{"GET", group, "", `{"cluster/step":1}`, 200},
		{"PATCH", group, `[{"op":"test","path":"/cluster~1step","value":1},{"op":"replace","path":"/cluster~1step","value":2}]`, `{"cluster/step":2}`, 200},
		{"GET", "/profiles/blue/params", "", `{"cluster/step":2}`, 200},
		{"GET", "/clusters/" + made.Key() + "/params", "", `{}`, 200},
		{"GET", "/clusters/" + made.Key() + "/params?aggregate=true", "", `{"cluster/step":2}`, 200},
		{"DELETE", group + "/cluster/step", "", "2", 200},
		{"POST", group, `{"cluster/x":"y"}`, `{"cluster/x":"y"}`, 200},
	} {
		if got := as.do(step.method, step.path, step.body); got.status != step.status || got.body != step.want {
			t.Errorf("%s %s: got %d %s, want %d %s", step.method, step.path, got.status, got.body, step.status, step.want)
		}
	}
	as.must("GET", "/clusters/"+made.Key()+"/group/pubkey", "")
	if got := as.do("GET", "/clusters/none/group/params", ""); got.status != http.StatusNotFound {
		t.Errorf("no cluster: got %d", got.status)
	}
}

// What a cluster is made with is for its members, unless it is said to be its own,
// or the profile is somebody's already.
func TestNewClusterSharesItsParams(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/params", `{"Name":"own","Meta":{"no-cluster":"true"}}`)
	c.must("POST", "/params", `{"Name":"password","Secure":true,"Schema":{"type":"string"}}`)
	c.must("POST", "/profiles", `{"Name":"mine","Meta":{"no-cluster":"true"}}`)
	c.must("POST", "/profiles", `{"Name":"base","Params":{"from/base":1}}`)
	c.must("POST", "/profiles", `{"Name":"old","Params":{"was":1}}`)
	const sent = `"Profiles":["base","mine"],"Params":{"own":1,"free":12345678901234567890,"password":"x"}}`
	for _, row := range []struct{ prefix, name, own, profiles, shared, nested string }{
		{"clusters", "new", `{"own":1}`, "mine new", `{"free":12345678901234567890,"password":"x"}`, "base"},
		{"resource_brokers", "broker", `{"own":1}`, "mine broker", `{"free":12345678901234567890,"password":"x"}`, "base"},
		{"clusters", "old", `{"own":1,"free":12345678901234567890,"password":"x"}`, "base mine old", `{"was":1}`, ""},
	} {
		var made models.Machine
		body := c.must("POST", "/"+row.prefix, `{"Name":"`+row.name+`",`+sent).body
		if err := json.Unmarshal([]byte(body), &made); err != nil || strings.Join(made.Profiles, " ") != row.profiles {
			t.Errorf("%s: profiles are %v, want %s, %v", row.name, made.Profiles, row.profiles, err)
		}
		one := "/" + row.prefix + "/" + made.Key()
		if got := c.must("GET", one+"/params?decode=true", "").body; got != row.own {
			t.Errorf("%s: its own params are %s, want %s", row.name, got, row.own)
		}
		if got := c.must("GET", one+"/group/params?decode=true", "").body; got != row.shared {
			t.Errorf("%s: shared params are %s, want %s", row.name, got, row.shared)
		}
		var profile models.Profile
		body = c.must("GET", "/profiles/"+row.name, "").body
		if err := json.Unmarshal([]byte(body), &profile); err != nil || strings.Join(profile.Profiles, " ") != row.nested || strings.Contains(body, `"x"`) {
			t.Errorf("%s: got profile %s, want profiles %s, %v", row.name, body, row.nested, err)
		}
	}
	if got := c.must("GET", "/clusters/Name:new/params/from/base?aggregate=true", "").body; got != "1" {
		t.Errorf("inherited through the profile: got %s", got)
	}
	if got := c.do("POST", "/clusters", `{"Name":"bad","Profiles":["none"]}`); got.status != http.StatusUnprocessableEntity {
		t.Errorf("unknown profile: got %d %s", got.status, got.body)
	}
	if got := c.do("GET", "/profiles/bad", ""); got.status != http.StatusNotFound {
		t.Errorf("the refused cluster left a profile: %d", got.status)
	}
}

// The profile goes with its cluster, but not while members carry it, and not if it
// was there before.
func TestProfileOfADeletedCluster(t *testing.T) {
	c := admin(t, start(t, ""))
	older := &models.Profile{Name: "older"}
	if err := c.CreateModel(older); err != nil {
		t.Fatal(err)
	}
	for name, kept := range map[string]bool{"alone": false, "carried": true, "older": true} {
		made := newCluster(t, c, name)
		member := &models.Machine{}
		member.Name = "member-of-" + name
		if name == "carried" {
			member.Profiles = []string{name}
		}
		if err := c.CreateModel(member); err != nil {
			t.Fatal(err)
		}
		if err := c.Req().Del().UrlForM(made).Do(&models.Cluster{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		err := c.Req().UrlFor("profiles", name).Do(&models.Profile{})
		if kept != (err == nil) {
			t.Errorf("profile %s: got %v, want kept %v", name, err, kept)
		}
		if err := c.Req().UrlFor("machines", made.Key()).Do(&models.Machine{}); status(err) != http.StatusNotFound {
			t.Errorf("machine of %s: got %v", name, err)
		}
	}
}

// A claim for clusters reaches clusters and their groups, and no other machine.
func TestClaimForClusters(t *testing.T) {
	s := start(t, "")
	c := admin(t, s)
	made := newCluster(t, c, "blue")
	if err := c.CreateModel(models.MakeRole("groups", "clusters", "*", "*")); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateModel(&models.User{Name: "keeper", Roles: []string{"groups"}}); err != nil {
		t.Fatal(err)
	}
	token, err := s.UserToken("keeper", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	keeper := as(t, s, token)
	for path, want := range map[string]int{
		"/clusters/" + made.Key():                   200,
		"/clusters/" + made.Key() + "/group/params": 200,
		"/machines/" + made.Key():                   404,
		"/profiles/blue":                            404,
		"/resource_brokers/" + made.Key():           404,
	} {
		if got := keeper.do("GET", path, ""); got.status != want {
			t.Errorf("%s: got %d, want %d", path, got.status, want)
		}
	}
	if got := keeper.do("GET", "/machines", ""); got.body != "[]" {
		t.Errorf("machines: got %s", got.body)
	}
	if got := keeper.do("POST", "/clusters", `{"Name":"green"}`); got.status != http.StatusCreated {
		t.Errorf("create: got %d %s", got.status, got.body)
	}
	if got := keeper.do("POST", "/clusters", `{"Name":"red","Profiles":["blue"]}`); !strings.Contains(got.body, `"Profiles":["blue","red"]`) {
		t.Errorf("a profile that the claim does not reach: got %d %s", got.status, got.body)
	}
	if got := keeper.do("POST", "/resource_brokers", `{"Name":"cloud"}`); got.status != http.StatusForbidden {
		t.Errorf("create a broker: got %d", got.status)
	}
}

func TestResourceBrokerAndCompat(t *testing.T) {
	c := admin(t, start(t, ""))
	made := &models.ResourceBroker{}
	made.Name = "cloud"
	if err := c.Req().Post(made).UrlFor("resource_brokers").Do(made); err != nil || made.Meta["machine-role"] != "resource-broker" {
		t.Errorf("got %v, %v", made.Meta, err)
	}
	old := asAdmin(t, start(t, "3.13"))
	for _, path := range []string{"/clusters", "/resource_brokers"} {
		if got := old.do("GET", path, ""); got.status != http.StatusNotFound {
			t.Errorf("%s in 3.13: got %d", path, got.status)
		}
	}
}

// The events of a cluster are those of a machine and of a cluster.
func TestEventsOfClusters(t *testing.T) {
	c := admin(t, start(t, ""))
	es, err := c.Events()
	if err != nil {
		t.Fatal(err)
	}
	defer es.Close()
	_, ch, err := es.Register("clusters.create.*", "machines.create.*")
	if err != nil {
		t.Fatal(err)
	}
	made := newCluster(t, c, "blue")
	seen := map[string]bool{}
	for len(seen) < 2 {
		select {
		case got := <-ch:
			e, err := got.Event()
			if err != nil || e.Key != made.Key() {
				t.Fatalf("got %+v, %v", e, err)
			}
			seen[e.Type] = true
		case <-time.After(30 * time.Second):
			t.Fatalf("got only %v", seen)
		}
	}
}

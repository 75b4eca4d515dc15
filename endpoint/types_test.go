package endpoint_test

import (
	"slices"
	"strings"
	"testing"
)

func TestObjectsOfEveryTypeCanBeListed(t *testing.T) {
	for compat, some := range map[string][]string{
		"":     {"blueprints", "clusters", "machines", "pools", "profiles", "work_orders"},
		"3.13": {"machines", "profiles", "stages", "tenants"},
	} {
		s := start(t, compat)
		types, err := admin(t, s).Objects()
		if err != nil {
			t.Fatal(err)
		}
		for _, prefix := range some {
			if !slices.Contains(types, prefix) {
				t.Errorf("compat %q: %s is not among the types %v", compat, prefix, types)
			}
		}
		c := asAdmin(t, s)
		for _, prefix := range types {
			if got := c.must("GET", "/"+prefix, ""); !strings.HasPrefix(got.body, "[") {
				t.Errorf("compat %q: GET /%s: %s", compat, prefix, got.body)
			}
			if got := c.do("GET", "/"+prefix+"/nix", ""); got.status != 404 || !strings.Contains(got.body, "Not Found") {
				t.Errorf("compat %q: GET /%s/nix: %d %s", compat, prefix, got.status, got.body)
			}
		}
		if got := c.do("GET", "/nonsense", ""); got.status != 404 || !strings.Contains(got.body, "No route") {
			t.Errorf("GET /nonsense: %d %s", got.status, got.body)
		}
	}
}

// What would look accepted and then do nothing is refused.
func TestObjectsThatWouldDoNothingAreRefused(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	for prefix, reason := range map[string]string{
		"work_orders": "work orders are not run", "triggers": "triggers do not fire", "subnets": "no DHCP server", "plugins": "no plugins",
	} {
		got := c.do("POST", "/"+prefix, `{"Name":"one","Id":"one"}`)
		if got.status != 422 || !strings.Contains(got.body, reason) {
			t.Errorf("POST /%s: %d %s", prefix, got.status, got.body)
		}
	}
	plant(c)
	token, err := s.ProfileToken(nodeID, "c1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := as(t, s, token).do("POST", "/work_orders", `{}`); got.status != 403 {
		t.Errorf("POST /work_orders with a profile token: %d %s", got.status, got.body)
	}
}

func TestIndexesSayWhatListsCanBeFilteredBy(t *testing.T) {
	s := start(t, "")
	c := admin(t, s)
	asAdmin(t, s).must("POST", "/params", `{"Name":"cluster/leader-count","Schema":{"type":"integer"}}`)
	all, err := c.AllIndexes()
	if err != nil {
		t.Fatal(err)
	}
	machines, err := c.Indexes("machines")
	if err != nil {
		t.Fatal(err)
	}
	for name, typ := range map[string]string{
		"Name": "string", "Uuid": "UUID", "Runnable": "boolean", "WorkflowComplete": "boolean", "CurrentTask": "integer",
		"Profiles": "list", "Params": "list", "Address": "IP Address", "Pool": "string", "Valid": "boolean", "Key": "string",
	} {
		if machines[name].Type != typ || all["machines"][name] != machines[name] {
			t.Errorf("index %s of machines is %+v, and %+v among all; want type %s", name, machines[name], all["machines"][name], typ)
		}
		asAdmin(t, s).must("GET", "/machines?sort="+name, "")
	}
	if !machines["Uuid"].Unique || !machines["Name"].Unique || machines["Stage"].Unique || !machines["Name"].Regex || !machines["Profiles"].Unordered {
		t.Errorf("indexes of machines are %+v", machines)
	}
	if _, ok := machines["Secret"]; ok {
		t.Error("machines can be found by their secret")
	}
	for name, typ := range map[string]string{"cluster/leader-count": "integer", "Name": "string", "nix": ""} {
		if idx, err := c.OneIndex("machines", name); err != nil || idx.Type != typ {
			t.Errorf("index %s is %+v, %v; want type %q", name, idx, err, typ)
		}
	}
	if got := asAdmin(t, s).do("GET", "/indexes/nonsense", ""); got.status != 404 {
		t.Errorf("indexes of nonsense: %d %s", got.status, got.body)
	}
	old, err := admin(t, start(t, "3.13")).Indexes("machines")
	if _, ok := old["WorkflowComplete"]; ok || err != nil || len(old) == 0 {
		t.Errorf("indexes of machines in 3.13 are %+v, %v", old, err)
	}
}

func TestLookUpsByUniqueIndexes(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	plant(c)
	c.must("POST", "/templates", `{"ID":"a.tmpl"}`)
	c.must("POST", "/pools", `{"Id":"p1"}`)
	for _, path := range []string{
		"/machines/Name:node-1", "/machines/Uuid:" + nodeID, "/machines/Key:" + nodeID, "/machines/" + strings.ToUpper(nodeID), "/profiles/Name:c1",
		"/templates/ID:a.tmpl", "/pools/Id:p1", "/machines/Name:node-1/params", "/profiles/Name:c1/params/cas", "/params?Name=cas",
	} {
		c.must("GET", path, "")
	}
	if got := c.do("GET", "/machines/Name:Nix", ""); got.fault(t).Key != "Name:Nix" {
		t.Errorf("a look-up that fails says %s", got.body)
	}
	for _, path := range []string{"/machines/Name:nix", "/machines/Stage:none", "/machines/:node-1", "/profiles/Description:", "/leases/0.0.0.0"} {
		if got := c.do("GET", path, ""); got.status != 404 {
			t.Errorf("GET %s: %d %s", path, got.status, got.body)
		}
	}
}

func TestInterfacesOfThisHost(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	if got := c.must("GET", "/interfaces", ""); !strings.Contains(got.body, `"Name":"lo"`) {
		t.Errorf("interfaces are %s", got.body)
	}
	c.must("GET", "/interfaces/lo", "")
	if got := c.do("GET", "/interfaces/nix", ""); got.status != 404 || !strings.Contains(got.body, "No interface") {
		t.Errorf("GET /interfaces/nix: %d %s", got.status, got.body)
	}
	plant(c)
	token, err := s.MachineToken(nodeID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := as(t, s, token).must("GET", "/interfaces", ""); got.body != "[]" {
		t.Errorf("a machine sees the interfaces %s", got.body)
	}
}

func TestThereAreNoPlugins(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	for _, path := range []string{"/machines/" + nodeID + "/actions", "/profiles/c1/actions", "/clusters/x/actions", "/system/actions", "/plugin_providers"} {
		if got := c.must("GET", path, ""); got.body != "[]" {
			t.Errorf("GET %s: %s", path, got.body)
		}
	}
	for _, try := range []struct{ method, path string }{
		{"GET", "/machines/" + nodeID + "/actions/poweron"}, {"POST", "/machines/" + nodeID + "/actions/poweron"}, {"GET", "/plugin_providers/ipmi"},
	} {
		if got := c.do(try.method, try.path, `{}`); got.status != 404 {
			t.Errorf("%s %s: %d %s", try.method, try.path, got.status, got.body)
		}
	}
	_, profile := tokens(t, s)
	if got := profile.do("POST", "/machines/"+nodeID+"/actions/poweron", `{}`); got.status != 403 {
		t.Errorf("an action with a profile token: %d %s", got.status, got.body)
	}
}

func TestPreferencesAreFixed(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	if got := c.must("GET", "/prefs", ""); !strings.Contains(got.body, `"unknownBootEnv":"ignore"`) {
		t.Errorf("preferences are %s", got.body)
	}
	if got := c.do("POST", "/prefs", `{"unknownBootEnv":"local"}`); got.status != 422 || !strings.Contains(got.body, "fixed") {
		t.Errorf("changing them: %d %s", got.status, got.body)
	}
	if got := c.must("GET", "/pools-active", ""); got.body != `["default"]` {
		t.Errorf("active pools are %s", got.body)
	}
	_, profile := tokens(t, s)
	if got := profile.must("GET", "/prefs", ""); got.body != "{}" {
		t.Errorf("a profile token sees %s", got.body)
	}
	if got := profile.do("POST", "/prefs", `{}`); got.status != 403 {
		t.Errorf("a profile token changes them: %d %s", got.status, got.body)
	}
}

func TestMetaIsReadAndPatched(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	plant(c)
	for _, step := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/meta/profiles/c1", "", 200, `{}`},
		{"PATCH", "/meta/profiles/c1", `[{"op":"test","path":"","value":{}},{"op":"add","path":"/color","value":"red"}]`, 200, `{"color":"red"}`},
		{"PATCH", "/meta/profiles/c1", `[{"op":"test","path":"/color","value":"blue"},{"op":"remove","path":"/color"}]`, 409, "Test op failed."},
		{"PATCH", "/meta/profiles/c1", `[{"op":"add","path":"/color","value":7}]`, 406, "does not fit"},
		{"GET", "/meta/machines/Name:node-1", "", 200, `{"feature-flags":"change-stage-v2","machine-role":"machine"}`},
		{"GET", "/meta/profiles/nix", "", 404, "Not Found"},
		{"GET", "/meta/nonsense/c1", "", 404, "Not Found"},
	} {
		if got := c.do(step.method, step.path, step.body); got.status != step.status || !strings.Contains(got.body, step.want) {
			t.Errorf("%s %s %s: %d %s, want %d %s", step.method, step.path, step.body, got.status, got.body, step.status, step.want)
		}
	}
	machine, _ := tokens(t, s)
	if got := machine.do("PATCH", "/meta/profiles/c1", `[{"op":"add","path":"/color","value":"green"}]`); got.status != 403 {
		t.Errorf("a machine patches the Meta of a profile: %d %s", got.status, got.body)
	}
	if got := machine.do("GET", "/meta/profiles/c1", ""); got.status != 404 {
		t.Errorf("a machine reads the Meta of a profile: %d %s", got.status, got.body)
	}
}

// What a machine is, is not for clients to say.
func TestRoleOfAMachineStays(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/machines", `{"Name":"node-1","Meta":{"machine-role":"cluster"}}`)
	c.must("POST", "/clusters", `{"Name":"blue"}`)
	for name, role := range map[string]string{"node-1": "machine", "blue": "cluster"} {
		c.must("PATCH", "/machines/Name:"+name, `[{"op":"add","path":"/Meta/machine-role","value":"self"}]`)
		c.must("PATCH", "/machines/Name:"+name, `[{"op":"replace","path":"/Meta","value":{}}]`)
		if got := c.must("GET", "/meta/machines/Name:"+name, ""); !strings.Contains(got.body, `"machine-role":"`+role+`"`) {
			t.Errorf("the Meta of %s is %s", name, got.body)
		}
	}
}

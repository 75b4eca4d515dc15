package endpoint_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"gitlab.com/rackn/provision/v4/api"
	"gitlab.com/rackn/provision/v4/models"
	"gitlab.com/rackn/provision/v4/store"
)

// bundle makes a content pack of files, with DRP's own bundler.
func bundle(t *testing.T, name string, files map[string]string) *models.Content {
	t.Helper()
	src := fstest.MapFS{"meta.yaml": {Data: []byte("Name: " + name + "\nVersion: v1.2.3\n")}}
	for path, text := range files {
		src[path] = &fstest.MapFile{Data: []byte(text)}
	}
	mem, err := store.Open("memory:///")
	if err != nil {
		t.Fatal(err)
	}
	if err := api.BundleContent(src, mem, map[string]string{}); err != nil {
		t.Fatal(err)
	}
	res := &models.Content{}
	if err := res.FromStore(mem); err != nil {
		t.Fatal(err)
	}
	return res
}

func TestContentPackComesChangesAndGoes(t *testing.T) {
	s := start(t, "")
	c, raw := admin(t, s), asAdmin(t, s)
	pack := bundle(t, "hello", map[string]string{
		"params/hello-name.yaml":    "Name: hello/name\nSchema: {type: string, default: you}\n",
		"profiles/a-outer.yaml":     "Name: a-outer\nProfiles: [b-inner]\n",
		"profiles/b-inner.yaml":     "Name: b-inner\nParams: {hello/name: world}\n",
		"tasks/hello.yaml":          "Name: hello\nTemplates: [{Name: hello, ID: hello.tmpl}]\n",
		"templates/hello.tmpl":      "#!/bin/sh\necho {{.Param \"hello/name\"}}\n",
		"stages/hello.yaml":         "Name: hello\nTasks: [hello]\nProfiles: [a-outer]\n",
		"workflows/hello.yaml":      "Name: hello\nStages: [hello]\n",
		"workflows/unfinished.yaml": "Name: unfinished\nStages: [nix]\n",
		"triggers/t.yaml":           "Name: ttt\n",
	})
	sum, err := c.CreateContent(pack, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"triggers do nothing here: triggers do not fire", "unfinished: Stage nix does not exist"}
	if sum.Counts["profiles"] != 2 || sum.Counts["templates"] != 1 || sum.Meta.Version != "v1.2.3" || !slices.Equal(sum.Warnings, want) {
		t.Errorf("summary is %+v", sum)
	}
	got := raw.must("GET", "/profiles/b-inner", "")
	if !strings.Contains(got.body, `"ReadOnly":true`) || !strings.Contains(got.body, `"Bundle":"hello"`) {
		t.Errorf("an object of the pack is %s", got.body)
	}
	for _, try := range []struct{ method, path, body string }{
		{"PATCH", "/profiles/b-inner", `[{"op":"add","path":"/Params/hello~1name","value":"me"}]`},
		{"PUT", "/profiles/b-inner", `{"Name":"b-inner"}`},
		{"POST", "/profiles/b-inner/params/hello/name", `"me"`},
		{"DELETE", "/profiles/b-inner", ""},
	} {
		if got := raw.do(try.method, try.path, try.body); got.status != 403 || !strings.Contains(got.body, "content hello") {
			t.Errorf("%s %s of an object of a pack: %d %s", try.method, try.path, got.status, got.body)
		}
	}
	if _, err := c.CreateContent(pack, false); status(err) != 409 || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("a second create: %v", err)
	}
	whole, err := c.GetContentItem("hello")
	if err != nil || len(whole.Sections["profiles"]) != 2 {
		t.Errorf("the pack is %+v, %v", whole, err)
	}

	// The next version has one profile less and another value.
	next := bundle(t, "hello", map[string]string{"profiles/b-inner.yaml": "Name: b-inner\nParams: {hello/name: moon}\n"})
	if _, err := c.ReplaceContent(next, false); err != nil {
		t.Fatal(err)
	}
	if got := raw.must("GET", "/profiles/b-inner/params/hello/name", ""); got.body != `"moon"` {
		t.Errorf("the param is %s after the pack changed", got.body)
	}
	for _, gone := range []string{"/profiles/a-outer", "/workflows/hello", "/params/hello/name"} {
		if got := raw.do("GET", gone, ""); got.status != 404 {
			t.Errorf("%s is still there: %d %s", gone, got.status, got.body)
		}
	}

	// Not while somebody needs it; and then all of it.
	raw.must("POST", "/machines", `{"Name":"node-1","Uuid":"`+nodeID+`","Profiles":["b-inner"]}`)
	if err := c.DeleteContent("hello"); status(err) != 422 || !strings.Contains(err.Error(), "In use by machines node-1") {
		t.Errorf("deleting a pack in use: %v", err)
	}
	raw.must("GET", "/contents/hello", "")
	raw.must("DELETE", "/machines/"+nodeID, "")
	if err := c.DeleteContent("hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetContentItem("hello"); status(err) != 404 {
		t.Errorf("the deleted pack: %v", err)
	}
	if got := raw.do("GET", "/profiles/b-inner", ""); got.status != 404 {
		t.Errorf("an object of the deleted pack: %d", got.status)
	}
}

func TestContentKeysThatCannotBeOverridden(t *testing.T) {
	s := start(t, "")
	c, raw := admin(t, s), asAdmin(t, s)
	raw.must("POST", "/profiles", `{"Name":"mine","Params":{"kept":1}}`)
	files := map[string]string{"profiles/mine.yaml": "Name: mine\n", "profiles/other.yaml": "Name: other\n"}
	pack := bundle(t, "first", files)
	_, err := c.CreateContent(pack, false)
	if status(err) != 409 || !strings.Contains(err.Error(), "keysCannotBeOverridden: mine is already in layer BackingStore") {
		t.Errorf("a pack over a writable object: %v", err)
	}
	if got := raw.do("GET", "/profiles/other", ""); got.status != 404 {
		t.Errorf("a refused pack left its objects: %d", got.status)
	}
	if _, err := c.CreateContent(pack, true); err != nil {
		t.Fatal(err)
	}
	if got := raw.must("GET", "/profiles/mine", ""); !strings.Contains(got.body, `"Params":{}`) || !strings.Contains(got.body, `"Bundle":"first"`) {
		t.Errorf("the replaced object is %s", got.body)
	}
	_, err = c.CreateContent(bundle(t, "second", map[string]string{"profiles/other.yaml": "Name: other\n"}), true)
	if status(err) != 409 || !strings.Contains(err.Error(), "keysCannotBeOverridden: other is already in layer first") {
		t.Errorf("a pack over another: %v", err)
	}
	if got := raw.do("POST", "/profiles", `{"Name":"other"}`); got.status != 409 {
		t.Errorf("creating an object that a pack has: %d %s", got.status, got.body)
	}
}

// The objects of BasicStore may be overridden, and come back.
func TestBasicObjectsAreOverriddenAndComeBack(t *testing.T) {
	s := start(t, "")
	c, raw := admin(t, s), asAdmin(t, s)
	pack := bundle(t, "mine", map[string]string{"stages/local.yaml": "Name: local\nBootEnv: local\nDescription: better\n"})
	if _, err := c.CreateContent(pack, false); err != nil {
		t.Fatal(err)
	}
	if got := raw.must("GET", "/stages/local", ""); !strings.Contains(got.body, `"Description":"better"`) {
		t.Errorf("the stage is %s", got.body)
	}
	if err := c.DeleteContent("mine"); err != nil {
		t.Fatal(err)
	}
	if got := raw.must("GET", "/stages/local", ""); !strings.Contains(got.body, `"Bundle":"BasicStore"`) || strings.Contains(got.body, "better") {
		t.Errorf("the stage is %s after the pack went", got.body)
	}
	if err := c.DeleteContent("BasicStore"); status(err) != 409 {
		t.Errorf("deleting BasicStore: %v", err)
	}
	all, err := c.GetContentSummary()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, sum := range all {
		types[sum.Meta.Name] = sum.Meta.Type
	}
	if types["BackingStore"] != "writable" || types["BasicStore"] != "basic" || len(types) != 2 {
		t.Errorf("contents are %v", types)
	}
}

func TestContentPacksThatAreRefused(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	for body, want := range map[string]struct {
		status  int
		message string
	}{
		`{"meta":{},"sections":{}}`:                                                            {400, "needs a Name"},
		`{"meta":{"Name":"x"},"sections":[]}`:                                                  {400, "Not a content pack"},
		`{"meta":{"Name":"x","Version":"one"}}`:                                                {422, "no semantic version"},
		`{"meta":{"Name":"x","RequiredFeatures":"api-v3,teleport"}}`:                           {422, "feature teleport is missing"},
		`{"meta":{"Name":"x","Prerequisites":"other: >=1.0.0"}}`:                               {422, "content other is missing"},
		`{"meta":{"Name":"x","Prerequisites":"BasicStore: >=5.0.0"}}`:                          {422, "BasicStore is 4.16.9"},
		`{"meta":{"Name":"x","Prerequisites":"BasicStore: oldish"}}`:                           {422, "Invalid version requirement"},
		`{"meta":{"Name":"x"},"sections":{"unicorns":{}}}`:                                     {422, "cannot hold unicorns"},
		`{"meta":{"Name":"x"},"sections":{"jobs":{}}}`:                                         {422, "cannot hold jobs"},
		`{"meta":{"Name":"x"},"sections":{"profiles":{"pro":{"Name":"other"}}}}`:               {422, "has the key other"},
		`{"meta":{"Name":"x"},"sections":{"profiles":{"pro":{"Name":7}}}}`:                     {422, "profiles pro"},
		`{"meta":{"Name":"x"},"sections":{"profiles":{"p1":{"Name":"p1","Profiles":["p2"]}}}}`: {422, "Profile p2 (at 0) does not exist"},
		`{"meta":{"Name":"BasicStore"}}`:                                                       {409, "built in"},
	} {
		if got := c.do("POST", "/contents", body); got.status != want.status || !strings.Contains(got.body, want.message) {
			t.Errorf("%s: %d %s, want %d %q", body, got.status, got.body, want.status, want.message)
		}
	}
	if got := c.do("PUT", "/contents/y", `{"meta":{"Name":"x"}}`); got.status != 400 {
		t.Errorf("PUT with another name: %d %s", got.status, got.body)
	}
	if got := c.do("PUT", "/contents/x", `{"meta":{"Name":"x"}}`); got.status != 404 {
		t.Errorf("PUT of a pack that is not there: %d %s", got.status, got.body)
	}
	plant(c)
	token, err := s.MachineToken(nodeID, 0)
	if err != nil {
		t.Fatal(err)
	}
	machine := as(t, s, token)
	if got := machine.must("GET", "/contents", ""); got.body != "[]" {
		t.Errorf("a machine sees the contents %s", got.body)
	}
	if got := machine.do("POST", "/contents", `{"meta":{"Name":"x"}}`); got.status != 403 {
		t.Errorf("a machine uploads a pack: %d %s", got.status, got.body)
	}
	if got := machine.do("DELETE", "/contents/BasicStore", ""); got.status != 403 {
		t.Errorf("a machine deletes a pack: %d %s", got.status, got.body)
	}
}

// The features that DRP's public content packs require.
func TestPacksMayRequireWhatDRPHas(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	got := c.must("POST", "/contents", `{"meta":{"Name":"public","RequiredFeatures":"sane-exit-codes, job-exit-states, fsm-runner, workflows, default-workflow, http-range-header, roles, tenants, sprig, multiarch, overridable-bootloaders, centos-8"}}`)
	if !strings.Contains(got.body, "the feature multiarch is not there") || !strings.Contains(got.body, `"Version":"v0.0.0"`) {
		t.Errorf("the summary is %s", got.body)
	}
}

func TestPackThatAnotherRequiresIsNotDeleted(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/contents", `{"meta":{"Name":"base","Version":"1.0.0"}}`)
	c.must("POST", "/contents", `{"meta":{"Name":"more","Prerequisites":"base: >=1.0.0"}}`)
	if got := c.do("DELETE", "/contents/base", ""); got.status != 422 || !strings.Contains(got.body, "Required by the content more") {
		t.Errorf("DELETE: %d %s", got.status, got.body)
	}
	c.must("DELETE", "/contents/more", "")
	c.must("DELETE", "/contents/base", "")
}

package endpoint_test

import (
	"strings"
	"testing"
)

// Content comes in any order: what names something missing is stored, but is
// available only once that is there, and machines cannot use it before.
func TestObjectsAreAvailableOnceWhatTheyNeedIsThere(t *testing.T) {
	s := start(t, "")
	c := asAdmin(t, s)
	c.must("POST", "/machines", `{"Name":"node-1","Uuid":"`+nodeID+`"}`)
	made := c.must("POST", "/workflows", `{"Name":"flow","Stages":["stage-1"]}`)
	if !strings.Contains(made.body, `"Available":false,"Errors":["flow: Stage stage-1 does not exist"]`) {
		t.Errorf("a workflow without its stage is %s", made.body)
	}
	c.must("POST", "/stages", `{"Name":"stage-1","BootEnv":"env","Tasks":["task-1"],"Profiles":["pro"]}`)
	c.must("POST", "/tasks", `{"Name":"task-1","Templates":[{"Name":"x","ID":"x.tmpl"}]}`)
	start := `[{"op":"replace","path":"/Workflow","value":"flow"}]`
	if got := c.do("PATCH", "/machines/"+nodeID, start); got.status != 422 || !strings.Contains(got.body, "Workflow flow is not available") {
		t.Errorf("a workflow that is not available: %d %s", got.status, got.body)
	}
	for _, step := range []struct{ method, path, body, path2, errors string }{
		{"GET", "/stages", "", "/stages/stage-1", `["stage-1: BootEnv env does not exist","stage-1: Profile pro (at 0) does not exist"]`},
		{"POST", "/bootenvs", `{"Name":"env","Kernel":"vmlinuz"}`, "/stages/stage-1", `["stage-1: BootEnv env is not available","stage-1: Profile pro (at 0) does not exist"]`},
		{"PATCH", "/bootenvs/env", `[{"op":"replace","path":"/Kernel","value":""}]`, "/stages/stage-1", `["stage-1: Profile pro (at 0) does not exist"]`},
		{"POST", "/profiles", `{"Name":"pro"}`, "/stages/stage-1", `[]`},
		{"GET", "/tasks", "", "/tasks/task-1", `["task-1: Template x.tmpl does not exist"]`},
		{"POST", "/templates", `{"ID":"x.tmpl"}`, "/tasks/task-1", `[]`},
		{"GET", "/workflows", "", "/workflows/flow", `[]`},
		{"PATCH", "/machines/" + nodeID, start, "/machines/" + nodeID, `[]`},
		// What a machine still has to run stays.
		{"PATCH", "/machines/" + nodeID, `[{"op":"replace","path":"/Workflow","value":""}]`, "/machines/" + nodeID, `[]`},
		{"DELETE", "/tasks/task-1", "", "/workflows/flow", `["flow: Stage stage-1 is not available"]`},
		// What happens to others does not freeze a machine.
		{"PATCH", "/machines/" + nodeID, `[{"op":"replace","path":"/Description","value":"still alive"}]`, "/machines/" + nodeID, `[]`},
	} {
		c.must(step.method, step.path, step.body)
		if got := c.must("GET", step.path2, ""); !strings.Contains(got.body, `"Errors":`+step.errors) ||
			!strings.Contains(got.body, map[bool]string{true: `"Available":true`, false: `"Available":false`}[step.errors == "[]"]) {
			t.Errorf("after %s %s: %s is %s, want errors %s", step.method, step.path, step.path2, got.body, step.errors)
		}
	}
}

func TestMachinesNeedWhatTheyName(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/profiles", `{"Name":"pro"}`)
	c.must("POST", "/bootenvs", `{"Name":"env","Kernel":"vmlinuz"}`)
	for fields, message := range map[string]string{
		`"BootEnv":"nix","Stage":"nix"`: `["Stage nix does not exist","Bootenv nix does not exist"]`,
		`"BootEnv":"env"`:               `BootEnv env is not available`,
		`"BootEnv":"ignore"`:            `OnlyUnknown`,
		`"Profiles":["pro","pro"]`:      `Duplicate profile pro: at 0 and 1`,
		`"Tasks":["nix"]`:               `Task nix (at 0) does not exist`,
		`"Workflow":"nix"`:              `Workflow nix does not exist`,
		`"Arch":"pdp11"`:                `Unsupported arch pdp11`,
	} {
		if got := c.do("POST", "/machines", `{"Name":"node-1",`+fields+`}`); got.status != 422 || !strings.Contains(got.body, message) {
			t.Errorf("%s: %d %s, want %s", fields, got.status, got.body, message)
		}
	}
	made := c.must("POST", "/machines", `{"Name":"node-1"}`)
	if !strings.Contains(made.body, `"Pool":"default"`) || !strings.Contains(made.body, `"PoolStatus":"Free"`) {
		t.Errorf("a new machine is %s", made.body)
	}
}

func TestWhatIsNeededIsNotDeleted(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/tasks", `{"Name":"task-1"}`)
	c.must("POST", "/stages", `{"Name":"stage-1","Tasks":["task-1"]}`)
	c.must("POST", "/workflows", `{"Name":"flow","Stages":["stage-1"]}`)
	c.must("POST", "/machines", `{"Name":"node-1","Uuid":"`+nodeID+`","Workflow":"flow"}`)
	for path, reason := range map[string]string{
		"/tasks/task-1":    "task list of machine node-1",
		"/stages/stage-1":  "task list of machine node-1",
		"/workflows/flow":  "In use by machines node-1",
		"/profiles/global": "every machine",
	} {
		if got := c.do("DELETE", path, ""); got.status != 422 || !strings.Contains(got.body, reason) {
			t.Errorf("DELETE %s: %d %s", path, got.status, got.body)
		}
	}
}

func TestTemplateThatDoesNotParseIsNotAvailable(t *testing.T) {
	c := asAdmin(t, start(t, ""))
	c.must("POST", "/tasks", `{"Name":"task-1","Templates":[{"Name":"x","ID":"x.tmpl"}]}`)
	if got := c.must("POST", "/templates", `{"ID":"x.tmpl","Contents":"{{ .Foo"}`); !strings.Contains(got.body, "Parse error") {
		t.Errorf("a template that does not parse is %s", got.body)
	}
	if got := c.must("GET", "/tasks/task-1", ""); !strings.Contains(got.body, "Template x.tmpl is not available") {
		t.Errorf("its task is %s", got.body)
	}
	c.must("PATCH", "/templates/x.tmpl", `[{"op":"replace","path":"/Contents","value":"{{ .Machine.Name }}"}]`)
	if got := c.must("GET", "/tasks/task-1", ""); !strings.Contains(got.body, `"Available":true`) {
		t.Errorf("its task is %s after it was mended", got.body)
	}
}

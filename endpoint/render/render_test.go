package render

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pborman/uuid"
	"gitlab.com/rackn/provision/v4/models"
)

// testSource renders for machine "node1" with a few params.
func testSource(templates ...*models.Template) Source {
	m := &models.Machine{}
	m.Name, m.Uuid, m.Address, m.Arch = "node1.example", uuid.Parse("3e7031fe-3062-45f1-835c-92541bc9cbd3"), net.IPv4(10, 0, 0, 1), "amd64"
	m.HardwareAddrs, m.Profiles = []string{"52:54:00:00:00:01"}, []string{"mine"}
	m.Params = map[string]any{"own": "value"}
	env := &models.BootEnv{Name: "image", Kernel: "vmlinuz", Initrds: []string{"stage1", "stage2"}, BootParams: "size={{.Param \"cluster/size\"}}"}
	env.OS.Name = "centos-7.3"
	params := map[string]any{
		"cluster/size": 3.0, "cluster/names": []any{"a", "b"}, "none": nil,
		"expand": "{{.Machine.ShortName}} {{.ParamExpand \"deep\"}}", "deep": map[string]any{"k{{": []any{"{{.Param \"cluster/size\"}}", 1.0}},
		"loop": "{{.ParamExpand \"loop\"}}",
	}
	return Source{
		Job:            &models.Job{Uuid: uuid.Parse("00000000-0000-0000-0000-000000000009")},
		BootEnv:        env,
		Stage:          &models.Stage{Name: "here"},
		Machine:        m,
		Templates:      templates,
		APIURL:         "https://example:8092",
		ProvisionerURL: "https://example:8091",
		Param:          func(key string) (any, bool) { v, ok := params[key]; return v, ok },
		Params: func(key string) []any {
			return map[string][]any{
				"list": {[]any{"own"}, []any{"profile", "{{.Stage.Name}}"}, []any{"default"}},
				"map":  {map[string]any{"a": 1.0, "in": map[string]any{"x": 1.0}}, map[string]any{"a": 2.0, "b": 2.0, "in": map[string]any{"y": 2.0}}, "odd"},
				"one":  {"own", "profile"},
			}[key]
		},
		MachineToken: func(ttl time.Duration) (string, error) { return "machine-" + ttl.String(), nil },
		ProfileToken: func(profile string, ttl time.Duration) (string, error) {
			if profile != "mine" {
				return "InvalidTokenNotAllowedNotOnMachine", nil
			}
			return profile + "-" + ttl.String(), nil
		},
	}
}

func TestRenderingThatTakesTooLongIsEnded(t *testing.T) {
	for _, source := range []string{
		`{{$l := until 100000}}{{range $l}}{{range $l}}{{range $l}}{{end}}{{end}}{{end}}`,
		`{{$_ := regexFindAll ".*b|x" (repeat 1000000 "x") -1}}`,
		`{{$_ := mustRegexSplit ".*b|x" (repeat 1000000 "x") -1}}`,
		`{{$_ := regexReplaceAllLiteral ".*b|x" (repeat 1000000 "x") ""}}`,
	} {
		task := taskOf(source)
		d := newDot(testSource(), task)
		d.limits.deadline = time.Now().Add(10 * time.Millisecond)
		root, _ := parseTemplates(nil, task.Templates, d.limits)
		if _, err := d.action(root, task.Templates[0]); err == nil || !strings.Contains(err.Error(), "rendering takes more than") {
			t.Errorf("%s: got %v", source, err)
		}
	}
}

// The parser would overflow its stack, which ends the process.
func TestTemplateNestedTooDeepIsRefused(t *testing.T) {
	deep := strings.Repeat("{{if 1}}", 1_000_000)
	for name, render := range map[string]func() error{
		"own text": func() error {
			task := taskOf(deep)
			_, err := Actions(testSource(), task, "")
			return err
		},
		"param": func() error {
			src := testSource()
			src.Param = func(string) (any, bool) { return deep, true }
			_, err := Actions(src, taskOf(`{{.ParamExpand "deep"}}`), "")
			return err
		},
		"template": func() error {
			task := taskOf(`{{template "deep.tmpl" .}}`)
			_, err := Actions(testSource(&models.Template{ID: "deep.tmpl", Contents: deep}), task, "")
			return err
		},
	} {
		if err := render(); err == nil || !strings.Contains(err.Error(), "has more than") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A template of a task can call another one of it by name.
func TestTemplatesOfATaskCallEachOther(t *testing.T) {
	actions, err := Actions(testSource(), taskOf(`{{template "t1" .}}!`, `{{.Stage.Name}}`), "linux")
	if err != nil || actions[0].Content != "here!" {
		t.Errorf("got %+v, %v", actions, err)
	}
}

// Templates are programs; what would take for ever or for all the memory is ended.
func TestRenderingIsBounded(t *testing.T) {
	call := &models.Template{ID: "call.tmpl", Contents: `{{.CallTemplate "call.tmpl" .}}`}
	for source, want := range map[string]string{
		`{{.CallTemplate "call.tmpl" .}}`:                                           "expand one another",
		`{{.ParamExpand "loop"}}`:                                                   "expand one another",
		`{{range until 1000000000}}{{end}}`:                                         "until makes more than",
		`{{range untilStep 0 2000000000 1}}{{end}}`:                                 "untilStep makes more than",
		`{{repeat 2000000000 "x"}}`:                                                 "repeat makes more than",
		`{{"a" | indent 2000000000}}`:                                               "indent makes more than",
		`{{$s := repeat 1000000 "x"}}{{range until 100}}{{$s}}{{end}}`:              "rendering makes more than",
		`{{$s := "xxxxxxxx"}}{{range until 60}}{{$s = printf "%s%s" $s $s}}{{end}}`: "printf makes more than",
	} {
		src := testSource(call)
		_, err := Actions(src, taskOf(source), "linux")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "task job: template t0") {
			t.Errorf("%s: got %.300v, want %q", source, err, want)
		}
	}
}

func taskOf(contents ...string) *models.Task {
	task := &models.Task{Name: "job"}
	for i, c := range contents {
		task.Templates = append(task.Templates, models.TemplateInfo{Name: fmt.Sprintf("t%d", i), Contents: c})
	}
	return task
}

func TestRenderedValues(t *testing.T) {
	shared := &models.Template{ID: "shared.tmpl", Contents: `{{define "part"}}part{{end}}size={{.Param "cluster/size"}}`}
	for source, want := range map[string]string{
		`{{.Machine.Name}} {{.ApiURL}} {{.ProvisionerURL}}`:    "node1.example https://example:8092 https://example:8091",
		`{{.Param "cluster/size"}}`:                            "3",
		`{{.ParamAsJSON "cluster/names"}}`:                     `["a","b"]`,
		`{{.ParamExists "cluster/size"}}{{.ParamExists "no"}}`: "truefalse",
		`{{template "shared.tmpl" .}} {{template "part"}}`:     "size=3 part",
		`{{.GenerateToken}} {{.GenerateInfiniteToken}}`:        "machine-1h0m0s machine-0s",
		`{{.GenerateProfileToken "mine" 7200}}`:                "mine-2h0m0s",
		`{{.GenerateProfileToken "other" 7200}}`:               "InvalidTokenNotAllowedNotOnMachine",
		`{{ "x" | upper | repeat 3 }}`:                         "XXX",
		`{{.ParamAsYAML "cluster/names"}}`:                     "- a\n- b\n",
		`{{.Param "none"}} {{.ParamExists "none"}}`:            "<no value> true",
		`{{.ParamExpand "expand"}}`:                            "node1 map[k{{:[3 1]]",
		`{{.ParamExpand "cluster/size"}}`:                      "3",
		`{{.ParamCompose "list"}}`:                             "[own profile {{.Stage.Name}} default]",
		`{{.ParamComposeExpand "list"}}`:                       "[own profile here default]",
		`{{.ComposeParam "map" | toJson}}`:                     `{"a":1,"b":2,"in":{"x":1,"y":2}}`,
		`{{.ParamCompose "one"}}`:                              "own",
		`{{.ParseUrl "host" .ApiURL}} {{.ParseURL "path" "http://a/b"}} {{.ParseUrl "scheme" "http://a"}}`: "example:8092 /b http",
		`{{.ProvisionerAddress}} {{.ApiHostURL}} {{.CurrentJob}}`:                                          "example https://example:8092 00000000-0000-0000-0000-000000000009",
		`{{$t := "shared.tmpl"}}{{.CallTemplate $t .}}`:                                                    "size=3",
		`{{.Machine.UUID}} {{.Machine.Uuid}}`:                                                              "3e7031fe-3062-45f1-835c-92541bc9cbd3 3e7031fe-3062-45f1-835c-92541bc9cbd3",
		`{{.Machine.Path}} {{.Machine.Url}}`:                                                               "machines/3e7031fe-3062-45f1-835c-92541bc9cbd3 https://example:8091/machines/3e7031fe-3062-45f1-835c-92541bc9cbd3",
		`{{.Machine.HexAddress}} {{.Machine.ShortName}} {{.Machine.HasProfile "mine"}}`:                    "0A000001 node1 true",
		`{{.Machine.MacAddr}} {{.Machine.MacAddr "pxelinux"}} {{.Machine.Params.own}}`:                     "52:54:00:00:00:01 01-52-54-00-00-00-01 value",
		`{{.Env.Name}} {{.Env.OS.FamilyName}} {{.Env.OS.FamilyType}} {{.Env.OS.VersionEq "7"}}`:            "image centos rhel true",
		`{{.Env.PathFor "tftp" .Env.Kernel}} {{.Env.JoinInitrds "http"}}`:                                  "centos-7.3/install/vmlinuz https://example:8091/centos-7.3/install/stage1 https://example:8091/centos-7.3/install/stage2",
		`{{.Env.InstallUrl}} {{.BootParams}}`:                                                              "https://example:8091/centos-7.3/install size=3",
		`{{.Stage.Name}} {{.Task.Name}}`:                                                                   "here job",
	} {
		actions, err := Actions(testSource(shared), taskOf(source), "linux")
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := actions[0].Content; got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

func TestRenderErrorNamesTaskAndTemplate(t *testing.T) {
	bad := &models.Template{ID: "bad.tmpl", Contents: "{{if}}"}
	loop := &models.Template{ID: "loop.tmpl", Contents: `{{template "loop.tmpl" .}}`}
	for source, want := range map[string]string{
		`{{.Param "no/such"}}`:          "no such param no/such",
		`{{`:                            "unclosed action",
		`{{template "bad.tmpl" .}}`:     "missing value for if",
		`{{template "none.tmpl" .}}`:    `"none.tmpl" not defined`,
		`{{template "loop.tmpl" .}}`:    "more than 500 deep",
		`{{fail "stop here"}}`:          "stop here",
		`{{index .Machine.Profiles 9}}`: "out of range",
		`{{.Repos "any"}}`:              "can't evaluate field Repos",
		`{{.Machine.Params.absent}}`:    `no entry for key "absent"`,
		`{{env "HOME"}}`:                `function "env" not defined`,
		`{{.CallTemplate "none" .}}`:    `no template with ID "none"`,
		`{{.ParamCompose "no/such"}}`:   "no such param no/such",
		`{{.ParseUrl "port" "x"}}`:      "expected scheme, host or path",
		`{{.Env.PathFor "ftp" "x"}}`:    "expected protocol tftp or http",
	} {
		_, err := Actions(testSource(bad, loop), taskOf("fine", source), "linux")
		if err == nil {
			t.Errorf("%s: no error", source)
			continue
		}
		for _, part := range []string{"task job", "template t1", want} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %q does not name %q", source, err, part)
			}
		}
	}
}

// A template object that is broken must not stop tasks that do not use it.
func TestBrokenTemplateObjectHarmsItsUsersOnly(t *testing.T) {
	bad := &models.Template{ID: "bad.tmpl", Contents: "{{if}}"}
	if _, err := Actions(testSource(bad), taskOf("fine"), ""); err != nil {
		t.Error(err)
	}
}

func TestRenderPathIDAndOS(t *testing.T) {
	task := &models.Task{Name: "job", Templates: []models.TemplateInfo{
		{Name: "file", Path: "{{.Machine.ShortName}}.conf", ID: "conf.tmpl", Meta: map[string]string{"OS": "linux"}},
		{Name: "other", Contents: "x", Meta: map[string]string{"OS": "windows, darwin"}},
		{Name: "odd", Contents: "[[.Machine.ShortName]] {{", StartDelimiter: "[[", EndDelimiter: "]]", Meta: map[string]string{"OS": "any"}},
	}}
	actions, err := Actions(testSource(&models.Template{ID: "conf.tmpl", Contents: "c"}), task, "linux")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, a := range actions {
		got = append(got, a.Name+"|"+a.Path+"|"+a.Content)
	}
	if want := "file|node1.conf|c odd||node1 {{"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, " "), want)
	}
}

func TestRequiredParamsAreChecked(t *testing.T) {
	task := taskOf("x")
	task.RequiredParams = []string{"cluster/size", "cluster/a", "cluster/b"}
	_, err := Actions(testSource(), task, "")
	if err == nil || !strings.Contains(err.Error(), "task job: missing required params: cluster/a, cluster/b") {
		t.Errorf("got %v", err)
	}
}

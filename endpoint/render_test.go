package endpoint

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// testSource renders for machine "node1" with a few params.
func testSource(templates ...*models.Template) renderSource {
	m := &models.Machine{}
	m.Name = "node1"
	params := map[string]any{"cluster/size": 3.0, "cluster/names": []any{"a", "b"}}
	return renderSource{
		machine:        m,
		templates:      templates,
		apiURL:         "https://example:8092",
		provisionerURL: "https://example:8091",
		param:          func(key string) (any, bool) { v, ok := params[key]; return v, ok },
		machineToken:   func(ttl time.Duration) (string, error) { return "machine-" + ttl.String(), nil },
		profileToken: func(profile string, ttl time.Duration) (string, error) {
			if profile != "mine" {
				return tokenNotOnMachine, fmt.Errorf("%w: no", ErrTokenNotAllowed)
			}
			return profile + "-" + ttl.String(), nil
		},
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
		`{{.Machine.Name}} {{.ApiURL}} {{.ProvisionerURL}}`:    "node1 https://example:8092 https://example:8091",
		`{{.Param "cluster/size"}}`:                            "3",
		`{{.ParamAsJSON "cluster/names"}}`:                     `["a","b"]`,
		`{{.ParamExists "cluster/size"}}{{.ParamExists "no"}}`: "truefalse",
		`{{template "shared.tmpl" .}} {{template "part"}}`:     "size=3 part",
		`{{.GenerateToken}} {{.GenerateInfiniteToken}}`:        "machine-1h0m0s machine-26208h0m0s",
		`{{.GenerateProfileToken "mine" 7200}}`:                "mine-2h0m0s",
		`{{.GenerateProfileToken "other" 7200}}`:               "InvalidTokenNotAllowedNotOnMachine",
		`{{ "x" | upper | repeat 3 }}`:                         "XXX",
	} {
		actions, err := renderActions(testSource(shared), taskOf(source), "linux")
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
		`{{template "loop.tmpl" .}}`:    "exceeded maximum template depth",
		`{{fail "stop here"}}`:          "stop here",
		`{{index .Machine.Profiles 9}}`: "out of range",
	} {
		_, err := renderActions(testSource(bad, loop), taskOf("fine", source), "linux")
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
	if _, err := renderActions(testSource(bad), taskOf("fine"), ""); err != nil {
		t.Error(err)
	}
}

func TestRenderPathIDAndOS(t *testing.T) {
	task := &models.Task{Name: "job", Templates: []models.TemplateInfo{
		{Name: "file", Path: "{{.Machine.Name}}.conf", ID: "conf.tmpl", Meta: map[string]string{"OS": "linux"}},
		{Name: "other", Contents: "x", Meta: map[string]string{"OS": "windows, darwin"}},
		{Name: "odd", Contents: "[[.Machine.Name]] {{", StartDelimiter: "[[", EndDelimiter: "]]", Meta: map[string]string{"OS": "any"}},
	}}
	actions, err := renderActions(testSource(&models.Template{ID: "conf.tmpl", Contents: "c"}), task, "linux")
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
	_, err := renderActions(testSource(), task, "")
	if err == nil || !strings.Contains(err.Error(), "task job: missing required params: cluster/a, cluster/b") {
		t.Errorf("got %v", err)
	}
}

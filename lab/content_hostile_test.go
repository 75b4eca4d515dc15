//go:build linux

package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/render"
)

// evils are texts that a shell which looked into them would act upon.
var evils = []string{
	"-x $(touch evil)`touch evil`a[$(touch evil)]", "';touch evil;'", "\";touch evil;\"\nEOF\ntouch evil\n{{ .Machine.Name }}", "\\'\ntouch evil;'\\",
}

// inert runs a script on a host and checks that nothing of a value was run.
func (h *host) inert(what, script string) string {
	h.t.Helper()
	code, out := h.run(script)
	if ran := os.Remove(filepath.Join(h.root, "evil")) == nil; code > 1 || ran {
		h.t.Errorf("%s: exit %d, and it ran: %v\n%s", what, code, ran, out)
	}
	return out
}

// texts are the params of each task that hold texts of others.
var texts = map[string][]string{
	"muster-install":       {"muster/packages", "muster/fingerprint", "muster/ca", "cluster/profile"},
	"muster-seed":          {"muster/packages", "cluster/filter", "cluster/profile", "muster/seed-arguments"},
	"muster-round":         {"cluster/profile", "muster/fingerprint", "muster/ca"},
	"muster-wait-complete": {"cluster/profile", "muster/fingerprint", "muster/ca"},
	"muster-arrive":        {"muster/arrive"},
	"muster-report":        {"muster/report"},
	"muster-step":          {"muster/step", "muster/step-at-once", "muster/step-command"},
	"utilities":            {"cluster/profile", "muster/packages", "muster/fingerprint", "muster/ca"},
}

func TestHostileValuesAreInert(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	st.script("utilities", `cluster_wait_for_workflow_complete`)
	st.param("muster/timeout", 1)
	h := st.newHost("deb")
	h.pretend("curl", "exit 22")
	h.pretend("words", `for word; do printf '<%s> ' "$word"; done`)
	h.has(filepath.Join(h.bin, "words"))
	for _, evil := range evils {
		for task, keys := range texts {
			for _, key := range keys {
				params := map[string]any{}
				if task == "muster-step" {
					params["muster/step"], params["muster/step-command"] = "upgrade", []string{"true"}
				}
				params[key] = evil
				list := key == "muster/seed-arguments" || key == "muster/step-command"
				if list {
					params[key] = []string{"first", evil}
				}
				script, err := st.render(task, params)
				if err != nil {
					t.Fatal(err)
				}
				if out := h.inert(fmt.Sprintf("%s with %s %q", task, key, evil), script); list && !strings.Contains(out, "<first> <"+evil+">") {
					t.Errorf("%s with %s %q: the word does not come through:\n%s", task, key, evil, out)
				}
			}
		}
	}
}

// DRP lets no machine have such a name; one that did would do no harm.
func TestHostileNamesOfMachinesAreInert(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	h := st.newHost("")
	h.pretend("curl", "exit 22")
	templates := []*models.Template{}
	if err := st.admin.Req().Context(t.Context()).UrlFor("templates").Do(&templates); err != nil {
		t.Fatal(err)
	}
	for _, evil := range evils {
		m := &models.Machine{}
		m.Name = evil
		if err := st.admin.CreateModel(m); err == nil {
			t.Errorf("a machine may be called %q", evil)
		}
		task := &models.Task{Name: "muster-seed"}
		task.Templates = []models.TemplateInfo{{Name: "seed", ID: "muster-seed.sh.tmpl"}}
		actions, err := render.Actions(render.Source{
			Job: &models.Job{}, Machine: m, Templates: templates, APIURL: st.server.URL(), ProvisionerURL: st.server.URL(),
			Param: func(key string) (any, bool) {
				value, ok := map[string]any{
					"muster/packages": "", "muster/ca": "", "muster/fingerprint": "", "muster/timeout": 1, "muster/park-on-timeout": false, "muster/seed-arguments": []any{},
				}[key]
				return value, ok
			},
		}, task, "")
		if err != nil {
			t.Fatal(err)
		}
		h.inert(fmt.Sprintf("a machine called %q", evil), actions[0].Content)
	}
}

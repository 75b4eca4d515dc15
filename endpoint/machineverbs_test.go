package endpoint

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/render"
)

// text sends a request and returns the answer as it is.
func (b *bench) text(method, path, body string, headers ...string) (int, string) {
	b.t.Helper()
	resp := b.call(b.t, b.token, method, path, body, headers...)
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func TestStartBeginsTheSameWorkflowAnew(t *testing.T) {
	b := newBench(t)
	b.token = userToken(t, b.Server)
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	b.finish(b.next(http.StatusCreated))
	b.next(http.StatusCreated)
	start := `[{"op":"test","path":"/Runnable","value":false},{"op":"replace","path":"/Runnable","value":true},
		{"op":"test","path":"/Workflow","value":""},{"op":"replace","path":"/Workflow","value":"short"}]`
	m := &models.Machine{}
	if got := b.ask("PATCH", "/machines/"+b.m.Key()+"/start", start, m); got != http.StatusOK || m.CurrentTask != -1 || !m.Runnable || m.Workflow != "short" {
		t.Errorf("got %d: %s at %d, runnable %v", got, m.Workflow, m.CurrentTask, m.Runnable)
	}
	var e models.Error
	if got := b.ask("PATCH", "/machines/"+b.m.Key()+"/start", `[{"op":"test","path":"/Workflow","value":"short"}]`, &e); got != http.StatusConflict {
		t.Errorf("failing test: got %d", got)
	}
	if got := b.ask("DELETE", "/machines/"+b.m.Key()+"/cleanup", "", m); got != http.StatusOK {
		t.Errorf("cleanup: got %d", got)
	}
	if got := b.ask("GET", "/machines/"+b.m.Key(), "", &e); got != http.StatusNotFound {
		t.Errorf("after cleanup: got %d", got)
	}
}

func TestTextIsRenderedForAMachine(t *testing.T) {
	b := newBench(t)
	b.putAll(t, &models.Template{ID: "hello.tmpl", Contents: "hello {{.Machine.Name}}"})
	render := "/machines/" + b.m.Key() + "/render"
	if status, got := b.text("POST", render, `{{template "hello.tmpl" .}}!`); status != http.StatusOK || got != "hello node1!" {
		t.Errorf("got %d %q", status, got)
	}
	if status, got := b.text("POST", render, `{{.Nonsense}}`); status != http.StatusUnprocessableEntity || !strings.Contains(got, "Nonsense") {
		t.Errorf("bad template: got %d %q", status, got)
	}
	b.token = userToken(t, b.Server)
	if status, got := b.text("GET", "/templates/hello.tmpl/render/Name:node1", ""); status != http.StatusOK || got != "hello node1" {
		t.Errorf("template: got %d %q", status, got)
	}
	if status, _ := b.text("GET", "/templates/none/render/Name:node1", ""); status != http.StatusNotFound {
		t.Errorf("no template: got %d", status)
	}
}

// Templates get what a secure param holds; the API does not show it.
func TestSecureParamIsOpenedForTemplates(t *testing.T) {
	b := newBench(t)
	b.putAll(t, &models.Param{Name: "secret", Secure: true, Schema: map[string]any{"type": "string"}},
		&models.Task{Name: "t1", Templates: []models.TemplateInfo{{Name: "script", Contents: `{{.Param "secret"}} {{.ParamAsJSON "secret"}} {{.ParamCompose "secret"}}`}}})
	var key []byte
	if got := b.ask("GET", "/machines/"+b.m.Key()+"/pubkey", "", &key); got != http.StatusOK {
		t.Fatalf("pubkey: got %d", got)
	}
	sealed := &models.SecureData{}
	if err := sealed.Marshal(key, "open sesame"); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if status, got := b.text("POST", "/machines/"+b.m.Key()+"/params/secret", string(raw)); status != http.StatusOK {
		t.Fatalf("set: got %d %s", status, got)
	}
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	status, got := b.text("GET", "/jobs/"+b.next(http.StatusCreated).Key()+"/actions", "")
	if status != http.StatusOK || !strings.Contains(got, `open sesame \"open sesame\" open sesame`) {
		t.Errorf("got %d %s", status, got)
	}
	if _, got := b.text("GET", "/machines/"+b.m.Key(), ""); strings.Contains(got, "sesame") {
		t.Errorf("the machine shows %s", got)
	}
}

// A client that may see a machine but not its secrets cannot render them.
func TestRenderingNeedsThePowersOfATemplate(t *testing.T) {
	b := newBench(t)
	b.putAll(t, models.MakeRole("reader", "machines,templates", "get,list,update", "*"), &models.User{Name: "reader", Roles: []string{"reader"}})
	var err error
	if b.token, err = b.UserToken("reader", time.Hour); err != nil {
		t.Fatal(err)
	}
	if status, _ := b.text("POST", "/machines/"+b.m.Key()+"/render", `{{.GenerateToken}}`); status != http.StatusForbidden {
		t.Errorf("got %d, want 403", status)
	}
}

func TestWorkOrdersAreRefused(t *testing.T) {
	b := newBench(t)
	var e models.Error
	if got := b.ask("POST", "/machines/"+b.m.Key()+"/pick/agent01", "{}", &e); got != http.StatusUnprocessableEntity || !strings.Contains(e.Error(), "Work orders") {
		t.Errorf("pick: got %d %v", got, e)
	}
	if got := b.ask("PATCH", "/machines/"+b.m.Key(), `[{"op":"replace","path":"/WorkOrderMode","value":true}]`, &e); got != http.StatusUnprocessableEntity {
		t.Errorf("mode: got %d %v", got, e)
	}
	b.token = userToken(t, b.Server)
	for _, prefix := range []string{"work_orders", "batches"} {
		if got := b.ask("POST", "/"+prefix, "{}", &e); got != http.StatusUnprocessableEntity || e.Type != "ValidationError" || len(e.Messages) == 0 {
			t.Errorf("%s: got %d %v", prefix, got, e)
		}
	}
}

// So a client follows a log: it asks for what is behind what it has.
func TestJobLogInParts(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	log := "/jobs/" + b.next(http.StatusCreated).Key() + "/log"
	b.text("PUT", log, "0123456789")
	if status, got := b.text("GET", log, "", "Range", "bytes=4-6"); status != http.StatusPartialContent || got != "456" {
		t.Errorf("got %d %q", status, got)
	}
	if status, got := b.text("GET", log, "", "Range", "bytes=10-16"); status != http.StatusRequestedRangeNotSatisfiable || !strings.Contains(got, "failed to overlap") {
		t.Errorf("behind the end: got %d %q", status, got)
	}
}

func TestJobsAreDeleted(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	j := b.next(http.StatusCreated)
	b.text("PUT", "/jobs/"+j.Key()+"/log", "text")
	b.token = userToken(t, b.Server)
	var answer json.RawMessage
	if got := b.ask("DELETE", "/jobs/"+j.Key(), "", &answer); got != http.StatusOK {
		t.Errorf("got %d", got)
	}
	for _, path := range []string{"", "/log", "/actions"} {
		if status, _ := b.text("GET", "/jobs/"+j.Key()+path, ""); status != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, status)
		}
	}
	// The machine goes on as if its job had failed.
	if again := b.next(http.StatusCreated); again.Task != "t1" || again.Previous.String() != j.Key() {
		t.Errorf("got %+v", again)
	}
}

// DRP's infinite token of a machine ends after three years, and a profile's after 63.
func TestRenderedTokensLiveAsLongAsOnDRP(t *testing.T) {
	s, _ := workServer(t, "")
	m := newMachineNamed("node1", "some")
	s.putAll(t, &models.Profile{Name: "some"}, m)
	src := render.Source{}
	err := s.store.view(func(t *tx) (err error) {
		key := t.find("machines", "Name:node1").head.(*models.Machine).Uuid
		src, err = s.renderSource(t, &models.Job{Machine: key})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for call, want := range map[string]time.Duration{
		`{{.GenerateToken}}`:                             time.Hour,
		`{{.GenerateInfiniteToken}}`:                     1092 * 24 * time.Hour,
		`{{.GenerateProfileToken "some" 60}}`:            time.Minute,
		`{{.GenerateProfileToken "some" 0}}`:             2_000_000_000 * time.Second,
		`{{.GenerateProfileToken "some" 9999999999999}}`: 2_000_000_000 * time.Second,
	} {
		before := time.Now()
		token, err := render.One(src, models.TemplateInfo{Name: "t", Contents: call})
		if err != nil {
			t.Fatal(err)
		}
		g, ok := s.tokens.open(token)
		expires := time.Unix(g.Expires, 0)
		if !ok || expires.Before(before.Add(want-time.Second)) || expires.After(time.Now().Add(want+time.Second)) {
			t.Errorf("%s: opens %v, lives %s, want %s", call, ok, expires.Sub(before), want)
		}
	}
	refused, err := render.One(src, models.TemplateInfo{Name: "t", Contents: `{{.GenerateProfileToken "global" 60}}`})
	if err != nil || refused != tokenNotOnMachine {
		t.Errorf("a profile that the machine does not carry: %q, %v", refused, err)
	}
}

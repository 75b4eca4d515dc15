//go:build unix

package lab_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pborman/uuid"
	"gitlab.com/rackn/provision/v4/models"

	"muster/lab"
)

func TestRunnerCompletesWorkflow(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat"+compat, func(t *testing.T) {
			st := newSite(t, compat)
			st.workflow([]string{"echo one", "echo two"}, []string{"echo three", "echo four of {{.Machine.Name}}"})
			m := st.machine("node1")
			st.runner(m)
			st.await(m, func(m *models.Machine) bool { return m.CurrentTask >= len(m.Tasks) })
			if compat == "" && !m.WorkflowComplete {
				t.Error("WorkflowComplete is false after the last task")
			}
			if m.Stage != "s2" || !m.Runnable {
				t.Errorf("got stage %s, runnable %v; want s2, true", m.Stage, m.Runnable)
			}
			jobs, _ := st.jobs(m)
			for task, line := range map[string]string{"s1-1": "one", "s1-2": "two", "s2-1": "three", "s2-2": "four of node1"} {
				if j := jobs[task]; j == nil || j.State != models.JOB_FINISHED || j.ExitState != models.JOB_COMPLETE {
					t.Errorf("job of %s: got %+v", task, j)
				}
				st.awaitLog(m, task, "\n"+line+"\n")
			}
		})
	}
}

func TestFailedTaskStopsTheMachineUntilItIsRunnableAgain(t *testing.T) {
	st := newSite(t, "")
	mark := filepath.Join(t.TempDir(), "mended")
	st.workflow([]string{"echo first"}, []string{"test -e " + mark + " || { echo broken; exit 1; }"})
	m := st.machine("node1")
	st.runner(m)
	st.await(m, failed)
	if m.WorkflowComplete || m.Tasks[m.CurrentTask] != "s2-1" || m.JobExitState != models.JOB_FAILED {
		t.Errorf("got complete %v at %d, exit state %q", m.WorkflowComplete, m.CurrentTask, m.JobExitState)
	}
	st.awaitLog(m, "s2-1", "\nbroken\n")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	st.patch(m, func(m *models.Machine) { m.Runnable = true })
	st.await(m, complete)
	if jobs, _ := st.jobs(m); jobs["s2-1"].State != models.JOB_FINISHED || jobs["s1-1"].Previous.String() != uuid.NIL.String() {
		t.Errorf("got %+v, and the first task after %q", jobs["s2-1"], jobs["s1-1"].Previous)
	}
}

func TestTemplateErrorFailsTheJob(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{`echo {{.Param "no/such"}}`})
	m := st.machine("node1")
	st.runner(m)
	st.await(m, failed)
	if m.WorkflowComplete {
		t.Error("WorkflowComplete is true")
	}
	st.awaitLog(m, "s1-1", "task s1-1: template script:")
	st.awaitLog(m, "s1-1", "no such param no/such")
	st.create(&models.Param{Name: "no/such", Schema: map[string]any{"type": "string", "default": "found"}})
	st.patch(m, func(m *models.Machine) { m.Runnable = true })
	st.await(m, complete)
	st.awaitLog(m, "s1-1", "\nfound\n")
}

// A task gets what its template asks for: a token that opens the profile, values
// of the profile, and the text of a template object.
func TestTaskReceivesTokenAndValues(t *testing.T) {
	st := newSite(t, "")
	profile := &models.Profile{Name: "cluster"}
	profile.Params = map[string]any{"greeting": "hello"}
	st.create(profile, &models.Template{ID: "say.tmpl", Contents: `echo "says {{.Param "greeting"}}"`})
	out := filepath.Join(t.TempDir(), "token")
	st.workflow([]string{`{{template "say.tmpl" .}}
printf %s '{{.GenerateProfileToken "cluster" 600}}' > ` + out + `
echo '{{.GenerateProfileToken "global" 600}}'
test "$RS_ENDPOINT" = '{{.ApiURL}}' && test "$RS_UUID" = '{{.Machine.Uuid}}' && test -n "$RS_TOKEN"`})
	m := st.machine("node1", "cluster")
	st.runner(m)
	st.await(m, complete)
	st.awaitLog(m, "s1-1", "\nsays hello\n")
	st.awaitLog(m, "s1-1", "\nInvalidTokenNotAllowedNotOnMachine\n")
	token, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := &models.Profile{}
	if err := st.session(string(token)).Req().Context(t.Context()).UrlFor("profiles", "cluster").Do(got); err != nil || got.Params["greeting"] != "hello" {
		t.Errorf("with the rendered token: got %v, %v", got.Params, err)
	}
}

// A task with ExtraClaims has a token of its own, for as long as its job lasts.
func TestJobTokenHasExtraClaimsWhileTheJobLasts(t *testing.T) {
	st := newSite(t, "")
	dir := t.TempDir()
	out, done := filepath.Join(dir, "token"), filepath.Join(dir, "done")
	st.workflow([]string{"printf %s $RS_TOKEN > " + out + ".new; mv " + out + ".new " + out + `
for i in $(seq 600); do test -e ` + done + " && exit 0; sleep 0.1; done; exit 1"})
	task := &models.Task{Name: "s1-1"}
	if err := st.admin.FillModel(task, "s1-1"); err != nil {
		t.Fatal(err)
	}
	task.ExtraClaims = []*models.Claim{{Scope: "profiles", Action: "list,get", Specific: "*"}}
	if err := st.admin.PutModel(task); err != nil {
		t.Fatal(err)
	}
	m := st.machine("node1")
	st.runner(m)
	var token []byte
	st.until(func() string { return "no token" }, func() bool {
		token, _ = os.ReadFile(out)
		return len(token) > 0
	})
	global := func() error {
		return st.session(string(token)).Req().Context(t.Context()).UrlFor("profiles", "global").Do(&models.Profile{})
	}
	if err := global(); err != nil {
		t.Errorf("while the job runs: %v", err)
	}
	if jobs, _ := st.jobs(m); jobs["s1-1"].Token != "" {
		t.Error("others can read the job's token")
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	st.await(m, complete)
	if e, ok := errors.AsType[*models.Error](global()); !ok || e.Code != http.StatusForbidden {
		t.Errorf("after the job: got %v, want 403", e)
	}
}

func TestTwentyMachinesAtOnce(t *testing.T) {
	began := time.Now()
	st := newSite(t, "")
	st.workflow([]string{"echo a", "echo b"}, []string{"echo c"})
	machines := []*models.Machine{}
	for i := range 20 {
		m := st.machine(fmt.Sprintf("node%d", i))
		st.runner(m)
		machines = append(machines, m)
	}
	for _, m := range machines {
		st.await(m, complete)
		if jobs, _ := st.jobs(m); len(jobs) != 3 {
			t.Errorf("%s: got %d jobs, want 3", m.Name, len(jobs))
		}
	}
	t.Logf("%d machines, 3 tasks each: %s", len(machines), time.Since(began).Round(time.Millisecond))
	// Another round: what woke the runners once wakes them again.
	for _, m := range machines {
		st.patch(m, func(m *models.Machine) { m.CurrentTask = -1 })
	}
	for _, m := range machines {
		st.await(m, complete)
	}
}

// A runner that is told to end while a task runs ends the task, says so, and
// ends itself.
func TestStopWhileATaskRuns(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{"echo started; sleep 600; echo over"})
	m := st.machine("node1")
	t.Run("run", func(t *testing.T) {
		inner := *st
		inner.t = t
		inner.runner(m)
		inner.awaitLog(m, "s1-1", "\nstarted\n")
	})
	st.read(m)
	if m.Runnable || m.JobState != models.JOB_INCOMPLETE {
		t.Errorf("got runnable %v, job state %q; want false, incomplete", m.Runnable, m.JobState)
	}
}

// A runner that comes back after a crash fails the job that it finds, and goes on
// with the same task when the machine is runnable again.
func TestRunnerComesBackAfterACrash(t *testing.T) {
	st := newSite(t, "")
	mark := filepath.Join(t.TempDir(), "second")
	st.workflow([]string{"test -e " + mark + " || { echo started; sleep 600; }"})
	m := st.machine("node1")
	first := st.start(m)
	st.awaitLog(m, "s1-1", "\nstarted\n")
	first.kill()
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	st.runner(m)
	st.await(m, failed)
	st.patch(m, func(m *models.Machine) { m.Runnable = true })
	st.await(m, complete)
}

// A task that asks for a reboot ends the runner, as it ends the machine; the next
// runner goes on.
func TestRebootEndsTheRunner(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{"exit 64", "echo again"})
	m := st.machine("node1")
	p := st.start(m)
	if err := p.wait(); err != nil {
		t.Errorf("runner: %v\n%s", err, p.out)
	}
	st.read(m)
	if m.Runnable || m.JobExitState != models.JOB_REBOOT || m.WorkflowComplete {
		t.Errorf("got runnable %v, exit state %q, complete %v", m.Runnable, m.JobExitState, m.WorkflowComplete)
	}
	st.patch(m, func(m *models.Machine) { m.Runnable = true })
	st.runner(m)
	st.await(m, complete)
}

// So does a stage that needs another boot environment.
func TestNewBootEnvEndsTheRunner(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{"echo one"}, []string{"echo two"})
	st.create(&models.BootEnv{Name: "other"})
	if err := st.admin.PutModel(&models.Stage{Name: "s2", Tasks: []string{"s2-1"}, BootEnv: "other"}); err != nil {
		t.Fatal(err)
	}
	m := st.machine("node1")
	p := st.start(m)
	if err := p.wait(); err != nil {
		t.Errorf("runner: %v\n%s", err, p.out)
	}
	st.read(m)
	if m.Runnable || m.BootEnv != "other" || m.Stage != "s2" || m.WorkflowComplete {
		t.Errorf("got runnable %v, %s in %s, complete %v", m.Runnable, m.Stage, m.BootEnv, m.WorkflowComplete)
	}
	st.patch(m, func(m *models.Machine) { m.Runnable = true })
	st.runner(m)
	st.await(m, complete)
}

// What cannot work is reported, quickly and without a panic.
func TestRunnerThatCannotStart(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{"true"})
	m := st.machine("node1")
	for _, name := range []string{"RS_RUNNER_DIR", "SSL_CERT_FILE", "RS_LOCAL_PROXY"} {
		t.Setenv(name, "") // so that what the runner sets ends with the test
	}
	good := lab.RunnerConfig{
		Endpoint: st.server.URL(), Machine: m.Key(), Token: "nonsense", CAFile: st.ca,
		Dir: t.TempDir(), Log: &output{},
	}
	for name, spoil := range map[string]func(*lab.RunnerConfig){
		"no machine": func(c *lab.RunnerConfig) { c.Machine = "" },
		"bad token":  func(*lab.RunnerConfig) {},
		"no CA file": func(c *lab.RunnerConfig) { c.CAFile = filepath.Join(t.TempDir(), "none") },
		"long path":  func(c *lab.RunnerConfig) { c.Dir = filepath.Join(t.TempDir(), strings.Repeat("x", 100)) },
	} {
		cfg := good
		spoil(&cfg)
		if err := lab.RunRunner(t.Context(), cfg); err == nil || !strings.HasPrefix(err.Error(), "runner: ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

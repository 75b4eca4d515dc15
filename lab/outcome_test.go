//go:build unix

package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/rackn/provision/v4/models"
)

// once is a script that ends with a code the first time that a machine runs it, and
// well the second time.
func once(dir string) string {
	return "test -e " + dir + "/$RS_UUID && exit 0\ntouch " + dir + "/$RS_UUID\nexit {{.Param \"code\"}}"
}

// machineWith creates a machine with params, and without work.
func (st *site) machineWith(name string, params map[string]any) *models.Machine {
	st.t.Helper()
	m := &models.Machine{}
	m.Name, m.Params = name, params
	st.create(m)
	return m
}

// Each exit code of a task has its outcome: for the job, for the machine and for
// the runner. Whatever is not the plain end of a task stops the machine until
// somebody says that it is runnable again.
func TestOutcomesOfExitCodes(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{once(t.TempDir())}, []string{"echo after"})
	type outcome struct {
		state, exit string
		ends, again bool // the runner ends; the same job goes on afterwards
	}
	outcomes := map[string]outcome{
		"1":   {models.JOB_FAILED, models.JOB_FAILED, false, false},
		"7":   {models.JOB_FAILED, models.JOB_FAILED, false, false},
		"16":  {models.JOB_FINISHED, models.JOB_STOP, true, false},
		"32":  {models.JOB_FINISHED, models.JOB_POWEROFF, true, false},
		"64":  {models.JOB_FINISHED, models.JOB_REBOOT, true, false},
		"128": {models.JOB_INCOMPLETE, models.JOB_COMPLETE, false, true},
		"144": {models.JOB_INCOMPLETE, models.JOB_STOP, true, true},
		"160": {models.JOB_INCOMPLETE, models.JOB_POWEROFF, true, true},
		"192": {models.JOB_INCOMPLETE, models.JOB_REBOOT, true, true},
	}
	machines, runners := map[string]*models.Machine{}, map[string]*process{}
	for code := range outcomes {
		m := st.machineWith("exits-with-"+code, map[string]any{"code": code})
		st.patch(m, func(m *models.Machine) { m.Workflow = "work" })
		machines[code], runners[code] = m, st.start(m)
	}
	for code, want := range outcomes {
		m := machines[code]
		st.await(m, func(m *models.Machine) bool { return !m.Runnable && m.JobState == want.state })
		if m.JobExitState != want.exit || m.WorkflowComplete || m.CurrentTask != 1 {
			t.Errorf("%s: got exit state %q, complete %v at %d", code, m.JobExitState, m.WorkflowComplete, m.CurrentTask)
		}
		first := m.CurrentJob.String()
		if want.ends {
			if err := runners[code].wait(); err != nil {
				t.Errorf("%s: runner: %v\n%s", code, err, runners[code].out)
			}
			st.start(m)
		}
		st.patch(m, func(m *models.Machine) { m.Runnable = true })
		st.await(m, complete)
		jobs, _ := st.jobs(m)
		if same := jobs["s1-1"].Key() == first; same != (want.again || want.state == models.JOB_FINISHED) {
			t.Errorf("%s: same job again is %v", code, same)
		}
		if jobs["s1-1"].State != models.JOB_FINISHED || jobs["s2-1"].State != models.JOB_FINISHED {
			t.Errorf("%s: got %s and %s", code, jobs["s1-1"].State, jobs["s2-1"].State)
		}
	}
}

// The params for retries and for error handlers need nobody's help.
func TestRunnerRetriesAndHandlesErrors(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{once(t.TempDir())})
	help := &models.Task{Name: "help", Templates: []models.TemplateInfo{{Name: "script", Contents: "#!/bin/sh\necho helped"}}}
	st.create(help)
	for name, params := range map[string]map[string]any{
		"retries": {"code": 1, "task-retry": map[string]any{"s1-1": 1}},
		"handles": {"code": 1, "task-error-handlers": map[string]any{"s1-1": []string{"help"}}},
	} {
		m := st.machineWith(name, params)
		st.patch(m, func(m *models.Machine) { m.Workflow = "work" })
		st.runner(m)
		st.await(m, complete)
		if name == "handles" {
			st.awaitLog(m, "help", "\nhelped\n")
		}
	}
}

// Scripts find what they need for the API in their environment.
func TestScriptsReachTheEndpointByCurl(t *testing.T) {
	st := newSite(t, "")
	get := `curl -sf --cacert "$SSL_CERT_FILE" -H "Authorization: Bearer $RS_TOKEN" "$RS_ENDPOINT/api/v3/`
	st.workflow([]string{"set -e\n" +
		get + `machines/$RS_UUID" | grep -q '"Name":"node1"'` + "\n" +
		get + `jobs/$RS_JOB_UUID" | grep -q '"State":"running"'` + "\n" +
		get + `machines/$RS_UUID/params/answer" -X POST -H "Content-Type: application/json" -d 42` + "\n" +
		"test -d \"$RS_TASK_DIR\" && test -d \"$RS_RUNNER_DIR\"\necho reached"})
	m := st.machine("node1")
	st.runner(m)
	st.await(m, complete)
	st.awaitLog(m, "s1-1", "reached\n")
	if m.Params["answer"] != 42.0 {
		t.Errorf("got %v", m.Params)
	}
}

// A runner whose connections are cut finds its way back to its machine.
func TestRunnerComesBackAfterLostConnections(t *testing.T) {
	st := newSite(t, "")
	dir := t.TempDir()
	st.workflow([]string{"echo one; touch " + dir + "/$RS_UUID"}, []string{"echo two"})
	m := st.machine("node1")
	st.runner(m)
	st.await(m, complete)
	if err := st.server.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	st.login() // the old session may send its next request before it sees that its connection was cut
	st.patch(m, func(m *models.Machine) { m.CurrentTask = -1 })
	st.await(m, complete)
	if _, err := os.Stat(filepath.Join(dir, m.Key())); err != nil || strings.Contains(m.JobState, "failed") {
		t.Errorf("got %v, job state %s", err, m.JobState)
	}
}

// The tasks of a cluster run in its context, where they can edit what its members
// share; those of another context are left alone.
func TestClusterTasksRunInTheirContext(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{`curl -sf --cacert "$SSL_CERT_FILE" -H "Authorization: Bearer $RS_TOKEN" ` +
		`"$RS_ENDPOINT/api/v3/profiles/{{.Machine.Name}}/params/cluster/step" -X POST -H "Content-Type: application/json" -d 7`})
	task := &models.Task{}
	if err := st.admin.FillModel(task, "s1-1"); err != nil {
		t.Fatal(err)
	}
	task.ExtraClaims = []*models.Claim{{Scope: "profiles", Action: "get,update", Specific: "*"}}
	if err := st.admin.PutModel(task); err != nil {
		t.Fatal(err)
	}
	made := &models.Cluster{}
	made.Name, made.Workflow = "blue", "work"
	if err := st.admin.Req().Context(t.Context()).Post(made).UrlFor("clusters").Do(made); err != nil {
		t.Fatal(err)
	}
	m := &made.Machine
	st.start(m) // of no context: waits
	p := st.start(m, "TEST_CONTEXT="+made.Context)
	st.await(m, complete)
	profile := &models.Profile{}
	if err := st.admin.FillModel(profile, "blue"); err != nil || profile.Params["cluster/step"] != 7.0 {
		t.Errorf("got %v, %v", profile.Params, err)
	}
	if !strings.Contains(p.out.String(), "Task s1-1 finished") {
		t.Errorf("the runner of the context did not run the task:\n%s", p.out)
	}
}

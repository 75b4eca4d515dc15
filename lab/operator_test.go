//go:build unix

package lab_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
	"muster/lab"
)

func (st *site) operator() *lab.Operator {
	st.t.Helper()
	o, err := lab.NewOperator(lab.OperatorConfig{Endpoint: st.server.URL(), CAFile: st.ca})
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(o.Close)
	return o
}

// job asks for the machine's next job and moves it through states.
func (st *site) job(m *models.Machine, states ...string) *models.Job {
	st.t.Helper()
	job := &models.Job{}
	job.Machine = m.Uuid
	st.create(job)
	for _, state := range states {
		to := models.Clone(job).(*models.Job)
		to.State = state
		if err := st.admin.Req().Context(st.t.Context()).PatchTo(job, to).Do(job); err != nil {
			st.t.Fatal(err)
		}
	}
	return job
}

func TestJobUnderWayIsTakenOverByHand(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		st := newSite(t, compat)
		st.workflow([]string{"exit 1", "exit 1"}, []string{"exit 1"})
		o := st.operator()
		for name, states := range map[string][]string{
			"created": nil, "running": {models.JOB_RUNNING}, "finished": {models.JOB_RUNNING, models.JOB_FINISHED},
		} {
			m := st.machine(name)
			st.job(m, states...)
			got, err := o.CompleteWorkflow(t.Context(), name)
			if err != nil || got.State != "complete" || got.Task != got.Tasks || got.Tasks != 5 {
				t.Errorf("%q, %s: got %+v, %v", compat, name, got, err)
			}
			jobs, _ := st.jobs(m)
			for _, task := range []string{"s1-1", "s1-2", "s2-1"} {
				if jobs[task] == nil || jobs[task].State != models.JOB_FINISHED {
					t.Errorf("%q, %s: the job of %s is %+v", compat, name, task, jobs[task])
				}
			}
		}
	}
}

func TestIncompleteJobIsCompletedByHand(t *testing.T) {
	st := newSite(t, "")
	st.workflow([]string{"exit 128"})
	m := st.machine("node-01")
	job := st.job(m, models.JOB_RUNNING, models.JOB_INCOMPLETE)
	if got, err := st.operator().CompleteWorkflow(t.Context(), m.Key()); err != nil || got.State != "complete" {
		t.Errorf("got %+v, %v", got, err)
	}
	if jobs, _ := st.jobs(m); jobs["s1-1"].Key() != job.Key() || jobs["s1-1"].State != models.JOB_FINISHED {
		t.Errorf("the job is %+v", jobs["s1-1"])
	}
}

// At a stage with another boot environment a machine stops, and a runner asks again
// once it has booted.
func TestMachineBootsByHand(t *testing.T) {
	st := newSite(t, "")
	st.create(
		&models.Task{Name: "t1"}, &models.Task{Name: "t2"},
		&models.Stage{Name: "here", Tasks: []string{"t1"}},
		&models.Stage{Name: "there", BootEnv: "sledgehammer", Tasks: []string{"t2"}},
		&models.Workflow{Name: "work", Stages: []string{"here", "there"}},
	)
	m := st.machine("node-01")
	if got, err := st.operator().CompleteWorkflow(t.Context(), "node-01"); err != nil || got.State != "complete" {
		t.Errorf("got %+v, %v", got, err)
	}
	if st.read(m); m.BootEnv != "sledgehammer" || !m.Runnable || !m.WorkflowComplete {
		t.Errorf("the machine is in %s, runnable %v, complete %v", m.BootEnv, m.Runnable, m.WorkflowComplete)
	}
}

func TestFailureByHandIsThatOfARunner(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		st := newSite(t, compat)
		st.workflow([]string{"", ""})
		m := st.machine("node-01")
		if _, err := st.operator().FailWorkflow(t.Context(), "node-01", "disk is full"); err != nil {
			t.Fatal(err)
		}
		jobs, logs := st.jobs(m)
		if st.read(m); m.Runnable || jobs["s1-1"].State != models.JOB_FAILED || jobs["s1-1"].ExitState != "failed" || logs["s1-1"] != "disk is full\n" {
			t.Errorf("%q: runnable %v, the job is %+v, its log %q", compat, m.Runnable, jobs["s1-1"], logs["s1-1"])
		}
		if st.read(m); compat == "" && !failed(m) {
			t.Errorf("the machine is %+v", m)
		}
	}
}

// A workflow by hand and one by DRP's own runner end in the same way.
func TestWorkflowStartedByHandIsRunByARunner(t *testing.T) {
	st := newSite(t, "")
	o := st.operator()
	if err := o.AddWorkflow(t.Context(), "try", "one", "two"); err != nil {
		t.Fatal(err)
	}
	added, err := o.AddMachine(t.Context(), "node-01", "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &models.Machine{}
	if err := st.admin.FillModel(m, added.UUID); err != nil {
		t.Fatal(err)
	}
	if _, err := o.StartWorkflow(t.Context(), "try", "node-01"); err != nil {
		t.Fatal(err)
	}
	st.runner(m)
	st.await(m, complete)
	if jobs, _ := st.jobs(m); len(jobs) != 2 {
		t.Errorf("the jobs are %v", jobs)
	}
}

func TestOperatorShowsNoTokenAndFollowsNoRedirect(t *testing.T) {
	const token = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
	asked := 0
	drp := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if strings.HasSuffix(r.URL.Path, "/users/x/token") {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"Model":"system","Messages":["Invalid Token :","%s"],"Code":403}`, token)
	}))
	defer drp.Close()
	o, err := lab.NewOperator(lab.OperatorConfig{Endpoint: drp.URL, User: endpoint.DefaultUser, Password: endpoint.DefaultPassword})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := o.Machines(t.Context()); err == nil || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "Invalid Token") {
		t.Errorf("got %v", err)
	}
	if _, err := o.UserToken(t.Context(), "x", 1); err == nil || asked != 2 {
		t.Errorf("got %v after %d requests", err, asked)
	}
}

package endpoint

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// bench is an endpoint with one machine, whose runner is the test.
type bench struct {
	*Server
	t     *testing.T
	m     *models.Machine
	token string
}

// newBench stores stages aa (tasks t1, t2) and bb (t3, in boot environment
// other), a workflow of aa and one of both, and a machine without work.
func newBench(t *testing.T) *bench {
	t.Helper()
	s, _ := workServer(t, "")
	m := newMachineNamed("node1")
	objects := []models.Model{}
	for _, name := range []string{"t1", "t2", "t3"} {
		objects = append(objects, &models.Task{Name: name, Templates: []models.TemplateInfo{{Name: "script", Contents: "{{.Machine.Name}}"}}})
	}
	aa, bb := &models.Stage{Name: "aa", Tasks: []string{"t1", "t2"}}, &models.Stage{Name: "bb", Tasks: []string{"t3"}, BootEnv: "other"}
	s.putAll(t, append(objects, &models.BootEnv{Name: "other"}, aa, bb, &models.Workflow{Name: "short", Stages: []string{"aa"}},
		&models.Workflow{Name: "long", Stages: []string{"aa", "bb"}}, m)...)
	token, err := s.MachineToken(m.Key(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{s, t, m, token}
}

// machine returns the machine as stored, after setting what change sets.
func (b *bench) machine(change func(*models.Machine)) (m *models.Machine, err error) {
	b.t.Helper()
	err = b.store.update("user:test", func(t *tx) error {
		if change != nil {
			obj, _ := t.get("machines", b.m.Key())
			change(obj.(*models.Machine))
			if err := t.put(obj); err != nil {
				return err
			}
		}
		obj, _ := t.get("machines", b.m.Key())
		m = obj.(*models.Machine)
		return nil
	})
	return m, err
}

func (b *bench) set(change func(*models.Machine)) *models.Machine {
	b.t.Helper()
	m, err := b.machine(change)
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// ask sends a request as the machine and decodes the answer.
func (b *bench) ask(method, path, body string, answer any) int {
	b.t.Helper()
	resp := b.call(b.t, b.token, method, path, body)
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, answer); err != nil {
			b.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	return resp.StatusCode
}

// next asks for the next job.
func (b *bench) next(want int) *models.Job {
	b.t.Helper()
	var answer struct {
		models.Job
		Messages []string
	}
	if got := b.ask("POST", "/jobs", fmt.Sprintf(`{"Machine":%q,"Context":""}`, b.m.Key()), &answer); got != want {
		b.t.Fatalf("POST /jobs: got %d %v, want %d", got, answer.Messages, want)
	}
	return &answer.Job
}

// move changes the state of a job as the runner does.
func (b *bench) move(j *models.Job, state, exit string, want int) {
	b.t.Helper()
	patch := fmt.Sprintf(`[{"op":"replace","path":"/State","value":%q},{"op":"replace","path":"/ExitState","value":%q}]`, state, exit)
	var answer json.RawMessage
	if got := b.ask("PATCH", "/jobs/"+j.Key(), patch, &answer); got != want {
		b.t.Fatalf("job to %s: got %d %s, want %d", state, got, answer, want)
	}
}

func (b *bench) finish(j *models.Job) {
	b.t.Helper()
	b.move(j, models.JOB_RUNNING, "", http.StatusOK)
	b.move(j, models.JOB_FINISHED, models.JOB_COMPLETE, http.StatusOK)
}

func TestNewMachineIsIdle(t *testing.T) {
	m := newBench(t).set(nil)
	if !m.Runnable || !m.WorkflowComplete || m.CurrentTask != 0 || m.Stage != "none" || m.BootEnv != "local" || !m.HasFeature("change-stage-v2") {
		t.Errorf("got %+v", m)
	}
}

func TestWorkflowExpandsAndClears(t *testing.T) {
	b := newBench(t)
	m := b.set(func(m *models.Machine) { m.Workflow = "long" })
	if want := []string{"stage:aa", "t1", "t2", "stage:bb", "t3"}; !slices.Equal(m.Tasks, want) || m.CurrentTask != -1 || m.WorkflowComplete || !m.Runnable {
		t.Errorf("set: got %v at %d, complete %v, runnable %v", m.Tasks, m.CurrentTask, m.WorkflowComplete, m.Runnable)
	}
	b.finish(b.next(http.StatusCreated))
	b.next(http.StatusCreated)
	if m = b.set(func(m *models.Machine) { m.Workflow = "long" }); m.CurrentTask != 2 {
		t.Errorf("same again: got CurrentTask %d, want 2", m.CurrentTask)
	}
	if m = b.set(func(m *models.Machine) { m.CurrentTask = -1 }); m.CurrentTask != -1 {
		t.Errorf("restart: got CurrentTask %d, want -1", m.CurrentTask)
	}
	m = b.set(func(m *models.Machine) { m.Workflow = "" })
	if len(m.Tasks) != 0 || m.CurrentTask != 0 || !m.WorkflowComplete || m.Stage != "aa" {
		t.Errorf("cleared: got %v at %d, complete %v, stage %s", m.Tasks, m.CurrentTask, m.WorkflowComplete, m.Stage)
	}
}

func TestMachineChangesThatAreRefused(t *testing.T) {
	b := newBench(t)
	b.putAll(t, &models.Stage{Name: "odd", Tasks: []string{"action:lights:blink"}}, &models.Workflow{Name: "odd", Stages: []string{"odd"}})
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	b.finish(b.next(http.StatusCreated))
	for want, change := range map[string]func(*models.Machine){
		"without running jobs":                 func(m *models.Machine) { m.CurrentTask = 3 },
		"Cannot remove tasks":                  func(m *models.Machine) { m.Tasks = nil },
		"Cannot change tasks":                  func(m *models.Machine) { m.Tasks = []string{"stage:aa", "t2", "t1"} },
		"Can not change stages":                func(m *models.Machine) { m.Stage = "bb" },
		"action:lights:blink is not supported": func(m *models.Machine) { m.Workflow = "odd" },
		"Work orders":                          func(m *models.Machine) { m.WorkOrderMode = true },
		"nowhere":                              func(m *models.Machine) { m.Workflow = "nowhere" },
	} {
		_, err := b.machine(change)
		e, ok := err.(*models.Error)
		if !ok || e.Code != http.StatusUnprocessableEntity || !strings.Contains(strings.Join(e.Messages, " "), want) {
			t.Errorf("got %v, want a 422 with %q", err, want)
		}
	}
	if m := b.set(func(m *models.Machine) { m.Tasks = append(m.Tasks, "t3") }); len(m.Tasks) != 4 {
		t.Errorf("append: got %v", m.Tasks)
	}
}

func TestJobsRunTheTaskList(t *testing.T) {
	b := newBench(t)
	b.next(http.StatusNoContent)
	b.set(func(m *models.Machine) { m.Workflow = "long" })
	j1 := b.next(http.StatusCreated)
	if j1.Task != "t1" || j1.Stage != "aa" || j1.Workflow != "long" || j1.State != models.JOB_CREATED || j1.CurrentIndex != 1 || j1.NextIndex != 2 || !j1.Current {
		t.Errorf("got %+v", j1)
	}
	b.next(http.StatusConflict)
	b.move(j1, models.JOB_FINISHED, "", http.StatusUnprocessableEntity)
	b.move(j1, models.JOB_RUNNING, "", http.StatusOK)
	b.next(http.StatusConflict)
	b.move(j1, models.JOB_INCOMPLETE, models.JOB_REBOOT, http.StatusOK)
	if m := b.set(nil); m.JobState != models.JOB_INCOMPLETE || m.JobExitState != models.JOB_REBOOT || m.CurrentTask != 1 {
		t.Errorf("incomplete: got %s %s at %d", m.JobState, m.JobExitState, m.CurrentTask)
	}
	if again := b.next(http.StatusAccepted); again.Key() != j1.Key() {
		t.Errorf("got job %s, want %s again", again.Key(), j1.Key())
	}
	b.finish(j1)
	b.move(j1, models.JOB_RUNNING, "", http.StatusUnprocessableEntity)
	b.finish(b.next(http.StatusCreated))
	b.next(http.StatusNoContent) // the machine has to boot first
	if m := b.set(nil); m.Stage != "bb" || m.BootEnv != "other" || m.WorkflowComplete {
		t.Errorf("got stage %s in %s, complete %v", m.Stage, m.BootEnv, m.WorkflowComplete)
	}
	j3 := b.next(http.StatusCreated)
	if j3.BootEnv != "other" || j3.Task != "t3" {
		t.Errorf("got %+v", j3)
	}
	b.finish(j3)
	b.next(http.StatusNoContent)
	if m := b.set(nil); !m.WorkflowComplete || m.CurrentTask != 5 || m.JobState != models.JOB_FINISHED || m.CurrentJob.String() != j3.Key() {
		t.Errorf("got %+v", m)
	}
	b.next(http.StatusNoContent)
}

func TestFailedJobStopsTheMachine(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	j := b.next(http.StatusCreated)
	b.move(j, models.JOB_FAILED, models.JOB_FAILED, http.StatusOK)
	m := b.set(nil)
	if m.Runnable || m.WorkflowComplete || m.JobState != models.JOB_FAILED || m.CurrentTask != 1 {
		t.Errorf("got runnable %v, complete %v, %s at %d", m.Runnable, m.WorkflowComplete, m.JobState, m.CurrentTask)
	}
	b.next(http.StatusConflict)
	b.set(func(m *models.Machine) { m.Runnable = true })
	if again := b.next(http.StatusCreated); again.Key() == j.Key() || again.Task != "t1" || again.Previous.String() != j.Key() {
		t.Errorf("got %+v", again)
	}
}

// What a job says about a task list that was replaced moves nothing.
func TestJobOfAnOldRunDoesNotAdvanceTheNewOne(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	j := b.next(http.StatusCreated)
	b.set(func(m *models.Machine) { m.Workflow = "long" })
	b.finish(j)
	if m := b.set(nil); m.CurrentTask != -1 {
		t.Errorf("got CurrentTask %d, want -1", m.CurrentTask)
	}
	if j = b.next(http.StatusCreated); j.Task != "t1" || j.Workflow != "long" {
		t.Errorf("got %+v", j)
	}
}

func TestJobRequestsThatAreRefused(t *testing.T) {
	b := newBench(t)
	b.token = userToken(t, b.Server)
	machine := b.m.Key()
	for body, want := range map[string]int{
		`{"Machine":"3e7031fe-3062-45f1-835c-92541bc9cbd3"}`:                               422,
		`{"Machine":"` + machine + `","WorkOrder":"3e7031fe-3062-45f1-835c-92541bc9cbd3"}`: 422,
		`{"Machine":"` + machine + `","Context":"runner"}`:                                 204,
		`nonsense`: 400,
	} {
		var e models.Error
		if got := b.ask("POST", "/jobs", body, &e); got != want || want >= 400 && (e.Code != want || len(e.Messages) == 0) {
			t.Errorf("%s: got %d %+v, want %d", body, got, e, want)
		}
	}
	b.token, _ = b.MachineToken(machine, time.Hour)
	var e models.Error
	if got := b.ask("POST", "/jobs", `{"Machine":"3e7031fe-3062-45f1-835c-92541bc9cbd3"}`, &e); got != http.StatusForbidden {
		t.Errorf("other machine's job: got %d", got)
	}
}

// A machine's token renews itself. A job's would leave behind one that outlives it.
func TestJobTokenMakesNoMachineToken(t *testing.T) {
	b := newBench(t)
	task := &models.Task{Name: "t1", ExtraClaims: []*models.Claim{{Scope: "profiles", Action: "list", Specific: "*"}}}
	b.putAll(t, task)
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	renew := "/machines/" + b.m.Key() + "/token?ttl=3600"
	if got := b.call(t, b.token, "GET", renew, ""); got.StatusCode != http.StatusOK {
		t.Errorf("machine's token: got %s", got.Status)
	}
	token := b.next(http.StatusCreated).Token
	if got := b.call(t, token, "GET", "/machines/"+b.m.Key(), ""); got.StatusCode != http.StatusOK {
		t.Errorf("machine by the job's token: got %s", got.Status)
	}
	if got := b.call(t, token, "GET", renew, ""); got.StatusCode != http.StatusForbidden {
		t.Errorf("job's token: got %s", got.Status)
	}
	if got := b.call(t, token, "POST", "/machines/"+b.m.Key()+"/render", "{{.GenerateInfiniteToken}}"); got.StatusCode != http.StatusForbidden {
		t.Errorf("by a template: got %s", got.Status)
	}
}

func TestJobLogsAndActions(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	j := b.next(http.StatusCreated)
	for _, text := range []string{"one\n", "two\n"} {
		if resp := b.call(t, b.token, "PUT", "/jobs/"+j.Key()+"/log", text); resp.StatusCode != http.StatusNoContent {
			t.Errorf("put log: got %s", resp.Status)
		}
	}
	text, err := io.ReadAll(b.call(t, b.token, "GET", "/jobs/"+j.Key()+"/log", "").Body)
	if err != nil || string(text) != "one\ntwo\n" {
		t.Errorf("got log %q, %v", text, err)
	}
	actions := models.JobActions{}
	if got := b.ask("GET", "/jobs/"+j.Key()+"/actions?os=linux", "", &actions); got != http.StatusOK || len(actions) != 1 || actions[0].Content != "node1" {
		t.Errorf("got %d %+v", got, actions)
	}
	b.putAll(t, &models.Task{Name: "t1", Templates: []models.TemplateInfo{{Name: "script", Contents: `{{.Param "no/such"}}`}}})
	var e models.Error
	if got := b.ask("GET", "/jobs/"+j.Key()+"/actions", "", &e); got != http.StatusUnprocessableEntity || !strings.Contains(e.Error(), "task t1: template script:") {
		t.Errorf("got %d %+v", got, e)
	}
	for _, path := range []string{"/log", "/actions"} {
		if resp := b.call(t, userToken(t, b.Server), "GET", "/jobs/none"+path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s of no job: got %s", path, resp.Status)
		}
	}
}

package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// setTasks gives the bench's machine a task list by way of a new workflow.
func (b *bench) setTasks(entries ...string) *models.Machine {
	b.t.Helper()
	b.putAll(b.t, &models.Stage{Name: "list", Tasks: entries}, &models.Workflow{Name: "list", Stages: []string{"list"}})
	b.set(func(m *models.Machine) { m.Workflow = "" })
	return b.set(func(m *models.Machine) { m.Workflow = "list" })
}

// nextIn asks for the next job as the runner of a context.
func (b *bench) nextIn(context string, want int) *models.Job {
	b.t.Helper()
	var answer struct {
		models.Job
		Messages []string
	}
	body, _ := json.Marshal(&models.Job{Machine: b.m.Uuid, Context: context})
	if got := b.ask("POST", "/jobs", string(body), &answer); got != want {
		b.t.Fatalf("POST /jobs for context %q: got %d %v, want %d", context, got, answer.Messages, want)
	}
	return &answer.Job
}

// A change of context hands the machine over to the runner of that context.
func TestContextEntryHandsTheMachineOver(t *testing.T) {
	b := newBench(t)
	b.setTasks("t1", "context:box", "t2", "context:", "t3")
	b.finish(b.nextIn("", http.StatusCreated))
	b.nextIn("", http.StatusNoContent)
	if m := b.set(nil); m.Context != "box" || m.WorkflowComplete {
		t.Fatalf("got context %q, complete %v", m.Context, m.WorkflowComplete)
	}
	b.nextIn("", http.StatusNoContent)
	j := b.nextIn("box", http.StatusCreated)
	if j.Task != "t2" || j.Context != "box" {
		t.Errorf("got %+v", j)
	}
	b.finish(j)
	b.nextIn("box", http.StatusNoContent)
	if j = b.nextIn("", http.StatusCreated); j.Task != "t3" || j.Context != "" {
		t.Errorf("got %+v", j)
	}
}

// A boot environment in the task list is a pause until the machine has booted.
func TestBootEnvEntryStopsUntilTheMachineAsksAgain(t *testing.T) {
	b := newBench(t)
	b.setTasks("bootenv:local", "t1", "bootenv:other", "t2")
	b.finish(b.next(http.StatusCreated))
	b.next(http.StatusNoContent)
	if m := b.set(nil); m.BootEnv != "other" {
		t.Errorf("got %s", m.BootEnv)
	}
	if j := b.next(http.StatusCreated); j.Task != "t2" || j.BootEnv != "other" {
		t.Errorf("got %+v", j)
	}
}

// A chroot is for the runner to do: its job is finished when it is made.
func TestChrootEntryIsAFinishedJob(t *testing.T) {
	b := newBench(t)
	b.setTasks("chroot:/mnt", "t1")
	if j := b.next(http.StatusCreated); j.Task != "chroot:/mnt" || j.State != models.JOB_FINISHED || j.ExitState != models.JOB_COMPLETE {
		t.Errorf("got %+v", j)
	}
	if j := b.next(http.StatusCreated); j.Task != "t1" {
		t.Errorf("got %+v", j)
	}
}

func TestPrerequisitesComeBeforeTheirTask(t *testing.T) {
	b := newBench(t)
	b.putAll(t,
		&models.Task{Name: "base"},
		&models.Task{Name: "middle", Prerequisites: []string{"base"}},
		&models.Task{Name: "top", Prerequisites: []string{"base", "middle"}})
	m := b.setTasks("top", "middle", "bootenv:other", "top")
	want := []string{"stage:list", "base", "middle", "top", "middle", "bootenv:other", "base", "middle", "top"}
	if !slices.Equal(m.Tasks, want) {
		t.Errorf("got %v, want %v", m.Tasks, want)
	}
	b.putAll(t, &models.Task{Name: "snake", Prerequisites: []string{"tail"}}, &models.Task{Name: "tail", Prerequisites: []string{"snake"}},
		&models.Stage{Name: "snake", Tasks: []string{"snake"}}, &models.Workflow{Name: "snake", Stages: []string{"snake"}})
	if _, err := b.machine(func(m *models.Machine) { m.Workflow = "snake" }); statusOfError(err) != http.StatusUnprocessableEntity {
		t.Errorf("tasks that need one another: got %v", err)
	}
}

// Without a workflow the stage is changed by hand, if need be by force, and brings
// its boot environment along.
func TestStageChangesByHand(t *testing.T) {
	b := newBench(t)
	b.token = userToken(t, b.Server)
	stage := func(name, query string, want int) {
		t.Helper()
		var answer json.RawMessage
		patch := `[{"op":"replace","path":"/Stage","value":"` + name + `"}]`
		if got := b.ask("PATCH", "/machines/"+b.m.Key()+query, patch, &answer); got != want {
			t.Errorf("to %s%s: got %d %s, want %d", name, query, got, answer, want)
		}
	}
	stage("aa", "", http.StatusOK)
	stage("bb", "", http.StatusUnprocessableEntity)
	stage("bb", "?force=maybe", http.StatusNotAcceptable)
	stage("bb", "?force=true", http.StatusOK)
	if m := b.set(nil); m.BootEnv != "other" || m.Runnable || !slices.Equal(m.Tasks, []string{"t3"}) || m.CurrentTask != -1 {
		t.Errorf("got %s, runnable %v, %v at %d", m.BootEnv, m.Runnable, m.Tasks, m.CurrentTask)
	}
	b.set(func(m *models.Machine) { m.Runnable = true })
	b.finish(b.next(http.StatusCreated))
	b.next(http.StatusNoContent)
	stage("aa", "", http.StatusOK)
}

// Starting the task list anew while a job runs ends that job.
func TestRestartFailsTheRunningJob(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Workflow = "short" })
	b.finish(b.next(http.StatusCreated))
	j := b.next(http.StatusCreated)
	b.move(j, models.JOB_RUNNING, "", http.StatusOK)
	b.set(func(m *models.Machine) { m.CurrentTask = -1 })
	again := b.next(http.StatusCreated)
	if again.Task != "t1" || again.Previous.String() != j.Key() {
		t.Errorf("got %+v", again)
	}
	old := &models.Job{}
	if b.ask("GET", "/jobs/"+j.Key(), "", old); old.State != models.JOB_FAILED || old.Current {
		t.Errorf("old job: got %+v", old)
	}
	b.move(j, models.JOB_FINISHED, models.JOB_COMPLETE, http.StatusUnprocessableEntity)
	if m := b.set(nil); !m.Runnable || m.JobState != models.JOB_CREATED {
		t.Errorf("machine: got runnable %v, job state %s", m.Runnable, m.JobState)
	}
}

// A failed task is tried as often as the machine's param says.
func TestTaskRetry(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Params["task-retry"] = map[string]any{"t1": 1} })
	b.setTasks("t1", "t2")
	b.move(b.next(http.StatusCreated), models.JOB_FAILED, models.JOB_FAILED, http.StatusOK)
	if m := b.set(nil); !m.Runnable || m.RetryTaskAttempt != 1 || m.JobState != models.JOB_FAILED {
		t.Fatalf("got runnable %v, attempt %d, job %s", m.Runnable, m.RetryTaskAttempt, m.JobState)
	}
	began := time.Now()
	again := b.next(http.StatusCreated)
	if again.Task != "t1" || time.Since(began) < 2*time.Second {
		t.Errorf("got %s after %s, want t1 after 2 s", again.Task, time.Since(began))
	}
	b.move(again, models.JOB_FAILED, models.JOB_FAILED, http.StatusOK)
	if m := b.set(nil); m.Runnable {
		t.Error("runnable after the last attempt")
	}
	b.set(func(m *models.Machine) { m.Params["task-retry"], m.Runnable = map[string]any{}, true })
	b.finish(b.next(http.StatusCreated))
	b.next(http.StatusCreated)
	if m := b.set(nil); m.RetryTaskAttempt != 0 || m.CurrentTask != 2 {
		t.Errorf("after success: got attempt %d at %d", m.RetryTaskAttempt, m.CurrentTask)
	}
}

// The tasks that handle an error run, and then the failed task again.
func TestTaskErrorHandlers(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Params["task-error-handlers"] = map[string]any{"t1": []string{"t3"}} })
	b.setTasks("t1")
	b.move(b.next(http.StatusCreated), models.JOB_FAILED, models.JOB_FAILED, http.StatusOK)
	m := b.set(nil)
	if !m.Runnable || !slices.Equal(m.Tasks, []string{"t3"}) || m.CurrentTask != -1 || len(m.TaskErrorStacks) != 1 || m.WorkflowComplete {
		t.Fatalf("got %v at %d, runnable %v, %d stacks", m.Tasks, m.CurrentTask, m.Runnable, len(m.TaskErrorStacks))
	}
	j := b.next(http.StatusCreated)
	if j.Task != "t3" {
		t.Errorf("got %s, want t3", j.Task)
	}
	b.finish(j)
	if j = b.next(http.StatusCreated); j.Task != "t1" {
		t.Errorf("got %s, want t1 again", j.Task)
	}
	b.finish(j)
	b.next(http.StatusNoContent)
	if m = b.set(nil); !m.WorkflowComplete || len(m.TaskErrorStacks) != 0 || !slices.Equal(m.Tasks, []string{"stage:list", "t1"}) {
		t.Errorf("got %v, complete %v, %d stacks", m.Tasks, m.WorkflowComplete, len(m.TaskErrorStacks))
	}
}

// Error handlers that cannot run must not keep a job from failing.
func TestErrorHandlersThatDoNotExist(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Params["task-error-handlers"] = map[string]any{"t1": []string{"nowhere"}} })
	b.setTasks("t1")
	b.move(b.next(http.StatusCreated), models.JOB_FAILED, models.JOB_FAILED, http.StatusOK)
	if m := b.set(nil); m.Runnable || m.JobState != models.JOB_FAILED || m.CurrentTask != 1 {
		t.Errorf("got runnable %v, job %s at %d", m.Runnable, m.JobState, m.CurrentTask)
	}
}

// DRP's client needs a content type also where there is no content.
func TestNothingToDoHasAContentType(t *testing.T) {
	b := newBench(t)
	resp := b.call(t, b.token, "POST", "/jobs", `{"Machine":"`+b.m.Key()+`"}`)
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusNoContent || !strings.HasPrefix(got, "application/json") {
		t.Errorf("got %s with %q", resp.Status, got)
	}
}

func TestTasksAreSkippedAndStoppedAt(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) {
		m.Params["task-skip"], m.Params["task-stop-at"] = []string{"t1"}, []string{"t2"}
	})
	b.setTasks("t1", "t2", "t3")
	b.next(http.StatusNoContent)
	m := b.set(nil)
	if m.Runnable || m.CurrentTask != 2 {
		t.Fatalf("got runnable %v at %d", m.Runnable, m.CurrentTask)
	}
	skipped := []*models.Job{}
	b.token = userToken(t, b.Server)
	if b.ask("GET", "/jobs?Task=t1", "", &skipped); len(skipped) != 1 || skipped[0].State != models.JOB_FINISHED {
		t.Errorf("got %+v", skipped)
	}
	b.set(func(m *models.Machine) { m.Runnable = true })
	if j := b.next(http.StatusCreated); j.Task != "t2" {
		t.Errorf("got %s, want t2", j.Task)
	}
}

func TestSingleStepStopsAfterEachTask(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Params["task-single-step"] = true })
	b.setTasks("t1", "t2")
	b.finish(b.next(http.StatusCreated))
	b.next(http.StatusConflict)
	b.set(func(m *models.Machine) { m.Runnable = true })
	if j := b.next(http.StatusCreated); j.Task != "t2" {
		t.Errorf("got %s, want t2", j.Task)
	}
}

func statusOfError(err error) int {
	e, ok := err.(*models.Error)
	if !ok {
		return -1
	}
	return e.Code
}

func TestRunnerThatLeavesWhileItWaitsForARetryIsNoFault(t *testing.T) {
	b := newBench(t)
	b.set(func(m *models.Machine) { m.Params["task-retry"] = map[string]any{"t1": 1} })
	b.setTasks("t1", "t2")
	b.move(b.next(http.StatusCreated), models.JOB_FAILED, models.JOB_FAILED, http.StatusOK)
	gone, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(gone, "POST", "/api/v3/jobs", strings.NewReader(`{"Machine":"`+b.m.Key()+`"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+b.token)
	p, err := b.authenticate(r)
	if err != nil {
		t.Fatal(err)
	}
	err = b.postJob(httptest.NewRecorder(), r, p)
	if e, ok := errors.AsType[*models.Error](err); !ok || e.Code != http.StatusServiceUnavailable {
		t.Errorf("got %v", err)
	}
}

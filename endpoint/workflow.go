package endpoint

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"

	"gitlab.com/rackn/logger"
	"gitlab.com/rackn/provision/v4/models"
)

// stageEntry marks the entries of a task list at which a stage begins.
const stageEntry = "stage:"

// lifecycle keeps the task list, the position in it and the completion flag of
// machines consistent; it is the store's beforePut.
//
//   - Setting Workflow to another name expands its stages into Tasks and begins
//     before the first (CurrentTask -1); setting the same name again changes
//     nothing. A run is started anew by way of the empty name, or by setting
//     CurrentTask to -1.
//   - Clearing Workflow clears Tasks; Stage and BootEnv stay.
//   - WorkflowComplete is CurrentTask >= len(Tasks), always, so a machine
//     without tasks is complete. The last task is left behind when the runner
//     asks for another.
//   - Runnable is left alone, but for a failed job, a stage with another boot
//     environment, and the params of taskDebug.
//   - A JobState "failed" is cleared when the task list begins anew or changes:
//     no job of the new list has failed yet.
type lifecycle struct {
	// log gets what DRP's own rules have to say; nobody reads it.
	log logger.Logger
	// byJob is true while a job moves its machine, and byServer while the server
	// changes a job. Only the holder of the store's lock touches them.
	byJob, byServer bool
}

func newLifecycle() *lifecycle {
	return &lifecycle{log: logger.New(log.New(io.Discard, "", 0)).Log("")}
}

func (l *lifecycle) beforePut(t *tx, old, new models.Model) error {
	switch n := new.(type) {
	case *models.Machine:
		o, _ := old.(*models.Machine)
		return l.machine(t, o, n)
	case *models.Job:
		o, _ := old.(*models.Job)
		return l.job(t, o, n)
	}
	return nil
}

// moveMachine stores a machine whose position or stage a job changes.
func (l *lifecycle) moveMachine(t *tx, m *models.Machine) error {
	l.byJob = true
	defer func() { l.byJob = false }()
	return t.put(m)
}

func (l *lifecycle) machine(t *tx, o, n *models.Machine) error {
	if n.WorkOrderMode {
		return refuse(n, "Work orders are not supported")
	}
	if o == nil {
		newMachine(n)
		o = &models.Machine{}
		o.Stage = "none"
	}
	var err error
	switch {
	case l.byJob:
	case o.Workflow != n.Workflow:
		err = startWorkflow(t, n)
	case o.Stage != n.Stage:
		err = startStage(t, o, n)
	case o.CurrentTask != n.CurrentTask:
		err = restart(o, n)
	case !slices.Equal(o.Tasks, n.Tasks):
		err = changeTasks(t, o, n)
	}
	n.WorkflowComplete = n.CurrentTask >= len(n.Tasks)
	return err
}

// newMachine gives a new machine what a DRP server gives it: it is runnable, in
// the stage and boot environment that do nothing, and says by change-stage-v2
// that a runner which starts must not make it runnable on its own.
func newMachine(n *models.Machine) {
	if n.Stage == "" {
		n.Stage = "none"
	}
	if n.BootEnv == "" {
		n.BootEnv = "local"
	}
	if n.Meta == nil {
		n.Meta = models.Meta{}
	}
	if _, ok := n.Meta["feature-flags"]; !ok {
		n.Meta["feature-flags"] = "change-stage-v2"
	}
	n.Runnable = true
	n.CurrentTask = 0
}

func startWorkflow(t *tx, n *models.Machine) error {
	tasks := []string{}
	if n.Workflow != "" {
		m, ok := t.get("workflows", n.Workflow)
		if !ok {
			return refuse(n, "Workflow %s does not exist", n.Workflow)
		}
		for _, name := range m.(*models.Workflow).Stages {
			own, err := stageTasks(t, n, name)
			if err != nil {
				return err
			}
			tasks = append(append(tasks, stageEntry+name), own...)
		}
	}
	tasks, err := t.expandTasks(n, tasks)
	begin(n, tasks)
	return err
}

// startStage is the old way of giving a machine work, without a workflow. A stage
// with another boot environment stops the machine, which has to boot first.
func startStage(t *tx, o, n *models.Machine) error {
	if n.Workflow != "" {
		return refuse(n, "Can not change stages while in workflow %s", n.Workflow)
	}
	if o.CurrentTask < len(o.Tasks) && !t.force {
		return refuse(n, "Can not change stages with pending tasks unless forced")
	}
	tasks, err := stageTasks(t, n, n.Stage)
	if err != nil {
		return err
	}
	if tasks, err = t.expandTasks(n, tasks); err != nil {
		return err
	}
	if rec := t.record("stages", n.Stage); rec != nil {
		if env := rec.head.(*models.Stage).BootEnv; env != "" && env != n.BootEnv {
			n.BootEnv, n.Runnable = env, false
		}
	}
	begin(n, tasks)
	return nil
}

// stageTasks returns the task list of a stage.
func stageTasks(t *tx, n *models.Machine, name string) ([]string, error) {
	m, ok := t.get("stages", name)
	if !ok {
		if name == "none" || name == "local" {
			return nil, nil
		}
		return nil, refuse(n, "Stage %s does not exist", name)
	}
	return m.(*models.Stage).Tasks, nil
}

// expandTasks checks a task list and puts the prerequisites of its tasks before
// them, each once in a boot environment. Entries that the endpoint cannot act on
// are refused here, where somebody sees the answer.
func (t *tx) expandTasks(m *models.Machine, list []string) ([]string, error) {
	tasks, here := []string{}, map[string]bool{}
	var add func(entry string, before int) error
	add = func(entry string, before int) error {
		if err := t.checkEntry(m, entry); err != nil {
			return err
		}
		if len(tasks) > maxTasks {
			return refuse(m, "The task list has more than %d entries with the prerequisites of its tasks", maxTasks)
		}
		if before > len(t.s.objects["tasks"]) {
			return refuse(m, "Task %s has itself as a prerequisite", entry)
		}
		kind, name := (&models.TaskState{Tasks: []string{entry}}).EntryAt(0)
		if kind == models.BOOTENV || kind == models.STAGE && t.bootsElsewhere(name) {
			clear(here)
		}
		if kind == models.TASK {
			entry = name
			for _, need := range t.record("tasks", name).head.(*models.Task).Prerequisites {
				if here[need] {
					continue
				}
				if err := add(need, before+1); err != nil {
					return err
				}
			}
			here[name] = true
		}
		tasks = append(tasks, entry)
		return nil
	}
	for _, entry := range list {
		if err := add(entry, 0); err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

// bootsElsewhere says whether a stage names a boot environment.
func (t *tx) bootsElsewhere(stage string) bool {
	rec := t.record("stages", stage)
	return rec != nil && rec.head.(*models.Stage).BootEnv != ""
}

// begin gives the machine a new task list.
func begin(n *models.Machine, tasks []string) {
	n.Tasks = tasks
	n.CurrentTask = -1
	if len(tasks) == 0 {
		n.CurrentTask = 0
	}
	n.RetryTaskAttempt, n.TaskErrorStacks = 0, []*models.TaskStack{}
	forgetFailure(n)
}

// restart is a client setting CurrentTask: to the beginning only, since the
// rest is for jobs to do.
func restart(o, n *models.Machine) error {
	if n.CurrentTask != -1 {
		return refuse(n, "Cannot advance CurrentTask from %d to %d without running jobs", o.CurrentTask, n.CurrentTask)
	}
	begin(n, n.Tasks)
	return nil
}

// changeTasks is a client editing the task list: what has run or runs stays.
func changeTasks(t *tx, o, n *models.Machine) error {
	past := o.Tasks[:min(o.CurrentTask+1, len(o.Tasks))]
	if len(n.Tasks) < len(past) {
		return refuse(n, "Cannot remove tasks that have already executed or are already executing")
	}
	if !slices.Equal(past, n.Tasks[:len(past)]) {
		return refuse(n, "Cannot change tasks that have already executed or are executing")
	}
	for _, entry := range n.Tasks[len(past):] {
		if err := t.checkEntry(n, entry); err != nil {
			return err
		}
	}
	if o.CurrentTask == -1 || len(o.Tasks) == 0 {
		begin(n, n.Tasks)
	}
	forgetFailure(n)
	return nil
}

func forgetFailure(n *models.Machine) {
	if n.JobState == models.JOB_FAILED {
		n.JobState, n.JobExitState, n.JobResultErrors = "", "", []string{}
	}
}

// refuse is the refusal of a change that would make a machine inconsistent.
func refuse(n models.Model, format string, args ...any) error {
	return &models.Error{
		Model: n.Prefix(), Key: n.Key(), Type: "ValidationError", Code: http.StatusUnprocessableEntity,
		Messages: []string{fmt.Sprintf(format, args...)},
	}
}

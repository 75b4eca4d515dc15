package endpoint

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

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
//     without tasks is complete.
//   - Runnable is left alone, but for a failed job, which sets it to false.
//   - A JobState "failed" is cleared when the task list begins anew or changes:
//     no job of the new list has failed yet.
type lifecycle struct {
	// byJob is true while a job moves its machine. Only the holder of the
	// store's lock touches it.
	byJob bool
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
		err = startStage(t, n)
	case o.CurrentTask != n.CurrentTask:
		err = restart(o, n)
	case !slices.Equal(o.Tasks, n.Tasks):
		err = changeTasks(o, n)
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
	if n.Meta["machine-role"] == "" {
		n.Meta["machine-role"] = "machine"
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
	begin(n, tasks)
	return nil
}

// startStage is the old way of giving a machine work, without a workflow.
func startStage(t *tx, n *models.Machine) error {
	if n.Workflow != "" {
		return refuse(n, "Can not change stages while in workflow %s", n.Workflow)
	}
	tasks, err := stageTasks(t, n, n.Stage)
	if err != nil {
		return err
	}
	begin(n, tasks)
	return nil
}

// stageTasks returns the task list of a stage. Entries of a kind that the
// endpoint cannot run are refused here, where somebody sees the answer.
func stageTasks(t *tx, n *models.Machine, name string) ([]string, error) {
	m, ok := t.get("stages", name)
	if !ok {
		if name == "none" || name == "local" {
			return nil, nil
		}
		return nil, refuse(n, "Stage %s does not exist", name)
	}
	tasks := m.(*models.Stage).Tasks
	for _, task := range tasks {
		if strings.Contains(task, ":") {
			return nil, refuse(n, "Stage %s: task list entry %s is not supported", name, task)
		}
		if _, ok := t.get("tasks", task); !ok {
			return nil, refuse(n, "Stage %s: task %s does not exist", name, task)
		}
	}
	return tasks, nil
}

// begin gives the machine a new task list.
func begin(n *models.Machine, tasks []string) {
	n.Tasks = tasks
	n.CurrentTask = -1
	if len(tasks) == 0 {
		n.CurrentTask = 0
	}
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
func changeTasks(o, n *models.Machine) error {
	past := o.Tasks[:min(o.CurrentTask+1, len(o.Tasks))]
	if len(n.Tasks) < len(past) {
		return refuse(n, "Cannot remove tasks that have already executed or are already executing")
	}
	if !slices.Equal(past, n.Tasks[:len(past)]) {
		return refuse(n, "Cannot change tasks that have already executed or are executing")
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

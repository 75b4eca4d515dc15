package endpoint

import (
	"net/http"
	"time"

	puuid "github.com/pborman/uuid"
	"gitlab.com/rackn/provision/v4/models"
)

// enter does what an entry of a task list that is no task asks the server to do,
// and says whether the machine's runner may go on at once. It may not when the
// machine has to boot into another environment first, upon which its runner asks
// again, or when the runner of another context has to go on. Entering the same
// entry again changes nothing.
func (l *lifecycle) enter(t *tx, m *models.Machine, kind, name, context string) (bool, error) {
	env := ""
	switch kind {
	case models.STAGE:
		m.Stage = name
		if rec := t.record("stages", name); rec != nil {
			env = rec.head.(*models.Stage).BootEnv
		}
	case models.BOOTENV:
		env = name
	case models.CONTEXT:
		m.Context = name
		return name == context, nil
	default:
		return false, unsupported(m, kind+":"+name)
	}
	if env == "" || env == m.BootEnv {
		return true, nil
	}
	m.BootEnv = env
	return false, nil
}

// serverSide says whether an entry of a task list is one that enter handles.
func serverSide(kind string) bool {
	return kind == models.STAGE || kind == models.BOOTENV || kind == models.CONTEXT
}

// checkEntry refuses an entry of a task list that nobody could act upon. What a
// runner does on chroot is all on its side; actions would need plugins.
func (t *tx) checkEntry(m *models.Machine, entry string) error {
	kind, name := (&models.TaskState{Tasks: []string{entry}}).EntryAt(0)
	prefix := ""
	switch kind {
	case models.TASK:
		prefix = "tasks"
	case models.STAGE:
		prefix = "stages"
	case models.BOOTENV:
		prefix = "bootenvs"
	case models.CHROOT, models.CONTEXT:
		return nil
	default:
		return unsupported(m, entry)
	}
	if t.record(prefix, name) == nil {
		return refuse(m, "Task list entry %s: %s %s does not exist", entry, kind, name)
	}
	return nil
}

func unsupported(m *models.Machine, entry string) error {
	return refuse(m, "Task list entry %s is not supported: there are no plugins that could act on it", entry)
}

// passed is what stands for an entry that the server has handled, so that the
// task list goes on behind it.
func passed(m *models.Machine, previous puuid.UUID) *models.Job {
	return &models.Job{Uuid: previous, State: models.JOB_FINISHED, CurrentIndex: m.CurrentTask}
}

// finishAtOnce makes a job one that nobody has to run.
func finishAtOnce(j *models.Job) {
	j.State, j.ExitState, j.EndTime = models.JOB_FINISHED, models.JOB_COMPLETE, time.Now().UTC()
}

func conflict(m models.Model, msg string) error {
	return &models.Error{Model: m.Prefix(), Key: m.Key(), Type: "Conflict", Code: http.StatusConflict, Messages: []string{msg}}
}

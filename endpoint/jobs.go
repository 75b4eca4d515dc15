package endpoint

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	puuid "github.com/pborman/uuid"
	"gitlab.com/rackn/provision/v4/models"
)

// postJob answers POST /jobs, by which a runner asks for its next task: 201
// with a new job, 202 with the incomplete one to be continued, or 204 when
// there is nothing to do.
func (s *Server) postJob(w http.ResponseWriter, r *http.Request, p *principal) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	want := &models.Job{}
	if err := json.Unmarshal(body, want); err != nil {
		return badRequest("Cannot parse the job: " + err.Error())
	}
	if len(want.WorkOrder) > 0 {
		return refuse(want, "Work orders are not supported")
	}
	if err := authorize(p, "jobs", "create", want.Machine.String()); err != nil {
		return err
	}
	var job *models.Job
	status := http.StatusNoContent
	err = s.store.update(p.name, func(t *tx) error {
		if job, status, err = s.life.next(t, want); err != nil || job == nil {
			return err
		}
		job.Token, err = s.jobToken(t, job)
		return err
	})
	if err != nil {
		return err
	}
	if job == nil {
		writeHeader(w, status)
		return nil
	}
	raw, err := json.Marshal(job)
	if err != nil {
		return err
	}
	shown, err := s.store.present("jobs", raw)
	if err != nil {
		return err
	}
	return writeJSON(w, status, json.RawMessage(shown))
}

// next finds what the machine has to do next and stores the job for it. It
// returns no job if there is nothing to do here and now.
func (l *lifecycle) next(t *tx, want *models.Job) (*models.Job, int, error) {
	obj, ok := t.get("machines", want.Machine.String())
	if !ok {
		return nil, 0, refuse(want, "Machine %s does not exist", want.Machine)
	}
	m := obj.(*models.Machine)
	if m.Context != want.Context {
		return nil, http.StatusNoContent, nil
	}
	if !m.Runnable {
		return nil, 0, conflict(want, "Machine "+m.Name+" is not runnable")
	}
	if old := currentJob(t, m); old != nil {
		switch old.State {
		case models.JOB_CREATED, models.JOB_RUNNING:
			return nil, 0, conflict(want, "Machine "+m.Name+" already has running or created job "+old.Key())
		case models.JOB_INCOMPLETE:
			if atPosition(m, old) {
				return old, http.StatusAccepted, nil
			}
		}
	}
	ready, err := l.enterStages(t, m)
	if err != nil || !ready {
		return nil, http.StatusNoContent, err
	}
	job, err := l.start(t, m)
	return job, http.StatusCreated, err
}

// enterStages takes the machine over the stage entries at its position and says
// whether a task comes next. At a stage with another boot environment it stops:
// the machine has to boot into that first, upon which its runner asks again.
func (l *lifecycle) enterStages(t *tx, m *models.Machine) (bool, error) {
	at := max(m.CurrentTask, 0)
	booted := true
	for ; at < len(m.Tasks) && booted; at++ {
		name, isStage := strings.CutPrefix(m.Tasks[at], stageEntry)
		if !isStage {
			break
		}
		m.Stage = name
		if obj, ok := t.get("stages", name); ok {
			if env := obj.(*models.Stage).BootEnv; env != "" && env != m.BootEnv {
				m.BootEnv, booted = env, false
			}
		}
	}
	if at == m.CurrentTask {
		return at < len(m.Tasks), nil
	}
	m.CurrentTask = at
	return booted && at < len(m.Tasks), l.moveMachine(t, m)
}

// start makes the job for the task at the machine's position.
func (l *lifecycle) start(t *tx, m *models.Machine) (*models.Job, error) {
	obj, ok := t.get("tasks", m.Tasks[m.CurrentTask])
	if !ok {
		return nil, refuse(m, "Task %s does not exist", m.Tasks[m.CurrentTask])
	}
	task := obj.(*models.Task)
	job := &models.Job{
		Uuid: puuid.Parse(uuid.NewString()), Previous: m.CurrentJob, Machine: m.Uuid,
		Task: task.Name, Stage: m.Stage, Workflow: m.Workflow, BootEnv: m.BootEnv, Context: m.Context,
		State: models.JOB_CREATED, StartTime: time.Now().UTC(), Current: true,
		CurrentIndex: m.CurrentTask, NextIndex: m.CurrentTask + 1,
		ExtraClaims: extraClaims(t, task),
	}
	job.Fill()
	if old := currentJob(t, m); old != nil && old.Current {
		old.Current = false
		if err := t.put(old); err != nil {
			return nil, err
		}
	}
	if err := t.put(job); err != nil {
		return nil, err
	}
	m.CurrentJob = job.Uuid
	m.JobState, m.JobExitState, m.JobResultErrors = job.State, "", []string{}
	return job, l.moveMachine(t, m)
}

func extraClaims(t *tx, task *models.Task) []*models.Claim {
	claims := []*models.Claim{}
	for _, name := range task.ExtraRoles {
		if obj, ok := t.get("roles", name); ok {
			claims = append(claims, obj.(*models.Role).Claims...)
		}
	}
	return append(claims, task.ExtraClaims...)
}

// job is called for every change of a job: it checks that the state may change
// so, and lets the machine follow.
func (l *lifecycle) job(t *tx, o, n *models.Job) error {
	if o == nil {
		return nil
	}
	if o.State != n.State && !slices.Contains(jobMoves[o.State], n.State) {
		return refuse(n, "Cannot change the state of a job from %s to %s", o.State, n.State)
	}
	if o.State != n.State && (n.State == models.JOB_FINISHED || n.State == models.JOB_FAILED) {
		n.EndTime = time.Now().UTC()
	}
	obj, ok := t.get("machines", n.Machine.String())
	if !ok {
		return nil
	}
	m := obj.(*models.Machine)
	if !puuid.Equal(m.CurrentJob, n.Uuid) {
		return nil
	}
	if atPosition(m, n) && o.State != n.State {
		switch n.State {
		case models.JOB_FINISHED:
			m.CurrentTask = n.NextIndex
		case models.JOB_FAILED:
			m.Runnable = false
		}
	}
	m.JobState, m.JobExitState, m.JobResultErrors = n.State, n.ExitState, n.ResultErrors
	return l.moveMachine(t, m)
}

// jobMoves says which state may follow which. A runner that comes back fails
// the job that it finds created or running.
var jobMoves = map[string][]string{
	models.JOB_CREATED:    {models.JOB_RUNNING, models.JOB_FAILED},
	models.JOB_RUNNING:    {models.JOB_FINISHED, models.JOB_FAILED, models.JOB_INCOMPLETE},
	models.JOB_INCOMPLETE: {models.JOB_RUNNING, models.JOB_FAILED},
}

// atPosition says whether the job belongs to the machine's present task; it does
// not if the workflow was changed or started anew while the job ran.
func atPosition(m *models.Machine, j *models.Job) bool {
	return m.CurrentTask == j.CurrentIndex && m.Workflow == j.Workflow &&
		j.CurrentIndex < len(m.Tasks) && m.Tasks[j.CurrentIndex] == j.Task
}

func currentJob(t *tx, m *models.Machine) *models.Job {
	obj, ok := t.get("jobs", m.CurrentJob.String())
	if !ok {
		return nil
	}
	return obj.(*models.Job)
}

func conflict(m models.Model, msg string) error {
	return &models.Error{Model: m.Prefix(), Key: m.Key(), Type: "Conflict", Code: http.StatusConflict, Messages: []string{msg}}
}

package endpoint

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	puuid "github.com/pborman/uuid"
	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
)

// maxRetryWait bounds how long a runner waits for a task to be tried again.
const maxRetryWait = time.Minute

// tooSoon is how long a runner has to wait for a task that is to be tried again.
type tooSoon time.Duration

func (t tooSoon) Error() string { return "retry after " + time.Duration(t).String() }

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
		return badRequest("Cannot parse the job: " + misfit(body, want, err).Error())
	}
	if len(want.WorkOrder) > 0 {
		return refuse(want, "Work orders are not supported")
	}
	if err := authorize(p, "jobs", "create", want.Machine.String()); err != nil {
		return err
	}
	var job *models.Job
	var answer []byte
	status := http.StatusNoContent
	for waited := false; ; waited = true {
		err = s.store.update(p.name, func(t *tx) error {
			if job, status, err = s.life.next(t, want, waited); err != nil || job == nil {
				return err
			}
			answer, err = s.jobAnswer(t, job)
			return err
		})
		soon, ok := errors.AsType[tooSoon](err)
		if !ok {
			break
		}
		select {
		case <-time.After(min(time.Duration(soon), maxRetryWait)):
		case <-r.Context().Done():
			return shuttingDown() // or the runner is gone, and nobody is told
		}
	}
	if err != nil {
		return err
	}
	if job == nil {
		writeHeader(w, status)
		return nil
	}
	return writeJSON(w, status, json.RawMessage(answer))
}

// jobAnswer returns a stored job as its runner sees it: with a token, if its task
// asks for powers of its own.
func (s *Server) jobAnswer(t *tx, job *models.Job) ([]byte, error) {
	shown := t.record("jobs", job.Key()).shown
	token, err := s.jobToken(t, job)
	if err != nil || token == "" {
		return shown, err
	}
	return rawjson.Set(shown, "Token", rawjson.Quote(token))
}

// next finds what the machine has to do next and stores the job for it. It
// returns no job if there is nothing to do here and now. The position in the task
// list moves only here: a finished job is left behind when its runner asks for
// the next one, as in DRP. If a failed task is not yet to be tried again, next
// changes nothing and returns tooSoon, unless the runner has waited.
func (l *lifecycle) next(t *tx, want *models.Job, waited bool) (*models.Job, int, error) {
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
	debug := t.taskDebug(m.Key())
	for last := currentJob(t, m); ; {
		why := &models.Error{Model: "jobs"}
		made := m.CreateJobFrom(l.log, &models.Job{Machine: m.Uuid, Context: want.Context}, last, m, nil, debug, why)
		if made.SaveCurrent {
			if err := l.moveJob(t, last); err != nil {
				return nil, 0, err
			}
		}
		switch {
		case why.Code == http.StatusConflict:
			return nil, 0, why
		case why.Code == http.StatusAccepted:
			return made.Job, why.Code, nil
		case made.Stop:
			m.Runnable = false
			return nil, http.StatusNoContent, l.moveMachine(t, m)
		case why.Code == http.StatusNoContent:
			return nil, why.Code, l.moveMachine(t, m)
		}
		if made.Delay > 0 && !waited {
			return nil, 0, tooSoon(made.Delay)
		}
		kind, name := m.EntryAt(m.CurrentTask)
		if serverSide(kind) {
			on, err := l.enter(t, m, kind, name, want.Context)
			if err != nil || !on {
				return nil, http.StatusNoContent, errors.Join(err, l.moveMachine(t, m))
			}
			last = passed(m, made.Previous)
			continue
		}
		if err := l.start(t, m, made.Job, made.Skip); err != nil || !made.Skip {
			return made.Job, http.StatusCreated, err
		}
		last = made.Job
	}
}

// start stores the job for the entry at the machine's position: a task or, for
// the runner alone to act on, a chroot.
func (l *lifecycle) start(t *tx, m *models.Machine, job *models.Job, skip bool) error {
	if err := t.checkEntry(m, job.Task); err != nil {
		return err
	}
	kind, name := m.EntryAt(m.CurrentTask)
	if kind == models.TASK {
		job.Task = name
	}
	if rec := t.record("tasks", job.Task); rec != nil {
		job.ExtraClaims = extraClaims(t, rec.head.(*models.Task))
	}
	if kind == models.CHROOT || skip {
		finishAtOnce(job)
	}
	job.Current = true
	job.Fill()
	if old := currentJob(t, m); old != nil && old.Current {
		old.Current = false
		if err := l.moveJob(t, old); err != nil {
			return err
		}
	}
	if err := l.moveJob(t, job); err != nil {
		return err
	}
	m.CurrentJob = job.Uuid
	m.JobState, m.JobExitState, m.JobResultErrors = job.State, job.ExitState, []string{}
	return l.moveMachine(t, m)
}

// moveJob stores a job that the server itself makes or changes.
func (l *lifecycle) moveJob(t *tx, j *models.Job) error {
	l.byServer = true
	defer func() { l.byServer = false }()
	return t.put(j)
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
	if o == nil || l.byServer {
		return nil
	}
	keepServersFields(o, n)
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
	m.JobState, m.JobExitState, m.JobResultErrors = n.State, n.ExitState, n.ResultErrors
	if o.State != n.State && atPosition(m, n) {
		l.followJob(t, m, n)
	}
	return l.moveMachine(t, m)
}

// followJob decides whether the machine goes on after a job of its task list has
// changed its state. A runner that fails, reboots, stops or powers off, or leaves
// a task incomplete has said itself that the machine is not runnable. Error handlers
// that cannot run count as none: the job must be able to fail.
func (l *lifecycle) followJob(t *tx, m *models.Machine, j *models.Job) {
	debug := t.taskDebug(m.Key())
	switch j.State {
	case models.JOB_FINISHED:
		m.Runnable = m.Runnable && !debug.SingleStep
	case models.JOB_FAILED:
		handlers, err := t.expandTasks(m, debug.ErrorHandlers[j.Task])
		if err != nil {
			delete(debug.ErrorHandlers, j.Task) // they could not run
		}
		handled, expand := m.HandleFailure(debug, j)
		m.Runnable = handled && !debug.SingleStep
		if expand {
			m.Tasks = handlers
		}
	}
}

// keepServersFields puts back what only the server may say of a job: what it is
// about, and the powers that its token gets.
func keepServersFields(o, n *models.Job) {
	n.Machine, n.WorkOrder, n.Context, n.ExtraClaims, n.Token = o.Machine, o.WorkOrder, o.Context, o.ExtraClaims, o.Token
	n.Workflow, n.Stage, n.Task, n.BootEnv = o.Workflow, o.Stage, o.Task, o.BootEnv
	n.CurrentIndex, n.NextIndex, n.Previous = o.CurrentIndex, o.NextIndex, o.Previous
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
		j.CurrentIndex < len(m.Tasks) && strings.TrimPrefix(m.Tasks[j.CurrentIndex], "task:") == j.Task
}

func currentJob(t *tx, m *models.Machine) *models.Job {
	obj, ok := t.get("jobs", m.CurrentJob.String())
	if !ok {
		return nil
	}
	return obj.(*models.Job)
}

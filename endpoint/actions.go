package endpoint

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/rawjson"
	"muster/endpoint/render"
)

// jobFor returns the job that a request names, if p may do action on the jobs
// of its machine.
func (s *Server) jobFor(r *http.Request, p *principal, action string) (job *models.Job, err error) {
	err = s.store.view(func(t *tx) error {
		rec, err := t.writable(p, "jobs", r.PathValue("key"), action)
		if err == nil {
			job = rec.model().(*models.Job)
		}
		return err
	})
	return job, err
}

// getJobActions answers GET /jobs/{key}/actions: it renders the task's templates
// with the values of this moment. What cannot be rendered is refused, upon which
// a runner fails the job.
func (s *Server) getJobActions(w http.ResponseWriter, r *http.Request, p *principal) error {
	job, err := s.jobFor(r, p, "actions")
	if err != nil {
		return err
	}
	var src render.Source
	var task *models.Task
	err = s.store.view(func(t *tx) error {
		rec := t.record("tasks", job.Task)
		if rec == nil {
			return refuse(job, "Task %s does not exist", job.Task)
		}
		task = rec.model().(*models.Task)
		src, err = s.renderSource(t, job)
		return err
	})
	if err != nil {
		return err
	}
	// Templates may take their time: nobody else waits for them.
	actions, err := render.Actions(src, task, r.URL.Query().Get("os"))
	if err != nil {
		return refuse(job, "%s", err.Error())
	}
	return writeJSON(w, http.StatusOK, actions)
}

func (s *Server) renderSource(t *tx, job *models.Job) (render.Source, error) {
	rec := t.find("machines", job.Machine.String())
	if rec == nil {
		return render.Source{}, refuse(job, "Machine %s does not exist", job.Machine)
	}
	src := render.Source{
		Job:            job,
		Machine:        rec.model().(*models.Machine),
		APIURL:         s.URL(),
		ProvisionerURL: s.URL(),
		Param: func(key string) (value any, ok bool) {
			_ = s.store.view(func(t *tx) error {
				var raw json.RawMessage
				if raw, ok = t.param(rec, key, true); ok {
					ok = json.Unmarshal(raw, &value) == nil
				}
				return nil
			})
			return value, ok
		},
		Params: func(key string) (values []any) {
			_ = s.store.view(func(t *tx) error {
				values = t.allValues(rec, key)
				return nil
			})
			return values
		},
		MachineToken: func(ttl time.Duration) (string, error) {
			return s.MachineToken(rec.key, ttl)
		},
		ProfileToken: func(profile string, ttl time.Duration) (string, error) {
			token, err := s.ProfileToken(rec.key, profile, ttl)
			if errors.Is(err, ErrTokenNotAllowed) {
				return token, nil // DRP renders what stands for it
			}
			return token, err
		},
	}
	if obj, ok := t.get("bootenvs", src.Machine.BootEnv); ok {
		src.BootEnv = obj.(*models.BootEnv)
	}
	if obj, ok := t.get("stages", src.Machine.Stage); ok {
		src.Stage = obj.(*models.Stage)
	}
	for _, tmpl := range t.list("templates") {
		src.Templates = append(src.Templates, tmpl.(*models.Template))
	}
	return src, nil
}

// allValues returns every value of a param that an object could have, nearest
// first and the default last.
func (t *tx) allValues(rec *record, key string) (values []any) {
	add := func(raw []byte) {
		var v any
		if raw != nil && json.Unmarshal(raw, &v) == nil {
			values = append(values, v)
		}
	}
	for _, layer := range t.layers(rec) {
		if raw := rawjson.Lookup(layer.params, key); raw != nil {
			add(t.plain(layer, key, raw))
		}
	}
	if decl := t.record("params", key); decl != nil {
		if v, ok := decl.head.(*models.Param).DefaultValue(); ok {
			values = append(values, v)
		}
	}
	return values
}

// jobToken makes the token of a job whose task asks for more powers than its
// machine has; for others the runner uses its own. It is good until the job has
// finished or failed, so it may not make the machine's token, which would live on,
// unless the task asks for that.
func (s *Server) jobToken(t *tx, job *models.Job) (string, error) {
	if len(job.ExtraClaims) == 0 || s.store.compat313 {
		return "", nil
	}
	m, ok := t.get("machines", job.Machine.String())
	if !ok {
		return "", refuse(job, "Machine %s does not exist", job.Machine)
	}
	claims := machineClaims(m.Key())
	for _, c := range job.ExtraClaims {
		claims = append(claims, claim{c.Scope, c.Action, c.Specific})
	}
	return s.tokens.seal(grant{
		Machine: m.Key(), Job: job.Key(), Secret: m.(*models.Machine).Secret,
		Claims: claims, Expires: expiry(jobTokenLife(t, job)),
	})
}

// jobTokenLife is what the task's ExtraDuration says in seconds; 0 stands for
// 30 days and what is negative for three years.
func jobTokenLife(t *tx, job *models.Job) time.Duration {
	seconds := 0
	if obj, ok := t.get("tasks", job.Task); ok {
		seconds = obj.(*models.Task).ExtraDuration
	}
	switch {
	case seconds == 0:
		return 30 * 24 * time.Hour
	case seconds < 0 || time.Duration(seconds) > machineTokenLife/time.Second:
		return machineTokenLife
	}
	return time.Duration(seconds) * time.Second
}

// jobPending says whether a job is still to be done.
func (t *tx) jobPending(key string) bool {
	rec := t.record("jobs", key)
	if rec == nil {
		return false
	}
	state := rec.head.(*models.Job).State
	return state != models.JOB_FINISHED && state != models.JOB_FAILED
}

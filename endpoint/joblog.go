package endpoint

import (
	"bytes"
	"net/http"
	"time"

	"muster/endpoint/joblog"
)

// jobLogs keeps the logs of jobs for as long as their jobs exist.
type jobLogs interface {
	// Append adds to a log. When it returns, the text is as durable as the job;
	// if it fails, all of the text is in the log or nothing.
	Append(job string, text []byte) error
	Get(job string) ([]byte, error)
	// Forget must not fail: a log that is left over is removed at the next start.
	Forget(job string)
}

func (s *Server) newJobLogs() (jobLogs, error) {
	if s.data == nil {
		return joblog.NewMemory(), nil
	}
	root, err := s.folder.Open()
	if err != nil {
		return nil, err
	}
	logs := joblog.NewFiles(root, logsDir, s.log)
	return logs, s.store.view(func(t *tx) error {
		return logs.Sweep(func(job string) bool { return t.record("jobs", job) != nil })
	})
}

// putJobLog answers PUT /jobs/{id}/log: it appends the body.
func (s *Server) putJobLog(w http.ResponseWriter, r *http.Request, p *principal) error {
	job, err := s.jobFor(r, p, "log")
	if err != nil {
		return err
	}
	text, err := readAll(w, r, maxBody)
	if err != nil {
		return err
	}
	if err := s.logs.Append(job.Key(), text); err != nil {
		return s.notKept("log", err)
	}
	writeHeader(w, http.StatusNoContent)
	return nil
}

// getJobLog answers GET /jobs/{id}/log, or the part of it that a Range asks for: so
// a client follows a log.
func (s *Server) getJobLog(w http.ResponseWriter, r *http.Request, p *principal) error {
	job, err := s.jobFor(r, p, "log")
	if err != nil {
		return err
	}
	text, err := s.logs.Get(job.Key())
	if err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	return nil
}

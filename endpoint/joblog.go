package endpoint

import (
	"bytes"
	"net/http"
	"sync"
	"time"
)

// maxJobLog bounds what is kept of one job's log, in bytes.
const maxJobLog = 4 << 20

const logTruncated = "\n[the rest of this log was not kept]\n"

// jobLogs keeps the logs of jobs for as long as their jobs exist.
type jobLogs interface {
	// append adds to a log. When it returns, the text is as durable as the job;
	// if it fails, all of the text is in the log or nothing.
	append(job string, text []byte) error
	get(job string) ([]byte, error)
	// forget must not fail: a log that is left over is removed at the next start.
	forget(job string)
}

func (s *Server) newJobLogs() (jobLogs, error) {
	if s.data == nil {
		return &memoryLogs{logs: map[string][]byte{}}, nil
	}
	root, err := s.folder.open()
	if err != nil {
		return nil, err
	}
	logs := &fileLogs{root: root, log: s.log}
	return logs, s.store.view(func(t *tx) error {
		return logs.sweep(func(job string) bool { return t.record("jobs", job) != nil })
	})
}

// clip returns as much of text as fits into a log of size bytes.
func clip(size int, text []byte) []byte {
	if size >= maxJobLog {
		return nil
	}
	if size+len(text) > maxJobLog {
		return append(text[:maxJobLog-size:maxJobLog-size], logTruncated...)
	}
	return text
}

// memoryLogs are logs that end with the process.
type memoryLogs struct {
	mu   sync.Mutex
	logs map[string][]byte
}

func (l *memoryLogs) append(job string, text []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logs[job] = append(l.logs[job], clip(len(l.logs[job]), text)...)
	return nil
}

func (l *memoryLogs) get(job string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]byte(nil), l.logs[job]...), nil
}

func (l *memoryLogs) forget(job string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.logs, job)
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
	if err := s.logs.append(job.Key(), text); err != nil {
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
	text, err := s.logs.get(job.Key())
	if err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	return nil
}

package endpoint

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// maxJobLog bounds what is kept of one job's log, in bytes.
const maxJobLog = 4 << 20

const logTruncated = "\n[the rest of this log was not kept]\n"

// jobLogs keeps the logs of jobs in memory, for as long as their jobs exist.
type jobLogs struct {
	mu   sync.Mutex
	logs map[string][]byte
}

func (l *jobLogs) append(job string, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have := l.logs[job]
	if len(have) >= maxJobLog {
		return
	}
	if len(have)+len(text) > maxJobLog {
		text = append(text[:maxJobLog-len(have)], logTruncated...)
	}
	l.logs[job] = append(have, text...)
}

func (l *jobLogs) get(job string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]byte(nil), l.logs[job]...)
}

// follow forgets the logs of jobs that are deleted.
func (l *jobLogs) follow(c change) {
	if c.Type != "jobs" || c.Action != "delete" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.logs, c.Key)
}

// putJobLog answers PUT /jobs/{id}/log: it appends the body.
func (s *Server) putJobLog(w http.ResponseWriter, r *http.Request, p *principal) error {
	job, err := s.jobFor(r, p, "log")
	if err != nil {
		return err
	}
	limit := http.NewResponseController(w)
	_ = limit.SetReadDeadline(time.Now().Add(readTime))
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = limit.SetReadDeadline(time.Time{})
	if err != nil {
		return badRequest("Cannot read the body: " + err.Error())
	}
	s.logs.append(job.Key(), text)
	writeHeader(w, http.StatusNoContent)
	return nil
}

// getJobLog answers GET /jobs/{id}/log.
func (s *Server) getJobLog(w http.ResponseWriter, r *http.Request, p *principal) error {
	job, err := s.jobFor(r, p, "log")
	if err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(s.logs.get(job.Key())) // the client is gone: nobody is left to be told
	return nil
}

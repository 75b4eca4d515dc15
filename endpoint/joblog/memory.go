package joblog

import "sync"

// Memory are logs that end with the process. They are safe for concurrent use.
type Memory struct {
	mu   sync.Mutex
	logs map[string][]byte
}

// NewMemory returns no logs yet.
func NewMemory() *Memory { return &Memory{logs: map[string][]byte{}} }

// Append adds to a log as much as fits.
func (l *Memory) Append(job string, text []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logs[job] = append(l.logs[job], clip(len(l.logs[job]), text)...)
	return nil
}

// Get returns a log, empty if there is none.
func (l *Memory) Get(job string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]byte(nil), l.logs[job]...), nil
}

// Forget removes a log.
func (l *Memory) Forget(job string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.logs, job)
}

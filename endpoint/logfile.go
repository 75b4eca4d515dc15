package endpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// logHeader is the length of the first line of a log file. It says how many of
// the bytes after it belong to the log: what follows them was never acknowledged.
// It is short enough to be written all or not at all.
const logHeader = len("00000000000000000000\n")

// fileLogs are logs that survive a crash, one file each.
type fileLogs struct {
	root *os.Root
	log  hclog.Logger
	mu   sync.Mutex // one append, reading or removal at a time
}

func logPath(job string) string { return path.Join(logsDir, job) }

// append writes the text and then, once that is on disk, the new length.
func (l *fileLogs) append(job string, text []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.root.OpenFile(logPath(job), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(l.add(f, text), f.Close())
}

func (l *fileLogs) add(f *os.File, text []byte) error {
	size, err := logSize(f)
	if err != nil {
		return err
	}
	text = clip(size, text)
	if _, err := f.WriteAt(text, int64(logHeader+size)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if size == 0 { // the file may be new
		if err := syncDir(l.root, logsDir); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(fmt.Appendf(nil, "%0*d\n", logHeader-1, size+len(text)), 0); err != nil {
		return err
	}
	return f.Sync()
}

// logSize reads the first line of a log file; one that is not there yet means 0.
func logSize(f *os.File) (int, error) {
	line := make([]byte, logHeader)
	if n, _ := f.ReadAt(line, 0); n < logHeader {
		return 0, nil
	}
	if line[0] == 0 {
		return 0, nil // the first text was written, but not its length
	}
	size, err := strconv.Atoi(strings.TrimSuffix(string(line), "\n"))
	if err != nil || size < 0 {
		return 0, fmt.Errorf("%s: expected the length of the log in its first line, found another text: remove the file", f.Name())
	}
	return size, nil
}

func (l *fileLogs) get(job string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.root.Open(logPath(job))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := logSize(f)
	if err != nil {
		return nil, err
	}
	text := make([]byte, size)
	if n, err := f.ReadAt(text, int64(logHeader)); n < size {
		return nil, fmt.Errorf("%s: expected a log of %d bytes, found %d: %w", f.Name(), size, n, err)
	}
	return text, nil
}

func (l *fileLogs) forget(job string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.root.Remove(logPath(job)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("cannot remove the log of a deleted job", "job", job, "err", err)
	}
}

// sweep removes the logs of jobs that do not exist.
func (l *fileLogs) sweep(exists func(job string) bool) error {
	entries, err := fs.ReadDir(l.root.FS(), logsDir)
	if err != nil {
		return fmt.Errorf("endpoint: logs: %w", err)
	}
	for _, entry := range entries {
		if !exists(entry.Name()) {
			l.forget(entry.Name())
		}
	}
	return nil
}

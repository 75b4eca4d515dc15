package joblog

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

	"muster/endpoint/disk"
)

// header is the length of the first line of a log file. It says how many of
// the bytes after it belong to the log: what follows them was never acknowledged.
// It is short enough to be written all or not at all.
const header = len("00000000000000000000\n")

// Files are logs that survive a crash, one file each in a folder of root. They are
// safe for concurrent use.
type Files struct {
	root *os.Root
	dir  string
	log  hclog.Logger
	mu   sync.Mutex // one append or reading at a time
}

// NewFiles returns the logs in the folder dir of root, which must be there. Logs that
// cannot be removed are told to log.
func NewFiles(root *os.Root, dir string, log hclog.Logger) *Files {
	return &Files{root: root, dir: dir, log: log}
}

func (l *Files) path(job string) string { return path.Join(l.dir, job) }

// Append adds to a log as much as fits. It writes the text and then, once that is on disk, the new length.
func (l *Files) Append(job string, text []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.root.OpenFile(l.path(job), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(l.add(f, text), f.Close())
}

func (l *Files) add(f *os.File, text []byte) error {
	size, err := sizeOf(f)
	if err != nil {
		return err
	}
	text = clip(size, text)
	if _, err := f.WriteAt(text, int64(header+size)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if size == 0 { // the file may be new
		if err := disk.Sync(l.root, l.dir); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(fmt.Appendf(nil, "%0*d\n", header-1, size+len(text)), 0); err != nil {
		return err
	}
	return f.Sync()
}

// sizeOf reads the first line of a log file; one that is not there yet means 0.
func sizeOf(f *os.File) (int, error) {
	line := make([]byte, header)
	if n, _ := f.ReadAt(line, 0); n < header {
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

// Get returns a log, empty if there is none.
func (l *Files) Get(job string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.root.Open(l.path(job))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := sizeOf(f)
	if err != nil {
		return nil, err
	}
	text := make([]byte, size)
	if n, err := f.ReadAt(text, int64(header)); n < size {
		return nil, fmt.Errorf("%s: expected a log of %d bytes, found %d: %w", f.Name(), size, n, err)
	}
	return text, nil
}

// Forget removes a log. It does not wait for an append, which then ends with the
// file that it has open.
func (l *Files) Forget(job string) {
	if err := l.root.Remove(l.path(job)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("cannot remove the log of a deleted job", "job", job, "err", err)
	}
}

// Sweep removes the logs of jobs that do not exist.
func (l *Files) Sweep(exists func(job string) bool) error {
	entries, err := fs.ReadDir(l.root.FS(), l.dir)
	if err != nil {
		return fmt.Errorf("joblog: %w", err)
	}
	for _, entry := range entries {
		if !exists(entry.Name()) {
			l.Forget(entry.Name())
		}
	}
	return nil
}

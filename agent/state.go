package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"muster/profile"
)

var (
	// ErrLocked means that another process holds the state directory.
	ErrLocked = errors.New("agent: the state directory is in use")
	// ErrState means that the state directory holds something that cannot be
	// this member's state.
	ErrState = errors.New("agent: state directory")
)

// StateDir is the directory in which a member keeps what it must remember. It
// implements profile.Journal and coordinator.RunJournal. One process at a time
// has it open.
type StateDir struct {
	path string
	lock *os.File
}

// OpenStateDir makes the directory if need be (0700) and locks it. ErrLocked:
// another process has it.
func OpenStateDir(path string) (*StateDir, error) {
	steps := filepath.Join(path, "steps")
	if err := os.MkdirAll(steps, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(ownedLike(path, steps), ownedLike(path, lock.Name()))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(lock.Name())
		lock.Close()
		return nil, fmt.Errorf("%w: %s is locked by %s; one agent a host and a state directory each", ErrLocked, path, orUnknown(strings.TrimSpace(string(owner))))
	}
	if err := errors.Join(lock.Truncate(0), writeAt(lock, fmt.Sprintf("process %d\n", os.Getpid()))); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return &StateDir{path: path, lock: lock}, nil
}

func orUnknown(s string) string {
	if s == "" {
		return "another process"
	}
	return s
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// Close gives the directory to others.
func (s *StateDir) Close() error { return s.lock.Close() }

// Load returns the member's state; its zero value if there is none yet.
func (s *StateDir) Load() (profile.State, error) {
	var state profile.State
	_, err := s.read("identity.json", &state)
	return state, err
}

// Save implements profile.Journal.
func (s *StateDir) Save(state profile.State) error { return s.write("identity.json", state) }

// LoadRun implements coordinator.RunJournal.
func (s *StateDir) LoadRun() (profile.Run, error) {
	var run profile.Run
	_, err := s.read("run.json", &run)
	return run, err
}

// SaveRun implements coordinator.RunJournal.
func (s *StateDir) SaveRun(run profile.Run) error { return s.write("run.json", run) }

// read decodes a file, and reports whether there is one.
func (s *StateDir) read(name string, v any) (bool, error) {
	raw, err := os.ReadFile(filepath.Join(s.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return true, fmt.Errorf("%w: %s: expected the JSON that muster wrote there, found %d bytes that are not (%v); restore it, or remove the directory to join with a new life", ErrState, filepath.Join(s.path, name), len(raw), err)
	}
	return true, nil
}

// write replaces a file durably: the old content or the new is there whole,
// whatever happens, and the new one is when write returns.
func (s *StateDir) write(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	path := filepath.Join(s.path, name)
	if err := replaceFile(path, append(raw, '\n'), nil); err != nil {
		return fmt.Errorf("%w: write %s: %w", ErrState, path, err)
	}
	return nil
}

// ownedLike gives what root has made to the owner of the directory: a command of
// root that is the member for a moment must not lock out the agent, which has a
// user of its own.
func ownedLike(dir, made string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return os.Lchown(made, int(owner.Uid), int(owner.Gid))
}

// replaceFile replaces a file as a whole, durably and with mode 0600. last,
// which may be nil, is asked when the new content is on disk beside the old one,
// and told under which name: its error leaves the old one in place.
func replaceFile(path string, raw []byte, last func(name string) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(raw)
	if err := errors.Join(err, ownedLike(filepath.Dir(path), f.Name()), f.Sync(), f.Close()); err != nil {
		return err
	}
	if last != nil {
		if err := last(f.Name()); err != nil {
			return err
		}
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

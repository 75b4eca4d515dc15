package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/google/renameio/v2"
)

// work is one installation under way. After the first error nothing more is done.
type work struct {
	host     *Host
	service  Service
	uid, gid int // of the agent's user
	changed  []string
	undos    []func() error
	again    func() error // starts the agent of before, once it is there again
	err      error
}

func (w *work) do(step func() error) {
	if w.err == nil {
		w.err = step()
	}
}

// undo takes back what was done, the last first.
func (w *work) undo() error {
	var faults []error
	for _, undo := range slices.Backward(w.undos) {
		faults = append(faults, undo())
	}
	if w.again != nil {
		faults = append(faults, w.again())
	}
	return errors.Join(faults...)
}

// file puts content at path, which everybody may read.
func (w *work) file(path string, content []byte, mode fs.FileMode) {
	w.put(path, content, mode, -1, -1)
}

// private puts content at path, for the agent alone.
func (w *work) private(path string, content []byte) {
	w.put(path, content, 0o600, w.uid, w.gid)
}

func (w *work) put(path string, content []byte, mode fs.FileMode, uid, gid int) {
	w.do(func() error {
		full := w.host.Root + path
		before, err := os.ReadFile(full)
		was, errStat := os.Lstat(full)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if errStat == nil && !was.Mode().IsRegular() {
			return fmt.Errorf("%w: expected a file or nothing at %s, found %s: look who put that there", ErrInvalid, full, was.Mode())
		}
		if err == nil && bytes.Equal(before, content) && was.Mode().Perm() == mode {
			return os.Lchown(full, uid, gid)
		}
		if err := w.make(filepath.Dir(path)); err != nil {
			return err
		}
		options := []renameio.Option{renameio.WithStaticPermissions(mode)}
		if err := renameio.WriteFile(full, content, mode, options...); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		w.undos = append(w.undos, func() error {
			if was == nil {
				return os.Remove(full)
			}
			owner := was.Sys().(*syscall.Stat_t)
			return errors.Join(renameio.WriteFile(full, before, was.Mode().Perm(), renameio.WithStaticPermissions(was.Mode().Perm())),
				os.Lchown(full, int(owner.Uid), int(owner.Gid)))
		})
		w.changed = append(w.changed, path)
		return os.Lchown(full, uid, gid)
	})
}

// make makes the directories that lead to path, which everybody may enter.
func (w *work) make(path string) error {
	full := w.host.Root + path
	if exists(full) {
		return nil
	}
	if err := w.make(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(full, 0o755); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	w.undos = append(w.undos, func() error { return os.Remove(full) })
	return os.Chmod(full, 0o755) // whatever the umask is
}

// directory makes a directory of the agent alone.
func (w *work) directory(path string) {
	w.do(func() error {
		full := w.host.Root + path
		if err := w.make(path); err != nil {
			return err
		}
		// Its owner is not root, and what root does there must not follow where a link leads.
		if info, err := os.Lstat(full); err != nil || !info.IsDir() {
			return fmt.Errorf("%w: expected a directory at %s, found something else (%v): look who put that there", ErrInvalid, full, err)
		}
		if err := os.Chmod(full, 0o700); err != nil {
			return err
		}
		return os.Lchown(full, w.uid, w.gid)
	})
}

// unit registers the service, again if its text is another one.
func (w *work) unit(text string) {
	w.do(func() error {
		before, err := os.ReadFile(w.host.Root + unitFile)
		if err == nil && string(before) == text {
			return nil
		}
		w.changed = append(w.changed, unitFile)
		if err == nil {
			if err := w.service.Uninstall(); err != nil {
				return fmt.Errorf("unregister the service of before: %w", err)
			}
			w.undos = append(w.undos, func() error { return w.register(string(before)) })
		}
		w.undos = append(w.undos, func() error {
			if !exists(w.host.Root + unitFile) {
				return nil
			}
			return w.service.Uninstall()
		})
		return w.register(text)
	})
}

func (w *work) register(text string) error {
	service, err := w.host.Service(text)
	if err == nil {
		err = service.Install()
	}
	if err != nil {
		return fmt.Errorf("register the service: %w", err)
	}
	return nil
}

// start has the agent run as it was installed.
func (w *work) start() {
	w.do(func() error {
		running, err := w.service.Running()
		if err == nil && running && len(w.changed) == 0 {
			return nil
		}
		if running {
			w.again = w.service.Start
			err = w.service.Restart()
		} else { // also one that has failed
			err = w.service.Start()
		}
		if err != nil {
			w.undos = append(w.undos, w.service.Stop)
			return fmt.Errorf("start the service: %w; see journalctl -u muster", err)
		}
		return nil
	})
}

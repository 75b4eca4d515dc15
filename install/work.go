package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
)

// work is one installation under way. After the first error nothing more is done.
type work struct {
	host     *Host
	service  Service
	uid, gid int      // of the agent's user
	own      *os.Root // the agent's directory
	resumed  bool     // a former one was interrupted
	changed  []string
	undos    []func() error
	left     []error      // of what could not be undone
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
	for _, undo := range slices.Backward(w.undos) {
		if err := undo(); err != nil {
			w.left = append(w.left, err)
		}
	}
	if w.again != nil {
		w.left = append(w.left, w.again())
	}
	return errors.Join(w.left...)
}

// changing notes that path is about to be changed. Before the first one it leaves the
// mark by which the next installation knows of this one, if that is killed.
func (w *work) changing(path string) error {
	if len(w.changed) == 0 {
		if err := w.mark(); err != nil {
			return err
		}
	}
	w.changed = append(w.changed, path)
	return nil
}

func (w *work) mark() error {
	if err := w.make(filepath.Dir(underWay)); err != nil {
		return err
	}
	full := w.host.Root + underWay
	if err := replace(full, []byte("An installation is under way, or was interrupted: `muster install` goes on from there.\n"), 0o644); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	w.undos = append(w.undos, func() error {
		if w.resumed || len(w.left) > 0 { // what is there is still a mixture
			return nil
		}
		return os.Remove(full)
	})
	return nil
}

// file puts content at path, which everybody may read.
func (w *work) file(path string, content []byte, mode fs.FileMode) {
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
			return nil
		}
		if err := w.changing(path); err != nil {
			return err
		}
		if err := w.make(filepath.Dir(path)); err != nil {
			return err
		}
		if err := replace(full, content, mode); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		w.undos = append(w.undos, func() error {
			if was == nil {
				return os.Remove(full)
			}
			owner := was.Sys().(*syscall.Stat_t)
			return errors.Join(replace(full, before, was.Mode().Perm()), os.Lchown(full, int(owner.Uid), int(owner.Gid)))
		})
		return nil
	})
}

// replace writes a file as a whole. It is made in its own directory, whose label it gets
// on hosts with SELinux: with that of /tmp systemd may not execute the program.
func replace(full string, content []byte, mode fs.FileMode) error {
	return renameio.WriteFile(full, content, mode, renameio.WithTempDir(filepath.Dir(full)), renameio.WithStaticPermissions(mode))
}

// state makes the agent's own directory, of which its user is the owner. That user may
// change what lies in it at any moment: root works there by this handle alone, which
// nothing leads out of.
func (w *work) state() {
	w.do(func() (err error) {
		if err := w.make(stateDir); err != nil {
			return err
		}
		full := w.host.Root + stateDir
		if info, err := os.Lstat(full); err != nil || !info.IsDir() {
			return notDirectory(full, err)
		}
		if w.own, err = os.OpenRoot(full); err != nil {
			return err
		}
		return errors.Join(w.own.Chmod(".", 0o700), w.own.Lchown(".", w.uid, w.gid))
	})
}

func notDirectory(path string, err error) error {
	return fmt.Errorf("%w: expected a directory at %s, found something else (%v): look who put that there", ErrInvalid, path, err)
}

// directory makes a directory in the agent's own.
func (w *work) directory(path string) {
	w.do(func() error {
		name := within(path)
		err := w.own.Mkdir(name, 0o700)
		if err == nil {
			w.undos = append(w.undos, func() error { return w.own.Remove(name) })
		} else if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if info, err := w.own.Lstat(name); err != nil || !info.IsDir() {
			return notDirectory(w.host.Root+path, err)
		}
		return errors.Join(w.own.Chmod(name, 0o700), w.own.Lchown(name, w.uid, w.gid))
	})
}

// within is the name of path in the agent's own directory.
func within(path string) string { return strings.TrimPrefix(path, stateDir+"/") }

// private puts content into a file in the agent's own directory, for the agent alone.
func (w *work) private(path string, content []byte) {
	w.do(func() error {
		name := within(path)
		was, err := w.own.Lstat(name)
		if err == nil && !was.Mode().IsRegular() {
			return fmt.Errorf("%w: expected a file or nothing at %s, found %s: look who put that there", ErrInvalid, w.host.Root+path, was.Mode())
		}
		var before []byte
		if err == nil {
			before, err = w.own.ReadFile(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		undo := func() error { return w.own.Remove(name) }
		if was != nil {
			mode, owner := was.Mode().Perm(), was.Sys().(*syscall.Stat_t)
			if bytes.Equal(before, content) && mode == 0o600 && int(owner.Uid) == w.uid && int(owner.Gid) == w.gid {
				return nil
			}
			undo = func() error { return w.give(name, before, mode, int(owner.Uid), int(owner.Gid)) }
		}
		if err := w.changing(path); err != nil {
			return err
		}
		if err := w.give(name, content, 0o600, w.uid, w.gid); err != nil {
			return err
		}
		w.undos = append(w.undos, undo)
		return nil
	})
}

// give writes a file of somebody else: it is his before it has its name, under which he
// could have put another.
func (w *work) give(name string, content []byte, mode fs.FileMode, uid, gid int) error {
	f, err := renameio.NewPendingFile(name, renameio.WithRoot(w.own), renameio.WithStaticPermissions(mode))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer f.Cleanup()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Chown(uid, gid); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
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

// beside writes units that nobody starts here.
func (w *work) beside(units map[string]string) {
	before := len(w.changed)
	w.do(func() error {
		w.undos = append(w.undos, func() error { return w.reload(before) }) // once those of before are back
		return nil
	})
	for _, file := range slices.Sorted(maps.Keys(units)) {
		w.file(filepath.Join(unitDir, file), []byte(units[file]), 0o644)
	}
	w.do(func() error { return w.reload(before) })
}

// reload has the service manager read its units again, if more than the first so many
// changes have been made, or an interrupted installation may not have come to that.
func (w *work) reload(before int) error {
	if len(w.changed) == before && !w.resumed {
		return nil
	}
	return w.service.Reload()
}

// unit registers the service, again if its text is another one, or if an interrupted
// installation may not have come to the end of that.
func (w *work) unit(text string) {
	w.do(func() error {
		before, err := os.ReadFile(w.host.Root + unitFile)
		if err == nil && string(before) == text && !w.resumed {
			return nil
		}
		if err := w.changing(unitFile); err != nil {
			return err
		}
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

// start has the agent run as it was installed; units beside its own are nothing to it.
func (w *work) start(beside map[string]string) {
	w.do(func() error {
		stale := w.resumed || slices.ContainsFunc(w.changed, func(path string) bool {
			_, other := beside[filepath.Base(path)]
			return !other
		})
		running, err := w.service.Running()
		switch {
		case err == nil && running && !stale:
			return nil
		case running:
			w.again = w.service.Start
			err = w.service.Restart()
		default: // also one that has failed
			err = w.service.Start()
		}
		if err != nil {
			w.undos = append(w.undos, w.service.Stop)
			return fmt.Errorf("start the service: %w; see journalctl -u muster", err)
		}
		return nil
	})
}

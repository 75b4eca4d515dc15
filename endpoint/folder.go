package endpoint

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// The folders in a folder.
const (
	filesDir = "files"
	isosDir  = "isos"
	logsDir  = "logs" // of jobs
	newDir   = "new"  // uploads that are not complete
)

// folder is where uploaded files and the logs of jobs lie: beside the data file
// or, without one, in a temporary folder that is made when it is first needed.
type folder struct {
	path string // "" for a temporary one

	mu   sync.Mutex // guards root
	root *os.Root
}

// open returns the folder, with all folders in it. Uploads that an earlier
// process has left incomplete are gone.
func (f *folder) open() (*os.Root, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root != nil {
		return f.root, nil
	}
	root, err := f.make()
	if err != nil {
		return nil, fmt.Errorf("endpoint: folder: %w", err)
	}
	if err := prepareFolder(root); err != nil {
		return nil, errors.Join(fmt.Errorf("endpoint: folder: %w", err), root.Close())
	}
	f.root = root
	return root, nil
}

func (f *folder) make() (*os.Root, error) {
	if f.path == "" {
		path, err := os.MkdirTemp("", "muster-endpoint-")
		if err != nil {
			return nil, err
		}
		return os.OpenRoot(path)
	}
	if err := os.Mkdir(f.path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	info, err := os.Lstat(f.path)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s: expected a folder, found %s: move it away", f.path, info.Mode())
	case info.Mode().Perm()&^0o700 != 0:
		return nil, fmt.Errorf("%s: expected mode 0700, found %04o: run chmod 700", f.path, info.Mode().Perm())
	}
	return os.OpenRoot(f.path)
}

func prepareFolder(root *os.Root) error {
	if err := root.RemoveAll(newDir); err != nil {
		return err
	}
	for _, name := range []string{filesDir, isosDir, logsDir, newDir} {
		if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return syncDir(root, ".")
}

// close forgets the folder, and removes it if it is a temporary one.
func (f *folder) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root == nil {
		return nil
	}
	err := f.root.Close()
	if f.path == "" {
		err = errors.Join(err, os.RemoveAll(f.root.Name()))
	}
	f.root = nil
	return err
}

// syncDir makes the names in a folder durable.
func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

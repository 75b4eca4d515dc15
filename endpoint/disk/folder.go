package disk

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// Folder is a folder that only this user can look into. Its methods are safe for
// concurrent use.
type Folder struct {
	Path    string   // "" for a temporary one, that is made when it is first needed
	Names   []string // of folders in it
	Scratch string   // of another one, whose content is removed at the start

	mu   sync.Mutex // guards root
	root *os.Root
}

// Open returns the folder, with all folders in it. What an earlier process has left
// in Scratch is gone. It returns an error if Path is no folder, or one that others
// can look into.
func (f *Folder) Open() (*os.Root, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root != nil {
		return f.root, nil
	}
	root, err := f.make()
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	if err := f.prepare(root); err != nil {
		return nil, errors.Join(fmt.Errorf("folder: %w", err), root.Close())
	}
	f.root = root
	return root, nil
}

func (f *Folder) make() (*os.Root, error) {
	if f.Path == "" {
		path, err := os.MkdirTemp("", "muster-endpoint-")
		if err != nil {
			return nil, err
		}
		return os.OpenRoot(path)
	}
	if err := os.Mkdir(f.Path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	info, err := os.Lstat(f.Path)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s: expected a folder, found %s: move it away", f.Path, info.Mode())
	case info.Mode().Perm()&^0o700 != 0:
		return nil, fmt.Errorf("%s: expected mode 0700, found %04o: run chmod 700", f.Path, info.Mode().Perm())
	}
	return os.OpenRoot(f.Path)
}

func (f *Folder) prepare(root *os.Root) error {
	if err := root.RemoveAll(f.Scratch); err != nil {
		return err
	}
	for _, name := range append([]string{f.Scratch}, f.Names...) {
		if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return Sync(root, ".")
}

// Close forgets the folder, and removes it if it is a temporary one.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root == nil {
		return nil
	}
	err := f.root.Close()
	if f.Path == "" {
		err = errors.Join(err, os.RemoveAll(f.root.Name()))
	}
	f.root = nil
	return err
}

// Sync makes the names in a folder durable.
func Sync(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

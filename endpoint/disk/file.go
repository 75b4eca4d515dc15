package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrInDoubt is the error of a Replace that may have replaced the file or not: what
// it wrote can be there after a crash, or what was there before.
var ErrInDoubt = errors.New("the folder cannot be synced")

// File is a file that is replaced as a whole, so that it holds what one Replace wrote
// or what an earlier one did. One process at a time has it. It is for one goroutine
// at a time.
type File struct {
	path string
	dir  *os.File // its folder, to be synced after a rename
	lock *os.File
}

// Open locks a file, which need not be there yet, and removes what an earlier process
// has left half written. It returns an error that names the process which has it.
func Open(path string) (*File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	f := &File{path: path, dir: dir}
	if f.lock, err = lock(path + ".lock"); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), dir.Close())
	}
	if err := f.removeNew(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Path is the absolute path of the file.
func (f *File) Path() string { return f.path }

// Close lets another process have the file.
func (f *File) Close() error { return errors.Join(f.dir.Close(), f.lock.Close()) }

func (f *File) newPath() string { return f.path + ".new" }

func (f *File) removeNew() error {
	if err := os.Remove(f.newPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Replace replaces the file by what write writes. When it returns, that survives a
// crash; if it fails, the file is what it was, unless the error is ErrInDoubt. The next
// Replace that does not fail ends the doubt. Errors of out itself need not be returned by write.
func (f *File) Replace(write func(out *bufio.Writer) error) error {
	if err := f.removeNew(); err != nil {
		return err
	}
	made, err := os.OpenFile(f.newPath(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(made, 64<<10)
	err = write(out)
	if err := errors.Join(err, out.Flush(), made.Sync(), made.Close()); err != nil {
		return errors.Join(err, f.removeNew())
	}
	if err := os.Rename(f.newPath(), f.path); err != nil {
		return errors.Join(err, f.removeNew())
	}
	if err := f.dir.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	return nil
}

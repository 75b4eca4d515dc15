package endpoint

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"muster/endpoint/disk"
)

// The folders beside a data file.
const (
	filesDir = "files"
	isosDir  = "isos"
	logsDir  = "logs" // of jobs
	newDir   = "new"  // uploads that are not complete
)

var (
	errNoBlob     = errors.New("not a regular file")
	errNotRemoved = errors.New("absent, or a folder that is not empty")
)

// errTaken says that something else has the place of a file or of a folder above
// it. Its paths are those that every DRP has, not those of this host.
type errTaken struct{ fs.PathError }

func taken(op, at string, why syscall.Errno) error {
	return &errTaken{fs.PathError{Op: op, Path: path.Join("/tftpboot", at), Err: why}}
}

// blobs are the files that clients upload. They lie under their own names below
// files and isos of a folder. Symbolic links are not followed.
type blobs struct {
	folder *disk.Folder

	mu   sync.Mutex // one change of names at a time; guards sums
	sums map[string]blobSum
}

// blobSum is the checksum of a file as long as it is the same file.
type blobSum struct {
	info os.FileInfo
	sum  string
}

// blob is an open file.
type blob struct {
	*os.File
	info os.FileInfo
	sum  string // SHA-256, in hexadecimal
}

// goodName says whether a name is a relative path without tricks.
func goodName(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsAny(name, "\x00\\")
}

// place returns where a file or folder is. It returns an errTaken if one of the
// folders above it is something else.
func place(root *os.Root, kind, name string) (string, error) {
	for i, c := range name {
		if c != '/' {
			continue
		}
		info, err := root.Lstat(path.Join(kind, name[:i]))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return "", err
		}
		if !info.IsDir() {
			return "", taken("mkdir", path.Join(kind, name[:i]), syscall.ENOTDIR)
		}
	}
	return path.Join(kind, name), nil
}

// open returns a file, with a checksum that is computed when it is asked for
// first. errNoBlob: there is no such file.
func (b *blobs) open(kind, name string) (*blob, error) {
	root, err := b.folder.Open()
	if err != nil {
		return nil, err
	}
	at, err := place(root, kind, name)
	if err != nil {
		return nil, errNoBlob
	}
	if info, err := root.Lstat(at); err != nil || !info.Mode().IsRegular() {
		return nil, errNoBlob
	}
	f, err := root.Open(at)
	if err != nil {
		return nil, errNoBlob
	}
	res := &blob{File: f}
	if res.info, err = f.Stat(); err == nil {
		res.sum, err = b.sum(at, res)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return res, nil
}

func (b *blobs) sum(at string, f *blob) (string, error) {
	b.mu.Lock()
	known, ok := b.sums[at]
	b.mu.Unlock()
	if ok && os.SameFile(known.info, f.info) && known.info.Size() == f.info.Size() && known.info.ModTime().Equal(f.info.ModTime()) {
		return known.sum, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sums[at] = blobSum{f.info, sum}
	return sum, nil
}

// upload is a file that is being received, under a name that nobody asks for.
type upload struct {
	*os.File
	root *os.Root
	path string
}

func (b *blobs) receive(kind, name string) (*upload, error) {
	root, err := b.folder.Open()
	if err != nil {
		return nil, err
	}
	if _, err := place(root, kind, name); err != nil {
		return nil, err
	}
	up := &upload{root: root, path: path.Join(newDir, rand.Text())}
	up.File, err = root.OpenFile(up.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return up, err
}

// discard ends an upload, and removes it unless it was kept.
func (up *upload) discard() error {
	err := up.Close()
	if err := up.root.Remove(up.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return err
}

// keep gives a complete upload its name, in place of the file that has it. When
// it returns, the file survives a crash.
func (b *blobs) keep(up *upload, kind, name, sum string) error {
	if err := up.Sync(); err != nil {
		return err
	}
	info, err := up.Stat()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at, err := place(up.root, kind, name)
	if err != nil {
		return err
	}
	if err := up.root.MkdirAll(path.Dir(at), 0o700); err != nil {
		return err
	}
	if old, err := up.root.Lstat(at); err == nil && old.IsDir() {
		return taken("open", at, syscall.EISDIR)
	}
	if err := up.root.Rename(up.path, at); err != nil {
		return err
	}
	b.sums[at] = blobSum{info, sum}
	return syncUp(up.root, path.Dir(at))
}

// syncUp makes the names in a folder durable, and those of the folders above it.
func syncUp(root *os.Root, dir string) error {
	for ; dir != "."; dir = path.Dir(dir) {
		if err := disk.Sync(root, dir); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a file or an empty folder. errNotRemoved: there is none.
func (b *blobs) remove(kind, name string) error {
	root, err := b.folder.Open()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at, err := place(root, kind, name)
	if err != nil || root.Remove(at) != nil {
		return errNotRemoved
	}
	delete(b.sums, at)
	return disk.Sync(root, path.Dir(at))
}

// list returns the names in a folder, those of folders with a slash at the end.
// errNoBlob: there is no such folder.
func (b *blobs) list(kind, name string) ([]string, error) {
	root, err := b.folder.Open()
	if err != nil {
		return nil, err
	}
	at, err := place(root, kind, name)
	if err != nil {
		return nil, errNoBlob
	}
	if info, err := root.Lstat(at); err != nil || !info.IsDir() {
		return nil, errNoBlob
	}
	entries, err := fs.ReadDir(root.FS(), at)
	if err != nil {
		return nil, fmt.Errorf("endpoint: list %s: %w", at, err)
	}
	names := []string{}
	for _, entry := range entries {
		switch {
		case entry.IsDir():
			names = append(names, entry.Name()+"/")
		case entry.Type().IsRegular():
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

package endpoint

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
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

	// sync makes the names in a folder durable: disk.Sync.
	sync func(root *os.Root, dir string) error

	// mu lets nobody see a name, or that it is gone, before that is durable; it
	// guards what follows.
	mu       sync.Mutex
	sums     map[string]blobSum
	unsynced map[string]bool // folders with names that are not durable yet
}

func newBlobs(folder *disk.Folder) *blobs {
	return &blobs{folder: folder, sync: disk.Sync, sums: map[string]blobSum{}, unsynced: map[string]bool{}}
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

// find returns what has a name. It is called with the names locked. errNoBlob:
// nothing has it.
func (b *blobs) find(root *os.Root, kind, name string) (at string, info os.FileInfo, err error) {
	if err := b.settle(root); err != nil {
		return "", nil, err
	}
	if at, err = place(root, kind, name); err == nil {
		info, err = root.Lstat(at)
	}
	if err != nil {
		return "", nil, errNoBlob
	}
	return at, info, nil
}

// open returns a file, with a checksum that is computed when it is asked for
// first. errNoBlob: there is no such file.
func (b *blobs) open(kind, name string) (*blob, error) {
	f, at, err := b.openFile(kind, name)
	if err != nil {
		return nil, err
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

func (b *blobs) openFile(kind, name string) (*os.File, string, error) {
	root, err := b.folder.Open()
	if err != nil {
		return nil, "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at, info, err := b.find(root, kind, name)
	if err != nil {
		return nil, "", err
	}
	if !info.Mode().IsRegular() {
		return nil, "", errNoBlob
	}
	f, err := root.Open(at)
	if err != nil {
		return nil, "", errNoBlob
	}
	return f, at, nil
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
	err = up.root.MkdirAll(path.Dir(at), 0o700)
	b.touch(up.root, path.Dir(at))
	if err != nil {
		return err
	}
	if old, err := up.root.Lstat(at); err == nil && old.IsDir() {
		return taken("open", at, syscall.EISDIR)
	}
	if err := up.root.Rename(up.path, at); err != nil {
		return err
	}
	b.sums[at] = blobSum{info, sum}
	return b.settle(up.root)
}

// touch notes that the names in a folder, and in those above it, may have changed.
// MkdirAll may have made some of them only.
func (b *blobs) touch(root *os.Root, dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, err := root.Lstat(dir); err == nil {
			b.unsynced[dir] = true
		}
	}
}

// settle makes the names durable that are not yet: those of a change, or of one that
// failed before. The folders above come after those in them.
func (b *blobs) settle(root *os.Root) error {
	for _, dir := range slices.Backward(slices.Sorted(maps.Keys(b.unsynced))) {
		if err := b.sync(root, dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("endpoint: sync %s: %w", dir, err)
		}
		delete(b.unsynced, dir)
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
	if err := b.settle(root); err != nil {
		return err
	}
	at, err := place(root, kind, name)
	if err != nil || root.Remove(at) != nil {
		return errNotRemoved
	}
	b.touch(root, path.Dir(at))
	delete(b.sums, at)
	delete(b.unsynced, at)
	return b.settle(root)
}

// list returns the names in a folder, those of folders with a slash at the end.
// errNoBlob: there is no such folder.
func (b *blobs) list(kind, name string) ([]string, error) {
	root, err := b.folder.Open()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at, info, err := b.find(root, kind, name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
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

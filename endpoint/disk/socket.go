package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// maxSocketPath is how long the path of a Unix socket may be everywhere.
const maxSocketPath = 103

// Listen makes a Unix socket that only this user can connect to. It
// replaces a socket on which nobody listens any more, and nothing else. The
// socket is made in a folder of its own and then moved, so that it never lies
// there with other permissions than 0600. It returns what lies at path, by which the
// caller can tell its own socket from a later one when it removes it.
func Listen(path string) (*net.UnixListener, fs.FileInfo, error) {
	if err := replaceable(path); err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	if most := maxSocketPath - (len(made) - len(filepath.Dir(path))); len(made) > maxSocketPath || len(path) > maxSocketPath {
		return nil, nil, fmt.Errorf("expected a folder with a path of at most %d bytes, found %s", most, path)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	l.SetUnlinkOnClose(false) // by then another may have that name
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, path)
	}
	info, statErr := os.Lstat(path)
	if err = errors.Join(err, statErr); err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, info, nil
}

// replaceable returns an error if something lies at path that is not a socket
// left over.
func replaceable(path string) error {
	found, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket; name another path", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("somebody listens on %s; name another path", path)
	}
	return nil
}

//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package endpoint

import (
	"errors"
	"os"
)

// lockFile is not there for systems on which nobody has tried it, and neither are
// data files.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("expected a system with flock, such as Linux: run without a data file here")
}

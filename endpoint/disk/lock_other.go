//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package disk

import (
	"errors"
	"os"
)

// lock is not there for systems on which nobody has tried it, and neither is
// File.
func lock(string) (*os.File, error) {
	return nil, errors.New("expected a system with flock, such as Linux: run without a data file here")
}

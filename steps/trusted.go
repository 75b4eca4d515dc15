package steps

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// plainFile is what the name of a file may be that is asked for across a border of
// rights: no path, and nothing that means more than itself anywhere.
var plainFile = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\.yaml$`)

// One returns the step of one file, asked for by its name, for a process that runs it
// with more rights than whoever asks has: nobody else than root and the user of this
// process can have written the file, have put it there or have put another directory
// into the place of dir. The error is ErrInvalid.
func One(dir, name string) (Step, error) {
	s, err := one(dir, name)
	if err != nil {
		return Step{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s, nil
}

func one(dir, name string) (Step, error) {
	if !plainFile.MatchString(name) {
		return Step{}, fmt.Errorf("expected the name of a file, of letters, digits, dots, dashes and underscores, that ends in .yaml, found %q", name)
	}
	dir, err := trusted(dir)
	if err != nil {
		return Step{}, err
	}
	file := filepath.Join(dir, name)
	if info, err := os.Lstat(file); err == nil && info.Mode().Type() == fs.ModeSymlink {
		return Step{}, fmt.Errorf("%s: expected a file, found a link: copy the file there", file)
	}
	raw, err := content(file)
	if err != nil {
		return Step{}, err
	}
	return parse(file, raw)
}

// trusted returns the directory without links, and refuses it if it, or one that
// leads to it, is not as own wants it. Those that lead there may be written by anybody
// whom their sticky bit keeps from what is not his.
func trusted(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	for path := dir; err == nil; path = filepath.Dir(path) {
		info, err := os.Lstat(path)
		if err != nil {
			return "", err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if sticky := path != dir && info.Mode()&fs.ModeSticky != 0 && ok && stat.Uid == 0; !sticky {
			if err := own(path, info); err != nil {
				return "", err
			}
		}
		if path == filepath.Dir(path) {
			break
		}
	}
	return dir, err
}

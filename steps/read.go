package steps

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// mostBytes bounds a file, and mostSteps how many there are.
const (
	mostBytes = 64 << 10
	mostSteps = 256
)

// Read returns the steps of a directory, in the order of the names of its files,
// which end in .yaml; other files are left alone. The error is ErrInvalid, and
// also fs.ErrNotExist if there is no directory.
func Read(dir string) ([]Step, error) {
	files, err := list(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var all []Step
	var faults []error
	first := map[string]string{} // name → file
	for _, file := range files {
		raw, err := content(file)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		s, err := parse(file, raw)
		if err != nil {
			faults = append(faults, err)
		}
		if other, there := first[s.Name]; there && s.Name != "" {
			faults = append(faults, fmt.Errorf("%s: name: expected another than that of the step in %s, found %q there too", at(file, raw, "name"), other, s.Name))
		}
		first[s.Name] = file
		all = append(all, s)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return all, nil
}

// list returns the files of the directory that hold steps.
func list(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	info, err := d.Stat()
	if err != nil {
		return nil, err
	}
	if err := own(dir, info); err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var files []string
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "."): // of an editor
		case strings.HasSuffix(name, ".yml"):
			return nil, fmt.Errorf("%s: expected a name that ends in .yaml: rename it, or remove it", filepath.Join(dir, name))
		case strings.HasSuffix(name, ".yaml"):
			files = append(files, filepath.Join(dir, name))
		}
	}
	if len(files) > mostSteps {
		return nil, fmt.Errorf("%s: expected at most %d steps, found %d", dir, mostSteps, len(files))
	}
	return files, nil
}

// own refuses what somebody else than the owner can write, or somebody else than
// root and the user of this process owns: it says what is run here.
func own(path string, info os.FileInfo) error {
	if found := info.Mode().Perm(); found&0o022 != 0 {
		return fmt.Errorf("%s: expected that its owner alone can write it, found mode %04o: run `chmod go-w %s`", path, found, path)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: expected user %d or root as its owner, found user %d: run `chown root %s`", path, os.Geteuid(), stat.Uid, path)
	}
	return nil
}

// content reads a file whole.
func content(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is refused, and not waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: expected a file, found %s", file, info.Mode().Type())
	}
	if err := own(file, info); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, mostBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(raw) > mostBytes:
		return nil, fmt.Errorf("%s: expected at most %d bytes", file, mostBytes)
	case len(raw) == 0:
		return nil, fmt.Errorf("%s: expected a step, found an empty file", file)
	case raw[len(raw)-1] != '\n':
		return nil, fmt.Errorf("%s:%d: expected a newline at the end: the file may be half-written", file, 1+strings.Count(string(raw), "\n"))
	}
	return raw, nil
}

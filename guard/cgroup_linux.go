package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// cgroup is the control group (v2) of one command, nil if there is none. Its
// methods are best effort: what counts is whether it is populated.
type cgroup struct {
	dir string
}

// newCgroup makes a cgroup in the own one. The error says why there is none,
// as on a host without cgroup v2 or where the own cgroup was not delegated.
func newCgroup() (*cgroup, error) {
	own, err := OwnCgroup()
	if err != nil {
		return nil, err
	}
	sweep(own)
	dir, err := os.MkdirTemp(own, fmt.Sprintf("%s-%d-*", name, os.Getpid()))
	if err != nil {
		return nil, err
	}
	g := &cgroup{dir: dir}
	if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err != nil { // since Linux 5.14
		g.remove()
		return nil, err
	}
	return g, nil
}

// Populated reports whether a process lives in the cgroup of this directory, or in one
// below it. If that cannot be read it says yes, unless the cgroup is gone.
func Populated(dir string) bool { return (&cgroup{dir: dir}).populated() }

// OwnCgroup returns the directory of this process's cgroup, wherever cgroup v2
// is mounted: on hybrid hosts, beside v1. The error says why there is none.
func OwnCgroup() (string, error) {
	path := ""
	err := eachLine("/proc/self/cgroup", func(line string) {
		if p, v2 := strings.CutPrefix(line, "0::"); v2 {
			path = p
		}
	})
	if err != nil || path == "" {
		return "", errors.Join(errors.New("no cgroup v2"), err)
	}
	dir := ""
	err = eachLine("/proc/self/mountinfo", func(line string) {
		mount, kind, _ := strings.Cut(line, " - ")
		fields := strings.Fields(mount) // id, parent, device, root, mount point, …
		if !strings.HasPrefix(kind, "cgroup2 ") || len(fields) < 5 {
			return
		}
		if below, err := filepath.Rel(fields[3], path); err == nil && filepath.IsLocal(below) {
			dir = filepath.Join(fields[4], below)
		}
	})
	if err != nil || dir == "" {
		return "", errors.Join(fmt.Errorf("cgroup %s is not mounted here", path), err)
	}
	return dir, nil
}

// sweep removes the empty cgroups that were left where lead and guard were
// killed together: those of a lead that is no more.
func sweep(own string) {
	left, err := filepath.Glob(filepath.Join(own, name+"-*-*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), name+"-"), "-")
		pid, err := strconv.Atoi(number)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			os.Remove(dir) // fails if something lives there still
		}
	}
}

func eachLine(file string, do func(line string)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		do(lines.Text())
	}
	return lines.Err()
}

// kill sends KILL to every process in the cgroup, at one moment for all.
func (g *cgroup) kill() {
	if g == nil {
		return
	}
	f, err := os.OpenFile(filepath.Join(g.dir, "cgroup.kill"), os.O_WRONLY, 0)
	if err != nil {
		return // the other process has removed it
	}
	defer f.Close()
	f.WriteString("1") // populated tells
}

// populated reports whether a process of the cgroup lives. If that cannot be
// read it says yes, unless the cgroup is gone.
func (g *cgroup) populated() bool {
	if g == nil {
		return false
	}
	raw, err := os.ReadFile(filepath.Join(g.dir, "cgroup.events"))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return err != nil || !slices.Contains(strings.Split(string(raw), "\n"), "populated 0")
}

// remove removes the cgroup and those that the command made in it.
func (g *cgroup) remove() {
	if g == nil {
		return
	}
	var dirs []string
	filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		os.Remove(dir)
	}
}

package packaging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// newCgroups makes a cgroup for a machine in each hierarchy in which systemd keeps its
// units: machines in the same one would end the services of each other. It returns
// their directories.
func newCgroups(name string) (dirs []string, err error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(raw)) {
		mount, kind, _ := strings.Cut(line, " - ")
		f := strings.Fields(mount) // id, parent, device, root, mount point, …
		unified, named := strings.HasPrefix(kind, "cgroup2 "), strings.HasPrefix(kind, "cgroup ") && strings.Contains(kind, "name=systemd")
		if len(f) < 5 || !unified && !named {
			continue
		}
		dir := filepath.Join(f[4], fmt.Sprintf("muster-e2e-%d-%s", os.Getpid(), name))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, removeCgroups(dirs))
		}
		dirs = append(dirs, dir)
	}
	if len(dirs) == 0 {
		return nil, errors.New("no cgroups that systemd could use are mounted here")
	}
	return dirs, nil
}

// removeCgroups removes cgroups and those in them. Nobody lives there any more.
func removeCgroups(dirs []string) error {
	var faults []error
	for _, dir := range dirs {
		var below []string
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				below = append(below, path)
			}
			return nil
		})
		for _, path := range slices.Backward(below) {
			if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
				faults = append(faults, err)
			}
		}
	}
	return errors.Join(faults...)
}

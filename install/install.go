package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrInvalid means that this host or what it is to become is not as it has to be.
var ErrInvalid = errors.New("install")

// Where things lie. The configuration and the tokens are where packages have them.
const (
	Program     = "/usr/local/bin/muster"
	Settings    = "/etc/muster/muster.yaml"
	CAFile      = "/etc/muster/ca.pem"
	Credentials = "/var/lib/muster/credentials"

	name         = "muster"
	unitDir      = "/etc/systemd/system"
	unitFile     = unitDir + "/muster.service"
	sysusersFile = "/etc/sysusers.d/muster.conf"
	stateDir     = "/var/lib/muster"
	settingsDir  = "/etc/muster"
	underWay     = settingsDir + "/.installing" // while an installation makes changes
)

// packaged are where a package has its unit.
var packaged = []string{"/usr/lib/systemd/system/muster.service", "/lib/systemd/system/muster.service"}

// Content is what a host is given.
type Content struct {
	Program  []byte
	Settings []byte            // of muster.yaml
	CA       []byte            // PEM; none if empty
	Tokens   map[string][]byte // name in Credentials → token; those that are not named stay
	Unit     string            // as Systemd has got it
	Units    map[string]string // file → text of those beside it, which nobody starts here
	Sysusers string
}

// Host is where things are installed. It is for use by one goroutine.
type Host struct {
	Root string // before every path; "" but in tests
	// Service returns the service with this unit text: Systemd.
	Service func(unit string) (Service, error)
	// Users makes the users of a sysusers file, and returns the ids of muster's.
	Users func(ctx context.Context, sysusers string) (uid, gid int, err error)
}

// Check returns ErrInvalid if the host has the package, whose unit would run
// beside this one.
func (h *Host) Check() error {
	for _, path := range packaged {
		if _, err := os.Stat(h.Root + path); err == nil {
			return fmt.Errorf("%w: the package of this host has the unit (%s): configure that in %s and %s, or remove the package", ErrInvalid, path, Settings, Credentials)
		}
	}
	return nil
}

// Install makes the host what c says and starts the agent, or restarts it if
// something of it has changed, now or in an installation that was killed. It returns
// what it changed. After an error everything is as before.
func (h *Host) Install(ctx context.Context, c Content) (changed []string, err error) {
	if err := h.Check(); err != nil {
		return nil, err
	}
	service, err := h.Service(c.Unit)
	if err != nil {
		return nil, err
	}
	w := &work{host: h, service: service, uid: -1, gid: -1, resumed: exists(h.Root + underWay)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.undo())
		}
		if w.own != nil {
			err = errors.Join(err, w.own.Close())
		}
	}()
	w.file(Program, c.Program, 0o755)
	w.file(sysusersFile, []byte(c.Sysusers), 0o644)
	w.do(func() (err error) {
		w.uid, w.gid, err = h.Users(ctx, h.Root+sysusersFile)
		return err
	})
	w.file(Settings, c.Settings, 0o644)
	if len(c.CA) > 0 {
		w.file(CAFile, c.CA, 0o644)
	}
	w.state()
	w.directory(Credentials)
	for _, token := range slices.Sorted(maps.Keys(c.Tokens)) {
		w.private(filepath.Join(Credentials, token), c.Tokens[token])
	}
	w.beside(c.Units)
	w.unit(c.Unit)
	w.start(c.Units)
	if w.err == nil {
		_ = os.Remove(h.Root + underWay) // if that fails, the next one restarts the agent once more
	}
	return w.changed, w.err
}

// Uninstall stops the agent and takes away what Install put there, units of these
// names among it, but for the configuration, the tokens and the state, which purge
// takes away too, with the user. If a package was installed over that, they are the
// package's, and stay. ErrInvalid: there is nothing but the package.
func (h *Host) Uninstall(ctx context.Context, units []string, purge bool) error {
	packaged := h.Check()
	if packaged != nil && !h.installed() {
		return packaged
	}
	service, err := h.Service("")
	if err != nil {
		return err
	}
	var faults []error
	if exists(h.Root + unitFile) {
		faults = append(faults, service.Stop(), service.Uninstall())
	}
	gone := []string{sysusersFile, Program, underWay}
	for _, file := range units {
		if h.Root == "" {
			faults = append(faults, retire(ctx, file))
		}
		gone = append(gone, filepath.Join(unitDir, file))
	}
	purge = purge && packaged == nil
	if purge {
		gone = append(gone, settingsDir, stateDir)
	}
	for _, path := range gone {
		faults = append(faults, os.RemoveAll(h.Root+path))
	}
	faults = append(faults, service.Reload())
	if _, err := user.Lookup(name); purge && err == nil && h.Root == "" {
		faults = append(faults, run(ctx, "userdel", name))
	}
	return errors.Join(faults...)
}

// installed reports whether the agent's unit is Install's: one of a package that somebody
// edited runs another program.
func (h *Host) installed() bool {
	unit, err := os.ReadFile(h.Root + unitFile)
	return err == nil && strings.Contains(string(unit), "ExecStart="+Program+" ")
}

// retire stops a unit and all instances of it, and has the host's start forget it.
func retire(ctx context.Context, file string) error {
	if !exists(filepath.Join(unitDir, file)) {
		return nil
	}
	instances := strings.ReplaceAll(file, "@.", "@*.")
	return errors.Join(run(ctx, "systemctl", "stop", instances), run(ctx, "systemctl", "disable", file))
}

// Sysusers makes the users of a sysusers file by systemd's own tool.
func Sysusers(ctx context.Context, file string) (uid, gid int, err error) {
	if err := run(ctx, "systemd-sysusers", file); err != nil {
		return 0, 0, err
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	uid, err = strconv.Atoi(u.Uid)
	if err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// exists reports whether there is something at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

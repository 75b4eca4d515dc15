package packaging

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	flagHost  = flag.Bool("host", false, "boot machines, and install the packages there (make e2e)")
	flagCache = flag.String("cache", "", "directory that keeps what machines are copied from; delete it to have it made anew")
)

// host is a Debian machine with a real systemd, in a container that shares the
// network of this one.
type host struct {
	t       *testing.T
	name    string
	root    string
	nspawn  *exec.Cmd
	says    *os.File // its complaints
	init    int      // process id of its first process
	since   string   // errors in the journal of before are not counted
	cgroups []string // its own, by their directories
}

// patience is how long something that has to happen may take here.
const patience = 2 * time.Minute

// debian is a machine that was never booted. It is made once.
var debian = sync.OnceValues(func() (string, error) {
	dir := *flagCache
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "muster-debian-*"); err != nil {
			return "", err
		}
		spare = dir
	}
	base := filepath.Join(dir, "debian")
	if _, err := os.Stat(base); err == nil {
		return base, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	half := base + ".half" // until it is whole
	if err := os.RemoveAll(half); err != nil {
		return "", err
	}
	out, err := exec.Command("debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,rpm,curl,ca-certificates", "stable", half).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("debootstrap: %w: it needs root, and a mirror of Debian that answers\n%s", err, out)
	}
	return base, os.Rename(half, base)
})

// spare is a directory to be removed after the tests.
var spare string

func TestMain(m *testing.M) {
	code := m.Run()
	if spare != "" {
		os.RemoveAll(spare)
	}
	os.Exit(code)
}

// needHosts skips where no machine is to be booted, and fails where none can be.
func needHosts(t *testing.T) {
	t.Helper()
	if !*flagHost {
		t.Skip("boots machines: make e2e, make e2e-slice")
	}
	if os.Geteuid() != 0 {
		t.Fatal("boots machines in containers: needs root")
	}
	for _, tool := range []string{"debootstrap", "systemd-nspawn", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("boots machines in containers: %v: run scripts/need-tools.sh packages e2e", err)
		}
	}
}

// newHosts installs machines of these names and boots them. The packages lie there
// in /packages.
func newHosts(t *testing.T, names ...string) []*host {
	t.Helper()
	base, err := debian()
	if err != nil {
		t.Fatal(err)
	}
	var hosts []*host
	for _, name := range names {
		h := &host{t: t, name: name, root: filepath.Join(t.TempDir(), "root")}
		run(t, "cp", "--archive", "--reflink=auto", base, h.root)
		h.file("etc/hostname", name+"\n")
		packages := filepath.Join(h.root, "packages")
		if err := os.MkdirAll(filepath.Join(packages, "newer"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, pkg := range []string{"*_amd64.deb", "*.x86_64.rpm"} {
			run(t, "cp", only(t, pkg), packages)
			if newer, err := filepath.Glob(filepath.Join(*flagPackages, "newer", pkg)); err == nil && len(newer) == 1 {
				run(t, "cp", newer[0], filepath.Join(packages, "newer"))
			}
		}
		t.Cleanup(h.shutdown)
		h.begin()
		hosts = append(hosts, h)
	}
	for _, h := range hosts {
		h.booted()
	}
	return hosts
}

// boot starts the machine and returns once everything on it has started.
func (h *host) boot() {
	h.t.Helper()
	h.begin()
	h.booted()
}

func (h *host) begin() {
	h.t.Helper()
	groups, err := newCgroups(h.name)
	if err != nil {
		h.t.Fatalf("%s needs a cgroup of its own: %v: run this where root may make some", h.name, err)
	}
	h.cgroups = groups
	const enter = `for group in $1; do echo $$ >$group/cgroup.procs; done; shift; exec "$@"`
	h.nspawn = exec.Command("sh", "-ec", enter, "sh", strings.Join(groups, " "),
		"systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe", "--boot", "--machine="+h.name, "--directory="+h.root)
	h.nspawn.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM} // has the machine power off
	if h.says, err = os.CreateTemp(h.t.TempDir(), "nspawn"); err != nil {
		h.t.Fatal(err)
	}
	defer h.says.Close()
	h.nspawn.Stderr = h.says
	if err := h.nspawn.Start(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) booted() {
	h.t.Helper()
	await(h.t, h.name+" to boot", func() error {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", h.nspawn.Process.Pid))
		if err != nil {
			return err
		}
		if h.init, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
			said, _ := os.ReadFile(h.says.Name())
			return fmt.Errorf("systemd-nspawn runs nothing: %s", said)
		}
		state, err := h.try("systemctl is-system-running")
		if strings.TrimSpace(state) != "running" {
			return fmt.Errorf("it is %q (%v)", state, err)
		}
		return nil
	})
}

// shutdown has the machine end as by its power button.
func (h *host) shutdown() {
	if h.nspawn == nil || h.nspawn.Process == nil {
		return
	}
	h.try("systemctl poweroff --no-block")
	force := time.AfterFunc(time.Minute, func() { syscall.Kill(-h.nspawn.Process.Pid, syscall.SIGKILL) })
	defer force.Stop()
	h.nspawn.Wait()
	h.nspawn = nil
	await(h.t, "the cgroups of "+h.name+" to be removed", func() error { return removeCgroups(h.cgroups) })
}

// try runs a script on the machine, as root.
func (h *host) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(h.init), "--mount", "--uts", "--ipc", "--pid", "--cgroup",
		"env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "sh", "-ec", script)
	cmd.WaitDelay = time.Second // what it left behind may hold its output
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sh runs a script on the machine, which must succeed.
func (h *host) sh(script string) string {
	h.t.Helper()
	out, err := h.try(script)
	if err != nil {
		h.t.Fatalf("%s: %v\n%s\n%s", script, err, out, h.journal())
	}
	return strings.TrimSpace(out)
}

func (h *host) journal() string {
	out, _ := h.try("journalctl --no-pager --unit muster --unit 'muster-root*' --lines 60")
	return out
}

// file writes a file of the machine, for the agent's user alone if private.
func (h *host) file(path, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.root, path), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, condition func() error) {
	t.Helper()
	err := errors.New("not tried")
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		err = condition()
	}
	if err != nil {
		t.Fatalf("waited %s for %s: %v", patience, what, err)
	}
}

// well checks that the unit runs, is watched and has had no trouble since the last
// time that there was to be some.
func (h *host) well() {
	h.t.Helper()
	await(h.t, "the unit to be active", func() error {
		if out, err := h.try("systemctl is-active muster"); err != nil {
			return fmt.Errorf("%w: %s\n%s", err, out, h.journal())
		}
		return nil
	})
	if got := h.sh("systemctl show muster --property NRestarts --property WatchdogUSec --property User"); got != "WatchdogUSec=1min\nNRestarts=0\nUser=muster" {
		h.t.Errorf("the unit: %s", got)
	}
	if got := h.sh("systemctl show muster --property WatchdogTimestampMonotonic --value"); got == "" || got == "0" {
		h.t.Errorf("its watchdog was never fed: %q", got)
	}
	since := ""
	if h.since != "" {
		since = " --since=@" + h.since
	}
	if got := h.sh("journalctl --no-pager --quiet --unit muster --unit 'muster-root*' --priority err" + since + "; ! journalctl --no-pager --unit muster --unit 'muster-root*'" + since + " | grep -F '[ERROR]'"); got != "" {
		h.t.Errorf("errors in the journal: %s", got)
	}
}

// forgive has errors in the journal up to now not be counted: they were meant.
func (h *host) forgive() {
	h.t.Helper()
	h.since = h.sh("sleep 1; date +%s; systemctl reset-failed")
}

// nothing checks that a package has left nothing.
func (h *host) nothing() {
	h.t.Helper()
	h.sh("systemctl daemon-reload")
	if got := h.sh("find / -xdev -iname '*muster*' -not -path '/packages/*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/systemd/*' -not -path '/var/log/*'; getent passwd muster || true"); got != "" {
		h.t.Errorf("left behind:\n%s", got)
	}
	await(h.t, "systemd to forget the units", func() error {
		if got := h.sh("systemctl daemon-reload; systemctl list-units --all --no-legend 'muster*'"); got != "" {
			return errors.New(got)
		}
		return nil
	})
}

// restarted waits until the agent is another process than pid, which is that before a
// restart.
func (h *host) restarted(pid string) {
	h.t.Helper()
	await(h.t, "the restart", func() error {
		if now := h.pid(); now == "0" || now == pid {
			return fmt.Errorf("it is process %s still", now)
		}
		return nil
	})
}

func (h *host) pid() string {
	h.t.Helper()
	return h.sh("systemctl show muster --property MainPID --value")
}

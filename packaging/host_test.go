package packaging

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// host is a Debian machine with a real systemd, in a container that shares the
// network of this one.
type host struct {
	t      *testing.T
	root   string
	nspawn *exec.Cmd
	init   int // process id of its first process
}

// patience is how long something that has to happen may take here.
const patience = 2 * time.Minute

// newHost installs a machine and boots it. The packages lie there in /packages.
func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("boots a machine in a container: needs root")
	}
	h := &host{t: t, root: filepath.Join(t.TempDir(), "root")}
	run(t, "debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,rpm", "stable", h.root)
	if err := os.Mkdir(filepath.Join(h.root, "packages"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"*_amd64.deb", "*.x86_64.rpm"} {
		run(t, "cp", only(t, pkg), filepath.Join(h.root, "packages"))
	}
	t.Cleanup(h.shutdown)
	h.boot()
	return h
}

// boot starts the machine and returns once everything on it has started.
func (h *host) boot() {
	h.t.Helper()
	h.nspawn = exec.Command("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe", "--boot", "--directory="+h.root)
	h.nspawn.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := h.nspawn.Start(); err != nil {
		h.t.Fatal(err)
	}
	await(h.t, "the machine to boot", func() error {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", h.nspawn.Process.Pid))
		if err != nil {
			return err
		}
		if h.init, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
			return err
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
}

// try runs a script on the machine, as root.
func (h *host) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(h.init), "--mount", "--uts", "--ipc", "--pid", "--cgroup",
		"env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "sh", "-ec", script)
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
	out, _ := h.try("journalctl --no-pager --unit muster --lines 40")
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

//go:build linux

package lab_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"gitlab.com/rackn/provision/v4/models"
)

// host is a host that tasks believe to be their own: a directory of files, and
// the commands of a host, which are pretended.
type host struct {
	*site
	kind, root, bin string
}

// pretended are the commands of a host. In each $MUSTER_ROOT is the host's directory.
var pretended = map[string]string{
	"dpkg-query": `[ "$KIND" = deb ] || exit 1
[ "$2" = dpkg ] || cat "$MUSTER_ROOT/installed"`,
	"apt-get": `for file; do :; done
echo "apt-get $*" >>"$MUSTER_ROOT/did"
case "$*" in *" purge muster") cd "$MUSTER_ROOT" && exec rm -rf installed usr var etc ;; esac
"$LAY" "$file" && printf 'installed muster_1.0' >"$MUSTER_ROOT/installed"`,
	"rpm": `[ "$KIND" = rpm ] || exit 1
case "$*" in
"-q rpm") ;;
"-q muster") cat "$MUSTER_ROOT/installed" ;;
"-e muster") echo "rpm $*" >>"$MUSTER_ROOT/did"; exec rm -rf "$MUSTER_ROOT/installed" "$MUSTER_ROOT/usr" ;;
*) for file; do :; done
echo "rpm $*" >>"$MUSTER_ROOT/did"
"$LAY" "$file" && basename "$file" .rpm | tr -d '\n' >"$MUSTER_ROOT/installed" ;;
esac`,
	// What a package does: its content is the program.
	"lay": `mkdir -p "$MUSTER_ROOT/usr/bin" "$MUSTER_ROOT/var/lib/muster/credentials" "$MUSTER_ROOT/etc/muster"
chmod 0700 "$MUSTER_ROOT/var/lib/muster" "$MUSTER_ROOT/var/lib/muster/credentials"
[ -e "$MUSTER_ROOT/etc/muster/muster.yaml" ] || echo '#log_level: info' >"$MUSTER_ROOT/etc/muster/muster.yaml"
install -m 0755 "$1" "$MUSTER_ROOT/usr/bin/muster"`,
	"runuser": `[ "$1 $2 $3" = "-u muster --" ] && shift 3 && exec "$@"`,
	"systemctl": `case $AGENT in
pretended) exit 0 ;;
broken) exit 3 ;;
slow) exec sleep 60 ;;
esac
[ "$1" = --quiet ] || echo "systemctl $*" >>"$MUSTER_ROOT/did"
case $1 in
stop | restart) [ ! -e "$MUSTER_ROOT/pid" ] || { kill "$(cat "$MUSTER_ROOT/pid")"; while [ -S "$MUSTER_ROOT/sock" ]; do sleep 0.05; done; } ;;
esac
case "$1 $2" in
"start muster" | "restart muster")
	[ -S "$MUSTER_ROOT/sock" ] || {
		env -i "PATH=$PATH" "MUSTER_CONFIG=$MUSTER_ROOT/etc/muster/muster.yaml" "MUSTER_STATE_DIR=$MUSTER_ROOT/var/lib/muster" \
			"MUSTER_SOCKET=$MUSTER_ROOT/sock" setsid "$MUSTER" agent </dev/null >>"$MUSTER_ROOT/journal" 2>&1 &
		echo $! >"$MUSTER_ROOT/pid"
	}
	while [ ! -S "$MUSTER_ROOT/sock" ]; do kill -0 "$(cat "$MUSTER_ROOT/pid")" || exit 1; sleep 0.05; done ;;
"--quiet is-active") [ -S "$MUSTER_ROOT/sock" ] ;;
esac`,
	"uname":      `echo x86_64`,
	"journalctl": `cat "$MUSTER_ROOT/journal"`,
}

// newHost makes a host of a kind: "deb", "rpm" or "" for neither.
func (st *site) newHost(kind string) *host {
	st.t.Helper()
	root, err := os.MkdirTemp("", "host") // short enough for a socket
	if err != nil {
		st.t.Fatal(err)
	}
	h := &host{site: st, kind: kind, root: root, bin: filepath.Join(root, "bin")}
	st.t.Cleanup(func() {
		h.stop()
		if err := os.RemoveAll(root); err != nil {
			st.t.Error(err)
		}
	})
	if err := os.Mkdir(h.bin, 0o700); err != nil {
		st.t.Fatal(err)
	}
	for name, script := range pretended {
		h.pretend(name, script)
	}
	return h
}

// pretend puts a command in the place of the host's own.
func (h *host) pretend(name, script string) {
	h.t.Helper()
	h.executable(filepath.Join(h.bin, name), "#!/bin/sh\n"+script+"\n")
}

// executable writes a file that is to be executed. No process is started meanwhile:
// one that inherits the open file would keep it from being executed.
func (h *host) executable(path, text string) {
	h.t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		h.t.Fatal(err)
	}
}

// env is what makes a task believe to be on the host.
func (h *host) env() []string {
	return []string{
		"PATH=" + h.bin + ":" + os.Getenv("PATH"), "MUSTER_ROOT=" + h.root, "KIND=" + h.kind,
		"MUSTER_SOCKET=" + filepath.Join(h.root, "sock"), "MUSTER_STATE_DIR=" + filepath.Join(h.root, "var/lib/muster"),
		"LAY=" + filepath.Join(h.bin, "lay"), "MUSTER=" + filepath.Join(built, "muster"),
	}
}

// host makes a host of a kind, with a runner of the machine's tasks.
func (st *site) host(m *models.Machine, kind string) *host {
	st.t.Helper()
	h := st.newHost(kind)
	st.runner(m, h.env()...)
	return h
}

// stop ends the agent of the host.
func (h *host) stop() {
	var pid int
	if _, err := fmt.Sscan(h.file("pid"), &pid); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		h.until(func() string { return "the agent of the host does not end" }, func() bool {
			args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			return len(args) == 0 // it is gone, or waits for its parent to look
		})
	}
	if h.t.Failed() && h.file("journal") != "" {
		h.t.Logf("agent of %s:\n%s", h.root, h.file("journal"))
	}
}

// file returns what a file of the host says, "" if it is not there.
func (h *host) file(path string) string {
	raw, _ := os.ReadFile(filepath.Join(h.root, path))
	return string(raw)
}

// did returns what the host's commands were asked to do since it was asked last.
func (h *host) did() string {
	h.t.Helper()
	did := h.file("did")
	if err := os.RemoveAll(filepath.Join(h.root, "did")); err != nil {
		h.t.Fatal(err)
	}
	return did
}

// ask runs a command of Muster on the host.
func (h *host) ask(args ...string) string {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), filepath.Join(built, "muster"), args...)
	cmd.Env = []string{"MUSTER_CONFIG=" + filepath.Join(h.root, "etc/muster/muster.yaml"), "MUSTER_SOCKET=" + filepath.Join(h.root, "sock")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("muster %v: %v\n%s", args, err, out)
	}
	return string(out)
}

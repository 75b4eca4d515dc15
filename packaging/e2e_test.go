package packaging

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// One machine goes through the life of a package: what `make e2e-slice` runs.
func TestThePackageOnARealHost(t *testing.T) {
	needHosts(t)
	st := newSite(t, "node-01")
	h := newHosts(t, "node-01")[0]

	h.sh("dpkg --install /packages/*.deb")
	if got, _ := h.try("set +e; for unit in muster.service muster-root.socket; do systemctl is-enabled $unit; systemctl is-active $unit; systemctl is-failed $unit; done"); got != "enabled\ninactive\ninactive\ndisabled\ninactive\ninactive\n" {
		t.Errorf("without a token the units are %q", got)
	}
	st.configure(h)
	rootSteps(h)
	h.sh("systemctl start --no-block muster")
	await(t, "the agent to refuse a root step without a helper", func() error {
		if got := h.journal(); !strings.Contains(got, "systemctl enable --now muster-root.socket") {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	h.forgive()
	h.sh("systemctl enable --quiet --now muster-root.socket; systemctl start muster")
	h.well()
	tenure := st.of("leader", 1)[0]

	st.do("muster-lab", "endpoint", "workflow", "complete", "node-01")
	st.stepped(h, "first", "done")
	if got, want := h.sh("cat /root/first"), fmt.Sprintf("0 leader/1 %d", tenure.Epoch); got != want {
		t.Errorf("the root step wrote %q, want %q", got, want)
	}
	h.well()
	killed(st, h)

	// An upgrade is a restart, and the slot stays.
	before := h.pid()
	h.sh("dpkg --install /packages/newer/*.deb")
	h.restarted(before)
	h.well()
	st.same(h, tenure)
	if v := st.member(h).Version; !strings.Contains(v, "newer") {
		t.Errorf("version %s after the upgrade", v)
	}
	h.sh("systemctl reload muster")
	h.well()

	// A watchdog that is not fed sends ABRT.
	before = h.pid()
	h.sh("kill -ABRT " + before)
	h.restarted(before)
	h.forgive()
	h.well()

	h.shutdown()
	h.boot()
	h.well()
	st.same(h, tenure)

	h.sh("dpkg --remove muster")
	if got, _ := h.try("set +e; systemctl is-active muster muster-root.socket; ls /var/lib/muster/credentials /etc/muster"); !strings.HasPrefix(got, "inactive\ninactive\n") || !strings.Contains(got, "profile.token") || !strings.Contains(got, "muster.yaml") {
		t.Errorf("after remove: %s", got)
	}
	h.sh("dpkg --install /packages/*.deb; systemctl start muster-root.socket; systemctl start muster")
	h.well()
	st.same(h, tenure)

	// A root step that upgrades the host is not ended by the upgrade.
	before = h.pid()
	if out := h.sh("muster run --name upgrade --after leader:leader --role leader --root-step 91-upgrade.yaml; journalctl --unit 'muster-root@*'"); !strings.Contains(out, "the agent is that of before until you run: systemctl restart muster") {
		t.Errorf("the upgrade by a root step said %s", out)
	}
	if now := h.pid(); now != before {
		t.Errorf("during a root step the agent was restarted")
	}
	st.stepped(h, "upgrade", "done")
	h.sh("systemctl restart muster")
	h.well()
	if v := st.member(h).Version; !strings.Contains(v, "newer") {
		t.Errorf("version %s after the upgrade by a root step", v)
	}
	h.sh("dpkg --purge muster")
	h.nothing()
}

// same checks that the tenure is what it was.
func (st *site) same(h *host, want slot) {
	st.t.Helper()
	if got := st.of(want.Role, 1)[0]; got != want {
		st.t.Errorf("tenure %v on %s, want %v", got, h.name, want)
	}
}

// rootSteps gives a host the steps of these tests. The second hangs when it is run for the
// first time; the others are run by hand.
func rootSteps(h *host) {
	h.t.Helper()
	h.sh(`install -d /etc/muster/steps.d; cd /etc/muster/steps.d
cat >10-first.yaml <<'END'
name: first
role: leader
after: [complete]
user: root
command: [sh, -c, 'echo $(id -u) $MUSTER_ROLE/$MUSTER_SLOT $MUSTER_EPOCH >/root/first']
END
cat >20-second.yaml <<'END'
name: second
after: [complete]
user: root
command: [sh, -c, 'if [ ! -e /root/again ]; then touch /root/again; trap "" TERM; (setsid sleep 1001 &); sleep 1002; fi; sleep 0']
END
cat >91-upgrade.yaml <<'END'
name: upgrade
role: leader
after: ['param:never']
user: root
command: [sh, -c, 'dpkg --install /packages/newer/*.deb 2>&1']
END
cat >90-by-hand.yaml <<'END'
name: by-hand
role: leader
after: ['param:never']
user: root
command: [sh, -c, 'trap "" TERM; (setsid sleep 1001 &); sleep 1002; sleep 1003']
END`)
}

// sleeps counts the processes of root steps that hang.
func (h *host) sleeps() string {
	h.t.Helper()
	return h.sh(`for f in /proc/[0-9]*/cmdline; do tr '\0' ' ' <$f 2>/dev/null; echo; done | grep -c '^sleep 100' || true`)
}

func (h *host) sleeping(count string) {
	h.t.Helper()
	await(h.t, "so many processes of root steps: "+count, func() error {
		if got := h.sleeps(); got != count {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
}

// killed kills what has to do with root steps, and looks that nothing of them is left.
func killed(st *site, h *host) {
	h.t.Helper()
	// The agent: systemd kills all of its unit, and the end of the connection the step.
	h.sleeping("2")
	before := h.pid()
	h.sh("kill -KILL " + before)
	h.sleeping("0")
	h.restarted(before)
	st.stepped(h, "second", "unknown")
	h.sh("muster run --retry --name=second --after=complete --root-step=20-second.yaml")
	st.stepped(h, "second", "done")

	// The helper and its guard together: systemd kills the rest of that unit, and who asked
	// waits for that.
	h.sh("(muster run --name killed --after leader:leader --role leader --root-step 90-by-hand.yaml >/root/said 2>&1 || echo $? >/root/code) >/dev/null 2>&1 &")
	h.sleeping("2")
	h.sh(`kill -KILL $(for p in $(cat $(find /sys/fs/cgroup -path '*muster-root@*' -name cgroup.procs) | sort -u); do
	case $(tr '\0' ' ' </proc/$p/cmdline) in *root-step*|muster-guard*) echo $p;; esac; done) || true`) // the one may have ended with the other
	await(h.t, "who asked a helper that was killed to end", func() error {
		_, err := h.try("test -s /root/code")
		return err
	})
	if got := h.sleeps(); got != "0" {
		h.t.Errorf("the command of a killed helper has ended, and %s of its processes live", got)
	}
	if got := h.sh("cat /root/code /root/said"); !strings.HasPrefix(got, "1\n") || !strings.Contains(got, "the helper of root steps ended") {
		h.t.Errorf("with its helper killed a step said %q", got)
	}
	if got := h.sh("systemctl list-units --all --no-legend 'muster-root@*'"); got != "" {
		h.t.Errorf("helpers left: %s", got)
	}
	h.forgive()
	h.well()
}

// The rpm is for machines that have no dpkg; here rpm has a database of its own.
func TestTheRPMOnARealHost(t *testing.T) {
	needHosts(t)
	st := newSite(t, "node-01")
	h := newHosts(t, "node-01")[0]
	h.sh("mkdir -p /usr/lib/systemd/system-preset; echo 'disable *' >/usr/lib/systemd/system-preset/99-default-disable.preset") // as Red Hat's have it
	h.sh("rpm --install --nodeps /packages/*.rpm && systemctl enable --quiet --now muster-root.socket")
	st.configure(h)
	h.sh("systemctl start muster")
	h.well()
	tenure := st.of("leader", 1)[0]
	before := h.pid()
	h.sh("rpm --upgrade --nodeps /packages/newer/*.rpm")
	h.restarted(before)
	h.well()
	st.same(h, tenure)
	h.shutdown()
	h.boot()
	h.well()
	st.same(h, tenure)
	h.sh("rpm --erase muster")
	if got, _ := h.try("set +e; systemctl is-active muster muster-root.socket; rpm -q muster"); got != "inactive\ninactive\npackage muster is not installed\n" {
		t.Errorf("after the erase: %q", got)
	}
	h.sh("rm -rf /etc/muster /var/lib/muster; userdel muster")
	h.nothing()
}

// A host without a package.
func TestInstallOnARealHost(t *testing.T) {
	needHosts(t)
	st := newSite(t, "node-01")
	h := newHosts(t, "node-01")[0]
	h.file("root/program", st.read(filepath.Join(*flagBin, "muster")))
	h.file("root/token", st.token(h, "profile"))
	h.file("root/env", fmt.Sprintf("export RS_ENDPOINT=%s RS_UUID=%s RS_TOKEN=%s\n", st.url, st.uuids[h.name], strings.TrimSpace(st.token(h, "machine"))))
	h.sh("chmod 755 /root/program")
	install := ". /root/env; /root/program install --profile k3s --profile-token - </root/token"
	if out := h.sh(install); !strings.Contains(out, "pinned the certificate") || !strings.Contains(out, "wrote /etc/systemd/system/muster.service") {
		t.Errorf("install said:\n%s", out)
	}
	h.well()
	st.of("leader", 1)
	if out := h.sh(install); strings.Contains(out, "wrote") {
		t.Errorf("the second time it said:\n%s", out)
	}
	h.sh("muster restart; muster stop")
	if got, _ := h.try("systemctl is-active muster"); got != "inactive\n" {
		t.Errorf("stopped, the unit is %q", got)
	}
	h.sh("systemctl enable --quiet --now muster-root.socket; muster start")
	h.well()
	mended(h, install)
	told(h)
	h.file("root/ca.pem", st.read(filepath.Join(st.dir, "ca.pem")))
	h.sh(install + " --ca-file /root/ca.pem; grep -q ca_file /etc/muster/muster.yaml; ! grep fingerprint /etc/muster/muster.yaml")
	h.well()

	// A package over it refuses to be installed; one that is there all the same stays.
	if out, err := h.try("dpkg --force-confold --install /packages/*.deb 2>&1"); err == nil || !strings.Contains(out, "run `/usr/local/bin/muster uninstall`") {
		t.Errorf("over muster install the package says: %v\n%s", err, out)
	}
	h.well()
	h.sh("mv /usr/local/bin/muster /root/aside; dpkg --force-confold --install /packages/*.deb; mv /root/aside /usr/local/bin/muster")
	if out := h.sh("/root/program uninstall --purge"); !strings.Contains(out, "the package stays") {
		t.Errorf("under a package uninstall said:\n%s", out)
	}
	h.sh("test ! -e /usr/local/bin/muster; systemctl enable --quiet --now muster")
	h.well()
	if got := h.sh("systemctl show muster --property FragmentPath --value"); !strings.HasPrefix(got, "/usr/lib/") {
		t.Errorf("the unit is %s, want the package's", got)
	}
	h.sh("dpkg --purge muster")

	h.sh(install)
	h.well()
	h.sh("/root/program uninstall --purge; rm -r /root/program /root/token /root/env /root/ca.pem /root/bin")
	h.nothing()
}

// mended checks that an installation goes on from where one was killed, and that what it
// changes is in force.
func mended(h *host, install string) {
	h.t.Helper()
	h.sh(`mkdir /root/bin; cat >/root/bin/systemctl <<'END'
#!/bin/sh
case " $* " in *" $DEADLY "*) kill -KILL $PPID; exit 1;; esac
exec /usr/bin/systemctl "$@"
END
chmod 755 /root/bin/systemctl`)
	for _, row := range []struct{ deadly, change string }{
		{"enable", ": >/etc/systemd/system/muster.service"}, // as a kill in the midst of writing it
		{"restart", "echo '# older' >>/etc/muster/muster.yaml"},
	} {
		before := h.pid()
		if out, err := h.try(row.change + "; export DEADLY=" + row.deadly + " PATH=/root/bin:$PATH\n" + install); err == nil {
			h.t.Errorf("it was not killed at %s:\n%s", row.deadly, out)
		}
		if got := h.pid(); got != before {
			h.t.Errorf("an installation that was killed at %s has restarted the agent", row.deadly)
		}
		h.sh(install)
		h.restarted(before)
		h.well()
		if got := h.sh("systemctl is-enabled muster; ls -A /etc/muster"); strings.Contains(got, "disabled") || strings.Contains(got, ".installing") {
			h.t.Errorf("gone on with after %s: %s", row.deadly, got)
		}
	}

	before := h.pid()
	h.sh("sed -i 's/^MaxConnections=.*/MaxConnections=8/' /etc/systemd/system/muster-root.socket; systemctl daemon-reload")
	h.sh(install)
	if got := h.sh("systemctl show muster-root.socket --property NeedDaemonReload --property MaxConnections"); got != "MaxConnections=16\nNeedDaemonReload=no" {
		h.t.Errorf("the socket of root steps: %s", got)
	}
	if got := h.pid(); got != before {
		h.t.Error("units of root steps have changed, and the agent was restarted")
	}
}

// told checks what is said where the agent does not run.
func told(h *host) {
	h.t.Helper()
	fails := func(script, says string) {
		h.t.Helper()
		if out, err := h.try(script); err == nil || !strings.Contains(out, says) {
			h.t.Errorf("%s: %v, want %q:\n%s", script, err, says, out)
		}
	}
	fails("chown root /var/lib/muster/credentials/profile.token; muster doctor", "chown -R muster: /var/lib/muster")
	h.sh("chown -R muster: /var/lib/muster; muster doctor; mv /var/lib/muster/credentials/profile.token /root/kept")
	for _, word := range []string{"restart", "start"} {
		fails("muster "+word, "ConditionPathExists /var/lib/muster/credentials/profile.token was not met: put the profile token there")
	}
	h.sh("mv /root/kept /var/lib/muster/credentials/profile.token")
	fails("muster doctor", "the service is enabled and inactive, and no agent answers")
	h.sh("muster start")
	h.well()
}

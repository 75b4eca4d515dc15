package packaging

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// What README.md tells to do by hand is done on a fresh machine, in its words.
func TestTheREADMEByHandOnARealHost(t *testing.T) {
	needHosts(t)
	st := newEndpoint(t)
	st.do("muster-lab", "endpoint", "machine", "add", "boss", "node-01")
	h := newHosts(t, "node-01")[0]
	st.runner(h)
	h.sh("dpkg --install /packages/*.deb")
	h.sh(`printf '[Service]\nType=oneshot\nExecStart=touch /root/k3s\n' >/etc/systemd/system/k3s.service
printf '#!/bin/sh\necho "$@" >/root/backup\n' >/usr/local/bin/backup; chmod 755 /usr/local/bin/backup`)

	const readme = "## On a real cluster"
	ca := st.read(filepath.Join(st.dir, "ca.pem"))
	manager := func(script string) string {
		return st.sh(fmt.Sprintf("cd %s; export PATH=%s:$PATH RS_UUID=%s\n%s", st.dir, *flagBin, st.uuids["boss"], script))
	}
	st.sh(`cp "$1/ca.pem" "$1/drp-ca.pem"`, st.dir)
	manager(st.block("README.md", readme, 1))

	task := st.block("README.md", readme, 2, "(the certificate of the endpoint, or of who vouches for it)\n", ca)
	const start = "systemctl start muster"
	if !strings.Contains(st.read("../README.md"), "`"+start+"`") {
		t.Errorf("README.md does not say %q any more", start)
	}
	st.creates("tasks", map[string]any{"Name": "by-hand", "Templates": []any{map[string]any{"Name": "by-hand", "Contents": "#!/bin/sh\nset -e\n" + task + start + "\nuntil [ -e /root/seen ]; do sleep 0.2; done\n"}}})
	st.creates("stages", map[string]any{"Name": "by-hand", "Tasks": []string{"by-hand"}})
	st.creates("workflows", map[string]any{"Name": "by-hand", "Stages": []string{"by-hand"}})
	st.byHand(h, 1)
	h.well()

	h.sh(st.block("README.md", readme, 3))
	h.sh(st.block("README.md", readme, 4))
	if got := h.sh("ls /root/k3s; cat /root/backup"); got != "/root/k3s\n--all" {
		t.Errorf("the commands of steps 3 and 4 did %q", got)
	}
	for _, look := range []string{"doctor", "status", "members", "leaders", "facts"} {
		h.sh("muster " + look)
		if out := h.sh("muster " + look + " -o json"); !json.Valid([]byte(out)) {
			t.Errorf("muster %s -o json is no JSON:\n%s", look, out)
		}
	}
	manager("export RS_ENDPOINT=" + st.url + " MUSTER_CA_FILE=drp-ca.pem MUSTER_PROFILE=k3s; muster round")
	st.byHand(h, 2)
	h.sh("rm /root/k3s")
	h.sh(st.block("README.md", readme, 3))
	h.sh("ls /root/k3s")
	h.well()
	st.asRoot(h)
}

// byHand runs the workflow of this name, which ends once the agent has seen it: one
// that is over before counts for no round.
func (st *site) byHand(h *host, round int) {
	st.t.Helper()
	h.sh("rm -f /root/seen")
	st.do("muster-lab", "endpoint", "workflow", "start", "by-hand", h.name)
	await(st.t, "the agent to see the workflow", func() error {
		if got := h.journal(); !strings.Contains(got, fmt.Sprintf("run=%d round=%[1]d workflow=by-hand state=running", round)) {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	h.sh("touch /root/seen")
	st.runs(h.name, "by-hand")
}

// asRoot gives the agent the rights of root, by the drop-in of docs/steps.md.
func (st *site) asRoot(h *host) {
	st.t.Helper()
	h.sh("mkdir -p /etc/systemd/system/muster.service.d; cat >/etc/systemd/system/muster.service.d/override.conf <<'END'\n" + st.block("docs/steps.md", "## Under systemd", 0) + "END")
	h.sh(`cat >/etc/muster/steps.d/10-change.yaml <<'END'
name: change
after: ['param:cluster/profile']
command: [sh, -c, 'mount -t tmpfs none /mnt && id -u >/etc/changed && chown daemon /etc/changed && umount /mnt']
END
systemctl daemon-reload; systemctl restart muster`)
	st.stepped(h, "change", "done")
	if got := h.sh("cat /etc/changed; stat -c %U /etc/changed"); got != "0\ndaemon" {
		st.t.Errorf("the step wrote %q", got)
	}
}

// creates makes an object of DRP.
func (st *site) creates(kind string, object map[string]any) {
	st.t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		st.t.Fatal(err)
	}
	st.do("drpcli", kind, "create", string(raw))
}

// Who installs with something wrong is told what, and finds nothing installed.
func TestBadInstallsOnARealHost(t *testing.T) {
	needHosts(t)
	st := newSite(t, "node-01")
	h := newHosts(t, "node-01")[0]
	h.file("root/program", st.read(filepath.Join(*flagBin, "muster")))
	h.file("root/token", st.token(h, "profile"))
	h.file("root/open", st.token(h, "profile"))
	env := fmt.Sprintf("chmod 755 /root/program; chmod 644 /root/open; export RS_ENDPOINT=%s RS_UUID=%s RS_TOKEN=%s MUSTER_PROFILE=k3s\n", st.url, st.uuids[h.name], strings.TrimSpace(st.token(h, "machine")))
	const install = "/root/program install --profile-token "
	for _, bad := range []struct{ script, code, says string }{
		{install + "/root/open", "2", "/root/open can be read by others (mode 0644): chmod 600 it"},
		{install + "/root/none", "2", "/root/none: no such file"},
		{"/root/program install", "2", "--profile-token"},
		{"RS_UUID=6d1b1a4e-9d0c-4b7e-8d51-000000000000 " + install + "/root/token", "2", "machine token (RS_TOKEN): uuid (environment RS_UUID) 6d1b1a4e"},
		{"RS_ENDPOINT=https://127.0.0.1:1 " + install + "/root/token", "5", "connection refused"},
	} {
		out := h.sh(env + "code=0; " + bad.script + " 2>&1 || code=$?; echo exit $code")
		if !strings.Contains(out, bad.says) || !strings.HasSuffix(out, "exit "+bad.code) {
			t.Errorf("%s said:\n%s\nwant %s, and exit %s", bad.script, out, bad.says, bad.code)
		}
		h.nothing()
	}
	h.sh(env + install + "/root/token")
	h.well()

	// A package does not hide behind it.
	if out, err := h.try("dpkg --force-confold --install /packages/*.deb 2>&1"); err == nil || !strings.Contains(out, "run `/usr/local/bin/muster uninstall`") {
		t.Errorf("over muster install the package says: %v\n%s", err, out)
	}
	h.well()
	h.sh("/usr/local/bin/muster uninstall; dpkg --force-confold --install /packages/*.deb")
	h.well()
	if got := h.sh("systemctl show muster --property FragmentPath --value"); got != "/usr/lib/systemd/system/muster.service" {
		t.Errorf("the unit is %s", got)
	}
	h.sh("dpkg --purge muster")
	h.nothing()

	// With the package it is the agent that says it; systemd does not start it again and again.
	h.sh("dpkg --install /packages/*.deb")
	st.configure(h)
	h.sh("chmod 644 /var/lib/muster/credentials/profile.token")
	if out, err := h.try("muster doctor"); err == nil || !strings.Contains(out, "profile.token can be read by others (mode 0644): chmod 600 it") {
		t.Errorf("with a token that others can read the doctor says: %v\n%s", err, out)
	}
	h.sh("chmod 600 /var/lib/muster/credentials/profile.token")
	settings := func(key, value string) string {
		return "cp -a /etc/muster/muster.yaml /root/kept; sed -i 's,^" + key + ": .*," + key + ": " + value + ",' /etc/muster/muster.yaml\n"
	}
	if out, err := h.try(settings("uuid", "6d1b1a4e-9d0c-4b7e-8d51-000000000000") + "systemctl start muster"); err == nil {
		t.Errorf("as a machine that is not there it has started: %s", out)
	}
	if got := h.journal(); !strings.Contains(got, "own machine 6d1b1a4e-9d0c-4b7e-8d51-000000000000: ") || !strings.Contains(got, "is this the UUID of this host's DRP machine") {
		t.Errorf("as a machine that is not there it says:\n%s", got)
	}
	if got := h.sh("systemctl show muster --property NRestarts --value; systemctl show muster --property ExecMainStatus --value"); got != "0\n2" {
		t.Errorf("it was restarted so often, and ended with: %q", got)
	}
	h.sh("cp -a /root/kept /etc/muster/muster.yaml")
	h.forgive()
	h.sh(settings("endpoint", "https://127.0.0.1:1") + "systemctl start --no-block muster")
	await(t, "the agent to say that the endpoint is away", func() error {
		if got := h.journal(); !strings.Contains(got, "127.0.0.1:1: connect: connection refused") {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	if got, _ := h.try("systemctl is-active muster"); got != "activating\n" {
		t.Errorf("without its endpoint the agent is %q", got)
	}
	h.sh("cp -a /root/kept /etc/muster/muster.yaml; systemctl restart muster")
	h.forgive()
	h.well()
}

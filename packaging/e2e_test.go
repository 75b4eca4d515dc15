package packaging

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	flagHost = flag.Bool("host", false, "boot a machine, and install the packages there (make e2e)")
	flagBin  = flag.String("bin", "", "directory of bin/muster-lab and bin/muster")
)

// site is an endpoint with one machine and a seeded profile.
type site struct {
	t    *testing.T
	dir  string
	url  string
	env  []string
	uuid string
}

// newSite starts muster-lab's endpoint and makes what docs/lab.md makes.
func newSite(t *testing.T) *site {
	t.Helper()
	st := &site{t: t, dir: t.TempDir()}
	ca := filepath.Join(st.dir, "ca.pem")
	serve := exec.Command(filepath.Join(*flagBin, "muster-lab"), "endpoint", "serve", "--listen=127.0.0.1:0", "--ca-file="+ca, "--control="+filepath.Join(st.dir, "lab.sock"))
	out, err := serve.StdoutPipe()
	if err == nil {
		err = serve.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		serve.Process.Signal(os.Interrupt)
		serve.Wait()
	})
	for lines := bufio.NewScanner(out); st.url == "" && lines.Scan(); {
		for _, word := range strings.Fields(lines.Text()) {
			if strings.HasPrefix(word, "https://") {
				st.url = word
			}
		}
	}
	st.env = append(os.Environ(), "RS_ENDPOINT="+st.url, "RS_KEY=rocketskates:r0cketsk8ts", "RS_CA_CERT="+ca, "MUSTER_LAB_CONTROL="+filepath.Join(st.dir, "lab.sock"))
	st.do("muster-lab", "endpoint", "machine", "add", "node-01", "--profile", "k3s")
	st.do("muster-lab", "endpoint", "workflow", "add", "try")
	st.do("muster", "seed", "--profile", "k3s", "--leaders", "1")
	st.do("muster-lab", "endpoint", "workflow", "start", "try", "--all")
	for line := range strings.Lines(st.do("muster-lab", "endpoint", "machine", "list")) {
		if f := strings.Fields(line); f[0] == "node-01" {
			st.uuid = f[1]
		}
	}
	return st
}

// do runs one of our programs as an operator.
func (st *site) do(program string, args ...string) string {
	st.t.Helper()
	cmd := exec.CommandContext(st.t.Context(), filepath.Join(*flagBin, program), args...)
	cmd.Env = st.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		st.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// configure gives a host what it needs to be node-01.
func (st *site) configure(h *host) {
	st.t.Helper()
	raw, err := os.ReadFile(filepath.Join(st.dir, "ca.pem"))
	if err != nil {
		st.t.Fatal(err)
	}
	h.file("etc/muster/drp-ca.pem", string(raw))
	h.sh("chmod 644 /etc/muster/drp-ca.pem")
	conf, err := os.ReadFile(filepath.Join(h.root, "etc/muster/muster.yaml"))
	if err != nil {
		st.t.Fatal(err)
	}
	conf = fmt.Appendf(conf, "endpoint: %s\nprofile: k3s\nuuid: %s\nca_file: /etc/muster/drp-ca.pem\n", st.url, st.uuid)
	h.sh("cat >/etc/muster/muster.yaml <<'END'\n" + string(conf) + "END")
	for name, args := range map[string][]string{"profile": {"profile", "k3s"}, "machine": {"machine", "node-01"}} {
		path := filepath.Join(st.dir, name+".token")
		st.do("muster-lab", append([]string{"endpoint", "token"}, append(args, "--out", path)...)...)
		token, err := os.ReadFile(path)
		if err != nil {
			st.t.Fatal(err)
		}
		h.file("var/lib/muster/credentials/"+name+".token", string(token))
	}
	h.sh("chown -R muster: /var/lib/muster")
}

// holding waits until the host's agent holds the slot, and returns its tenure.
func (h *host) holding() (tenure string) {
	h.t.Helper()
	await(h.t, "the agent to hold the slot", func() error {
		out, err := h.try("muster leaders -o json")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		var slots []struct {
			Holder   string `json:"holder"`
			Instance string `json:"instance"`
			Epoch    int64  `json:"epoch"`
		}
		if err := json.Unmarshal([]byte(out), &slots); err != nil {
			return err
		}
		if len(slots) != 1 || slots[0].Holder == "" {
			return fmt.Errorf("slots %s", out)
		}
		tenure = fmt.Sprint(slots[0].Instance, " ", slots[0].Epoch)
		return nil
	})
	return tenure
}

// well checks that the unit runs, is watched and has had no trouble.
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
	if got := h.sh("journalctl --no-pager --quiet --unit muster --boot --priority err; ! journalctl --no-pager --unit muster | grep -F '[ERROR]'"); got != "" {
		h.t.Errorf("errors in the journal: %s", got)
	}
}

// nothing checks that a package has left nothing.
func (h *host) nothing() {
	h.t.Helper()
	h.sh("systemctl daemon-reload")
	if got := h.sh("find / -xdev -iname '*muster*' -not -path '/packages/*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/systemd/*' -not -path '/var/log/*'; getent passwd muster || true"); got != "" {
		h.t.Errorf("left behind:\n%s", got)
	}
	if got := h.sh("systemctl list-units --all --no-legend 'muster*'"); got != "" {
		h.t.Errorf("units left behind: %s", got)
	}
}

// One machine goes through the life of a package.
func TestThePackageOnARealHost(t *testing.T) {
	if !*flagHost {
		t.Skip("boots a machine: make e2e")
	}
	st, h := newSite(t), newHost(t)

	h.sh("dpkg --install /packages/*.deb")
	if got, _ := h.try("set +e; systemctl is-enabled muster; systemctl is-active muster; systemctl is-failed muster"); got != "enabled\ninactive\ninactive\n" {
		t.Errorf("without a token the unit is %q", got)
	}
	st.configure(h)
	h.sh("systemctl start muster")
	h.well()
	tenure := h.holding()

	// The same version again is an upgrade as any other: a restart.
	before := h.sh("systemctl show muster --property MainPID")
	h.sh("dpkg --install /packages/*.deb")
	await(t, "the restart", func() error {
		if now, err := h.try("systemctl show muster --property MainPID"); err != nil || strings.TrimSpace(now) == before {
			return fmt.Errorf("%s (%v)", now, err)
		}
		return nil
	})
	h.well()
	if got := h.holding(); got != tenure {
		t.Errorf("tenure %s after the upgrade, want %s", got, tenure)
	}
	h.sh("systemctl reload muster")
	h.well()

	// A watchdog that is not fed sends ABRT.
	h.sh("kill -ABRT $(systemctl show muster --property MainPID --value)")
	await(t, "the restart after an abort", func() error {
		if now, err := h.try("systemctl show muster --property NRestarts --property ActiveState"); err != nil || now != "NRestarts=1\nActiveState=active\n" {
			return fmt.Errorf("%s (%v)", now, err)
		}
		return nil
	})
	h.sh("systemctl restart muster && systemctl reset-failed muster")
	h.well()

	h.shutdown()
	h.boot()
	h.well()
	if got := h.holding(); got != tenure {
		t.Errorf("tenure %s after a reboot, want %s", got, tenure)
	}

	h.sh("dpkg --remove muster")
	if got, _ := h.try("set +e; systemctl is-active muster; ls /var/lib/muster/credentials /etc/muster"); !strings.HasPrefix(got, "inactive\n") || !strings.Contains(got, "profile.token") || !strings.Contains(got, "muster.yaml") {
		t.Errorf("after remove: %s", got)
	}
	h.sh("dpkg --install /packages/*.deb")
	h.well()
	if got := h.holding(); got != tenure {
		t.Errorf("tenure %s after remove and install, want %s", got, tenure)
	}
	h.sh("dpkg --purge muster")
	h.nothing()

	// The rpm, with the database of rpm alone.
	h.sh("rpm --install --nodeps /packages/*.rpm && systemctl enable muster")
	st.configure(h)
	h.sh("systemctl start muster")
	h.well()
	h.sh("rpm --upgrade --force --nodeps /packages/*.rpm")
	h.well()
	h.sh("rpm --erase muster")
	if got, _ := h.try("systemctl is-active muster"); got != "inactive\n" {
		t.Errorf("after the erase the unit is %q", got)
	}
	h.sh("rm -rf /etc/muster /var/lib/muster; userdel muster")
	st.byHand(h)
}

// byHand has the host installed without a package.
func (st *site) byHand(h *host) {
	st.t.Helper()
	program, err := os.ReadFile(filepath.Join(*flagBin, "muster"))
	if err != nil {
		st.t.Fatal(err)
	}
	h.file("root/program", string(program))
	token, err := os.ReadFile(filepath.Join(st.dir, "profile.token"))
	if err != nil {
		st.t.Fatal(err)
	}
	h.file("root/token", string(token))
	machine, err := os.ReadFile(filepath.Join(st.dir, "machine.token"))
	if err != nil {
		st.t.Fatal(err)
	}
	h.file("root/env", fmt.Sprintf("export RS_ENDPOINT=%s RS_UUID=%s RS_TOKEN=%s\n", st.url, st.uuid, strings.TrimSpace(string(machine))))
	h.sh("chmod 755 /root/program")
	if out, err := h.try(". /root/env; RS_ENDPOINT=https://127.0.0.1:1 /root/program install --profile k3s --profile-token /root/token"); err == nil || !strings.Contains(out, "connection refused") {
		st.t.Errorf("installed without an endpoint: %v\n%s", err, out)
	}
	h.nothing()
	install := ". /root/env; /root/program install --profile k3s --profile-token - </root/token"
	if out := h.sh(install); !strings.Contains(out, "pinned the certificate") || !strings.Contains(out, "wrote /etc/systemd/system/muster.service") {
		st.t.Errorf("install said:\n%s", out)
	}
	h.well()
	h.holding()
	if out := h.sh(install); strings.Contains(out, "wrote") {
		st.t.Errorf("the second time it said:\n%s", out)
	}
	h.sh("muster restart; muster stop")
	if got, _ := h.try("systemctl is-active muster"); got != "inactive\n" {
		st.t.Errorf("stopped, the unit is %q", got)
	}
	h.sh("muster start")
	h.well()
	h.sh("/root/program uninstall --purge; rm /root/program /root/token /root/env")
	h.nothing()
}

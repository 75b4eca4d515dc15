//go:build linux

package lab_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// numbered counts the machines that render makes.
var numbered atomic.Int64

// render returns the script of a task, rendered by the endpoint for a machine with
// these params of its own. It carries the profile alpha, unless a param says that
// it is alone.
func (st *site) render(task string, params map[string]any) (string, error) {
	st.t.Helper()
	m := &models.Machine{}
	m.Name, m.Params, m.Profiles = fmt.Sprintf("rendered %d", numbered.Add(1)), params, []string{"alpha"}
	if params["alone"] != nil {
		m.Profiles = nil
	}
	m.Tasks = []string{task}
	if err := st.admin.CreateModel(m); err != nil {
		return "", err
	}
	job := &models.Job{Machine: m.Uuid}
	if err := st.admin.CreateModel(job); err != nil {
		st.t.Fatal(err)
	}
	actions := models.JobActions{}
	err := st.admin.Req().Context(st.t.Context()).UrlFor("jobs", job.Key(), "actions").Do(&actions)
	if err != nil {
		return "", err
	}
	if len(actions) != 1 || actions[0].Path != "" {
		st.t.Fatalf("%s has %d templates, want one script", task, len(actions))
	}
	return actions[0].Content, nil
}

// cluster makes the profile that machines of render carry.
func (st *site) cluster() {
	st.t.Helper()
	profile := &models.Profile{Name: "alpha"}
	profile.Params = map[string]any{"cluster/profile": "alpha"}
	st.create(profile)
}

// run runs a script on the host, and returns its exit code and what it printed.
func (h *host) run(script string, env ...string) (int, string) {
	h.t.Helper()
	file := filepath.Join(h.root, "task")
	h.executable(file, script)
	cmd := exec.CommandContext(h.t.Context(), file)
	cmd.Dir, cmd.Env = h.root, append(append(h.env(), "RS_UUID=01234567-89ab-cdef-0123-456789abcdef", "RS_TOKEN=none", "RS_TASK_DIR="+h.root), env...)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		h.t.Fatal(err)
	} else if ok {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}

// wrong are params that are wrong or missing, by task, and what is said of them.
var wrong = []struct {
	task   string
	params map[string]any
	want   string
}{
	{"muster-install", map[string]any{"muster/timeout": "soon"}, "muster/timeout"},
	{"muster-install", map[string]any{"muster/timeout": 0}, "param muster/timeout: expected a whole number above 0, found 0"},
	{"muster-install", map[string]any{"muster/token-ttl": -5}, "param muster/token-ttl: expected a whole number above 0, found -5"},
	{"muster-install", map[string]any{"muster/park-on-timeout": "no"}, "muster/park-on-timeout"},
	{"muster-install", map[string]any{"cluster/profile": 7}, "cluster/profile"},
	{"muster-install", map[string]any{"cluster/profile": "beta"}, "param cluster/profile: it names beta, but this machine does not carry that profile"},
	{"muster-install", map[string]any{"muster/packages": []string{"a"}}, "muster/packages"},
	{"muster-install", map[string]any{"muster/packages": ""}, "param muster/packages: expected a file that ends in _amd64.deb, found none"},
	{"muster-install", map[string]any{"muster/packages": noSum + "  muster_1.0_arm64.deb"}, "param muster/packages: expected a file that ends in _amd64.deb, found none"},
	{"muster-install", map[string]any{"muster/packages": noSum + " a_amd64.deb " + noSum + " b_amd64.deb"}, "param muster/packages: expected one file that ends in _amd64.deb, found two"},
	{"muster-install", map[string]any{"muster/packages": "123  muster_1.0_amd64.deb"}, "param muster/packages: expected the SHA-256 of muster_1.0_amd64.deb"},
	{"muster-install", map[string]any{"muster/packages": noSum + "  ../x_amd64.deb"}, "param muster/packages: expected the name of a file"},
	{"muster-install", map[string]any{"muster/packages": noSum + "  muster_2.0_amd64.deb"}, "drpcli files upload muster_2.0_amd64.deb as muster/muster_2.0_amd64.deb"},
	{"muster-install", map[string]any{"muster/packages": noSum + "  muster_1.0_amd64.deb"}, "expected the SHA-256 " + noSum + " (param muster/packages), found ca978112"},
	{"muster-install", map[string]any{"muster/fingerprint": "sha256"}, "param muster/fingerprint: expected the SHA-256 of the endpoint's certificate"},
	{"muster-install", map[string]any{"muster/ca": true}, "muster/ca"},
	{"muster-seed", map[string]any{"muster/packages": ""}, "param muster/packages: expected a file that ends in _linux_amd64, found none"},
	{"muster-seed", map[string]any{"cluster/leader-count": -1}, "look at the params cluster/filter, cluster/leader-count"},
	{"muster-seed", map[string]any{"cluster/filter": "Name Eq $HOME"}, "look at the params cluster/filter, cluster/leader-count"},
	{"muster-seed", map[string]any{"cluster/filter": 1}, "cluster/filter"},
	{"muster-seed", map[string]any{"muster/seed-arguments": "--leaders=3"}, "muster/seed-arguments"},
	{"muster-seed", map[string]any{"muster/seed-arguments": []any{1}}, "param muster/seed-arguments: expected a list of texts, found a value of kind float64 in it"},
	{"muster-seed", map[string]any{"muster/seed-arguments": []string{"--role", "a=1", "--endpoint=https://127.0.0.1:1"}}, "param muster/seed-arguments: expected what `muster seed` itself knows"},
	{"muster-seed", map[string]any{"muster/seed-arguments": []string{"--profile-token-file", "/etc/shadow"}}, "param muster/seed-arguments: expected what `muster seed` itself knows"},
	{"muster-arrive", map[string]any{"muster/arrive": "--help"}, "param muster/arrive: expected the name of a barrier"},
	{"muster-step", map[string]any{"muster/step": "--help", "muster/step-command": []string{"true"}}, "param muster/step: expected a name"},
	{"muster-arrive", nil, "param muster/arrive: expected the name of a barrier"},
	{"muster-arrive", map[string]any{"muster/arrive": "disks ready"}, "param muster/arrive: expected the name of a barrier"},
	{"muster-report", nil, "param muster/report: expected running, complete or failed, found ''"},
	{"muster-step", map[string]any{"muster/step-command": []string{"true"}}, "param muster/step: expected a name"},
	{"muster-step", map[string]any{"muster/step": "upgrade"}, "param muster/step-command: expected a command and its arguments, found none"},
	{"muster-step", map[string]any{"muster/step": "upgrade", "muster/step-command": []string{"true"}, "muster/step-at-once": "all"}, "param muster/step-at-once: expected a number above 0"},
	{"muster-refresh-tokens", map[string]any{"muster/token-ttl": 0}, "param muster/token-ttl: expected a whole number above 0, found 0"},
}

// noSum is the checksum of no file.
var noSum = strings.Repeat("0", 64)

// What is wrong is told by the name of the param, and nothing is installed.
func TestAWrongOrMissingParamIsNamed(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	st.files(map[string][]byte{"muster_1.0_amd64.deb": []byte("a")})
	token, err := st.server.UserToken(endpoint.DefaultUser, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range wrong {
		h := st.newHost("deb")
		if of.task != "muster-install" && of.params["muster/packages"] == nil {
			h.has(filepath.Join(built, "muster"))
		}
		script, err := st.render(of.task, of.params)
		if err != nil {
			if !strings.Contains(err.Error(), of.want) {
				t.Errorf("%s %v: %v", of.task, of.params, err)
			}
			continue
		}
		if code, out := h.run(script, "RS_TOKEN="+token); code != 1 || !strings.Contains(out, of.want) {
			t.Errorf("%s %v: exit %d, want 1 and %q:\n%s", of.task, of.params, code, of.want, out)
		}
		if did := h.did(); did != "" || h.file("etc/muster/muster.yaml") != "" {
			t.Errorf("%s %v: it did %q, and wrote %s", of.task, of.params, did, h.file("etc/muster/muster.yaml"))
		}
	}
}

// has puts a program onto the host as Muster's.
func (h *host) has(program string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Join(h.root, "usr/bin"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(h.root, "usr/bin/muster")); err != nil {
		h.t.Fatal(err)
	}
}

// DRP takes exit code 64 for a reboot, and 128 for a job that is to be run again.
func TestATaskFailsUnlessItsTimeOutParksTheMachine(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	st.files(map[string][]byte{"muster_1.0_amd64.deb": []byte("a")})
	for _, of := range []struct {
		params map[string]any
		agent  string
		code   int
		want   string
	}{
		{nil, "pretended", 0, "this machine is a member of cluster alpha"},
		{nil, "broken", 1, "the agent does not run: systemctl restart muster ended with 3"},
		{map[string]any{"muster/timeout": 1}, "slow", 1, "timed out: the agent has not joined cluster alpha within 1 s (muster/timeout)"},
		{map[string]any{"muster/timeout": 1, "muster/park-on-timeout": true}, "slow", 128, "the machine is parked"},
	} {
		script, err := st.render("muster-install", of.params)
		if err != nil {
			t.Fatal(err)
		}
		if code, out := st.newHost("deb").run(script, "AGENT="+of.agent); code != of.code || !strings.Contains(out, of.want) {
			t.Errorf("%s, %v: exit %d, want %d and %q:\n%s", of.agent, of.params, code, of.code, of.want, out)
		}
	}
	for command, code := range map[string]int{"exit 64": 1, "exit 128": 1, "exit 3": 128} {
		script, err := st.render("muster-wait-complete", map[string]any{"muster/park-on-timeout": true})
		if err != nil {
			t.Fatal(err)
		}
		h := st.newHost("")
		h.pretend("words", command)
		h.has(filepath.Join(h.bin, "words"))
		if found, out := h.run(script); found != code {
			t.Errorf("Muster ended with %s: exit %d, want %d:\n%s", command, found, code, out)
		}
	}
	script, err := st.render("muster-install", nil)
	if err != nil {
		t.Fatal(err)
	}
	h := st.newHost("deb")
	h.pretend("apt-get", "exit 64")
	if code, out := h.run(script); code != 1 {
		t.Errorf("a command of the task ended with 64: exit %d, want 1:\n%s", code, out)
	}
}

func TestTheAgentIsToldWhatVouchesForTheEndpoint(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	st.files(map[string][]byte{"muster_1.0_amd64.deb": []byte("a")})
	for ca, want := range map[string]string{string(st.server.CertPEM()): "ca_file: /etc/muster/ca.pem\n", "": "fingerprint: \""} {
		script, err := st.render("muster-install", map[string]any{"muster/ca": ca})
		if err != nil {
			t.Fatal(err)
		}
		h := st.newHost("deb")
		if code, out := h.run(script, "AGENT=pretended"); code != 0 {
			t.Fatalf("exit %d:\n%s", code, out)
		}
		settings := h.file("etc/muster/muster.yaml")
		if strings.Count(settings, "ca_file:")+strings.Count(settings, "fingerprint:") != 1 || !strings.Contains(settings, want) || strings.TrimSpace(h.file("etc/muster/ca.pem")) != strings.TrimSpace(ca) {
			t.Errorf("want %s, got:\n%s\n%s", want, settings, h.file("etc/muster/ca.pem"))
		}
	}
}

// Nothing in a rendered script is what shellcheck warns of.
func TestRenderedScriptsAreCleanForShellcheck(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	tasks, err := filepath.Glob("../packaging/content/muster/tasks/*.yaml")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no tasks: %v", err)
	}
	var files []string
	dir := t.TempDir()
	st.script("utilities", "cluster_wait_for_workflow_complete\ncluster_wait_for_variable a/b\ncluster_wait_for_count a/b 1\ncluster_require_cluster_profile a b\n")
	for _, path := range append(tasks, "utilities") {
		task := strings.TrimSuffix(filepath.Base(path), ".yaml")
		for where, params := range map[string]map[string]any{"inside": nil, "outside": {"alone": true}} {
			script, err := st.render(task, params)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, task+"-"+where+".sh")
			st.write(file, script)
			files = append(files, file)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "shellcheck", files...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck (scripts/need-tools.sh installs it): %v\n%s", err, out)
	}
}

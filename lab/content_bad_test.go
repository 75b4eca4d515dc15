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

	"gitlab.com/rackn/provision/v4/models"
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
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.CommandContext(h.t.Context(), file)
	cmd.Dir, cmd.Env = h.root, append(append(h.env(), "RS_UUID=01234567-89ab-cdef-0123-456789abcdef", "RS_TOKEN=none"), env...)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		h.t.Fatal(err)
	} else if ok {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}

// What is wrong is told by the name of the param, and nothing is installed.
func TestAWrongOrMissingParamIsNamed(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	st.files(map[string][]byte{"muster_1.0_amd64.deb": []byte("a")})
	sum := strings.Repeat("0", 64)
	h := st.newHost("deb")
	for name, of := range map[string]struct {
		params map[string]any
		want   string
	}{
		"a number that is none":        {map[string]any{"muster/timeout": "soon"}, "muster/timeout"},
		"a time of 0":                  {map[string]any{"muster/timeout": 0}, "param muster/timeout: expected a whole number above 0, found 0"},
		"a life below 0":               {map[string]any{"muster/token-ttl": -5}, "param muster/token-ttl: expected a whole number above 0, found -5"},
		"a flag that is none":          {map[string]any{"muster/park-on-timeout": "no"}, "muster/park-on-timeout"},
		"a list of packages":           {map[string]any{"muster/packages": []string{"a"}}, "muster/packages"},
		"a profile that is a number":   {map[string]any{"cluster/profile": 7}, "cluster/profile"},
		"a profile that is elsewhere":  {map[string]any{"cluster/profile": "beta"}, "param cluster/profile: it names beta, but this machine does not carry that profile"},
		"no packages":                  {map[string]any{"muster/packages": ""}, "param muster/packages: expected a file that ends in _amd64.deb, found none"},
		"packages of others":           {map[string]any{"muster/packages": sum + "  muster_1.0_arm64.deb"}, "param muster/packages: expected a file that ends in _amd64.deb, found none"},
		"two packages":                 {map[string]any{"muster/packages": sum + " a_amd64.deb " + sum + " b_amd64.deb"}, "param muster/packages: expected one file that ends in _amd64.deb, found two"},
		"a checksum that is none":      {map[string]any{"muster/packages": "123  muster_1.0_amd64.deb"}, "param muster/packages: expected the SHA-256 of muster_1.0_amd64.deb"},
		"a file of another directory":  {map[string]any{"muster/packages": sum + "  ../x_amd64.deb"}, "param muster/packages: expected the name of a file"},
		"a package that is not there":  {map[string]any{"muster/packages": sum + "  muster_2.0_amd64.deb"}, "drpcli files upload muster_2.0_amd64.deb as muster/muster_2.0_amd64.deb"},
		"another package":              {map[string]any{"muster/packages": sum + "  muster_1.0_amd64.deb"}, "expected the SHA-256 " + sum + " (param muster/packages), found ca978112"},
		"a fingerprint that is none":   {map[string]any{"muster/fingerprint": "sha256"}, "param muster/fingerprint: expected the SHA-256 of the endpoint's certificate"},
		"a certificate that is a flag": {map[string]any{"muster/ca": true}, "muster/ca"},
	} {
		script, err := st.render("muster-install", of.params)
		if err != nil {
			if !strings.Contains(err.Error(), of.want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if code, out := h.run(script); code != 1 || !strings.Contains(out, of.want) {
			t.Errorf("%s: exit %d, want 1 and %q:\n%s", name, code, of.want, out)
		}
	}
	if h.did() != "" || h.file("etc/muster/muster.yaml") != "" {
		t.Errorf("something was installed: %q, %s", h.did(), h.file("etc/muster/muster.yaml"))
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

func TestHostileValuesAreInert(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	h := st.newHost("deb")
	for _, evil := range []string{"$(touch evil)", "`touch evil`", "';touch evil;'", "\";touch evil;\"", "\nEOF\ntouch evil\n", "'\ntouch evil\n'", "{{ .Machine.Name }}", "-x", "a[$(touch evil)]", "\\';touch evil;'\\"} {
		for _, key := range []string{"muster/packages", "muster/fingerprint", "muster/ca", "cluster/profile"} {
			script, err := st.render("muster-install", map[string]any{key: evil})
			if err != nil {
				t.Fatal(err)
			}
			code, out := h.run(script)
			if ran := os.Remove(filepath.Join(h.root, "evil")) == nil; code > 1 || ran {
				t.Errorf("%s %q: exit %d, and it ran: %v\n%s", key, evil, code, ran, out)
			}
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
	for _, path := range tasks {
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

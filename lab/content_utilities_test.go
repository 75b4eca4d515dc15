//go:build linux

package lab_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gitlab.com/rackn/provision/v4/models"
)

// The functions of the utilities, as scripts of others call them; that they work in
// a cluster is shown by TestAClusterLivesByThePack.

// utilities renders a script that includes the utilities, for a machine that carries
// the profile alpha.
func (st *site) utilities(text string, params map[string]any) string {
	st.t.Helper()
	task := &models.Task{Name: fmt.Sprintf("script %d", numbered.Add(1))}
	task.Templates = []models.TemplateInfo{{Name: "script", Contents: "#!/usr/bin/env bash\n" + text}}
	st.create(task)
	script, err := st.render(task.Name, params)
	if err != nil {
		st.t.Fatal(err)
	}
	return script
}

const include = "{{ template \"muster-cluster-utilities.tmpl\" . }}\n"

func TestAMachineIsMadeToCarryTheProfileOnlyIfItIsSureThatItDoesNot(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	script := st.utilities(include+"cluster_require_cluster_profile 'the uuid' \"$CLUSTER_PROFILE\"\necho goes on\n", nil)
	count := `[ "$*" = "machines count Uuid Eq the uuid Profiles Eq alpha" ] && `
	add := `[ "$*" = "machines addprofile the uuid alpha" ]`
	for drpcli, want := range map[string]struct {
		code int
		out  string
	}{
		count + "echo 1":                    {0, "carries profile alpha"},
		count + "echo 0 || " + add:          {0, "added profile alpha"},
		count + "echo 0 || exit 1":          {1, "cannot add profile alpha"},
		"exit 1":                            {1, "cannot ask whether"},
		"exit 0":                            {1, "expected a count of machines from drpcli, found"},
		count + "echo 'Error: not allowed'": {1, "expected a count of machines from drpcli, found Error"},
	} {
		h := st.newHost("")
		h.pretend("drpcli", drpcli)
		code, out := h.run(script)
		if code != want.code || !strings.Contains(out, want.out) || strings.Contains(out, "goes on") != (code == 0) {
			t.Errorf("drpcli: %s: exit %d, want %d and %q:\n%s", drpcli, code, want.code, want.out, out)
		}
	}
}

// What the functions replace took an endpoint that could not be reached for one that
// says that all is done.
func TestNoFunctionOfTheUtilitiesSucceedsWithoutTheEndpoint(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	st.param("muster/timeout", 1)
	for _, call := range []string{
		"cluster_wait_for_variable k3s/token", "cluster_wait_for_count k3s/nodes 1", "cluster_wait_for_workflow_complete",
		`token=$(cluster_wait_for_variable k3s/token || exit 1); echo "it is $token"`,
	} {
		for _, strict := range []string{"set -e\n", "set -eu\n"} {
			h := st.newHost("")
			h.has(filepath.Join(built, "muster"))
			if code, out := h.run(st.utilities(strict+include+call+"\necho goes on\n", nil), "RS_ENDPOINT=https://127.0.0.1:1"); code == 0 || strings.Contains(out, "goes on") {
				t.Errorf("%s%s: exit %d:\n%s", strict, call, code, out)
			}
		}
	}
	// Also where nobody asked the shell to end at the first failure.
	h := st.newHost("")
	h.has(filepath.Join(built, "muster"))
	if code, out := h.run(st.utilities(include+"cluster_wait_for_workflow_complete\necho goes on\n", nil), "RS_ENDPOINT=https://127.0.0.1:1"); code == 0 || strings.Contains(out, "goes on") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestTheUtilitiesShowNoTokenToWhoTracesTheScript(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.cluster()
	script := st.utilities("set -x\n"+include+"echo \"it has ${#PROFILE_TOKEN}\"\n", nil)
	token := regexp.MustCompile(`(?m)^PROFILE_TOKEN='(.{40,})'$`).FindStringSubmatch(script)
	if token == nil {
		t.Fatalf("no token in:\n%s", script)
	}
	code, out := st.newHost("").run(script)
	if code != 0 || strings.Contains(out, token[1]) || !strings.Contains(out, "+ echo 'it has ") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestOutsideOfAClusterTheUtilitiesWarnAndTheirFunctionsFail(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	script := st.utilities("set -e\n"+include+"echo included\ncluster_wait_for_workflow_complete\necho goes on\n", map[string]any{"alone": true})
	if code, out := st.newHost("").run(script); code != 1 || !strings.Contains(out, "WARNING: this machine has no cluster/profile") ||
		!strings.Contains(out, "\nincluded\n") || strings.Contains(out, "goes on") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

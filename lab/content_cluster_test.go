//go:build linux

package lab_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/rackn/provision/v4/models"
)

// realFiles uploads the real program, for hosts without it, and what fake package
// managers take for a package.
func (st *site) realFiles() {
	st.t.Helper()
	st.files(map[string][]byte{"muster_1.0_amd64.deb": realProgram(st.t), "muster_1.0_linux_amd64": realProgram(st.t)})
}

// realProgram is the content of Muster's own program.
func realProgram(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(built, "muster"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// inContext is a machine that exists in a context only: a container on the
// endpoint's host runs its tasks, without an agent and without systemd.
func (st *site) inContext(name string) *models.Machine {
	st.t.Helper()
	m := &models.Machine{}
	m.Name, m.Context = name, "drpcli-runner"
	st.create(m)
	h := st.newHost("")
	h.pretend("systemctl", "exit 1")
	st.runner(m, append(h.env(), "TEST_CONTEXT=drpcli-runner")...)
	return m
}

// stages adds a workflow of stages of one task each, with params of their own.
func (st *site) stages(workflow string, stages ...*models.Stage) {
	st.t.Helper()
	w := &models.Workflow{Name: workflow}
	for _, s := range stages {
		st.create(s)
		w.Stages = append(w.Stages, s.Name)
	}
	st.create(w)
}

func stage(name, task string, params map[string]any) *models.Stage {
	s := &models.Stage{Name: name, Tasks: []string{task}}
	s.Params = params
	return s
}

// script is a task of others, as they are written for DRP's own utilities: with the
// settings of the shell and the functions that DRP's runner brings.
func (st *site) script(name, text string, claims ...*models.Claim) {
	st.t.Helper()
	task := &models.Task{Name: name, ExtraClaims: claims}
	task.Templates = []models.TemplateInfo{{Name: "script", Contents: "#!/usr/bin/env bash\nset -e\n# shellcheck disable=SC1091\nif [ -e helper ]; then source ./helper; fi\n{{ template \"muster-cluster-utilities.tmpl\" . }}\n" + text}}
	st.create(task)
}

// A whole cluster by the tasks of the pack alone: the manager in a context, members
// on hosts, two rounds, scripts of others, and the removal of a member.
func TestAClusterLivesByThePack(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.realFiles()
	boss := st.inContext("boss")
	st.post("machines", boss.Key(), "cluster/filter", "Name Re ^node")
	st.post("machines", boss.Key(), "cluster/leader-count", 1)
	st.post("machines", boss.Key(), "muster/seed-arguments", []string{"--param", "k3s/token=it's $(date)", "--param", `k3s/nodes=["a","b"]`})
	nodes := []*models.Machine{st.bare("node1"), st.bare("node2")}
	hosts := []*host{st.host(nodes[0], "deb"), st.host(nodes[1], "deb")}

	st.succeeds(boss, "muster-seed")
	st.awaitLog(boss, "muster-seed", "profile boss is seeded: 2 members expected, round 1")
	for _, m := range nodes {
		st.begin(m, "muster-bootstrap")
	}
	st.succeeds(boss, "muster-wait-complete")
	st.awaitLog(boss, "muster-wait-complete", "\ncomplete\n")

	st.succeeds(boss, "muster-round")
	st.awaitLog(boss, "muster-round", "round 2 is open")
	st.script("old", `test "$CLUSTER_PROFILE" = boss
test "${#PROFILE_TOKEN}" -gt 100
test "$(cluster_wait_for_variable k3s/token)" = "it's \$(date)"
cluster_wait_for_count k3s/nodes 2
if (cluster_wait_for_workflow_complete); then exit 1; fi
`)
	st.stages("again",
		stage("meet", "muster-arrive", map[string]any{"muster/arrive": "middle"}),
		stage("old", "old", nil),
		stage("roll", "muster-step", map[string]any{"muster/step": "upgrade", "muster/step-at-once": "1", "muster/step-command": []string{"sh", "-c", `echo "ran $1" >>"$MUSTER_ROOT/ran"`, "sh", "$(date) 'x'"}}),
		stage("tokens", "muster-refresh-tokens", nil),
	)
	token := hosts[0].file("var/lib/muster/credentials/profile.token")
	for _, m := range nodes {
		st.begin(m, "again")
	}
	st.script("old-manager", "test -z \"$PROFILE_TOKEN\"\ncluster_wait_for_workflow_complete\necho released\n", &models.Claim{Scope: "profiles", Action: "get", Specific: "*"})
	st.script("old-carrier", "test -n \"$PROFILE_TOKEN\"\ncluster_wait_for_workflow_complete\ncluster_wait_for_variable k3s/token\n")
	st.stages("old-manager", stage("old-manager", "old-manager", nil))
	st.stages("old-carrier", stage("old-carrier", "old-carrier", nil))
	st.succeeds(boss, "old-manager")
	st.awaitLog(boss, "old-manager", "\nreleased\n")
	st.patch(boss, func(m *models.Machine) { m.Profiles = []string{"boss"} }) // as DRP's own content does
	st.succeeds(boss, "old-carrier")
	st.awaitLog(boss, "old-carrier", "\nit's $(date)\n")
	st.succeeds(boss, "muster-seed") // finds everything done, and the manager no member
	st.awaitLog(boss, "muster-seed", "profile boss is seeded: 2 members expected, round 2")
	for i, h := range hosts {
		st.awaitLog(nodes[i], "muster-arrive", "arrived at middle in round 2")
		st.awaitLog(nodes[i], "old", "waiting for oneself")
		if ran := h.file("ran"); ran != "ran $(date) 'x'\n" {
			t.Errorf("%s ran %q", nodes[i].Name, ran)
		}
		h.checkTokens(nodes[i])
	}
	if hosts[0].file("var/lib/muster/credentials/profile.token") == token {
		t.Error("there is no new token")
	}

	hosts[1].reports(nodes[1])
	hosts[1].did()
	st.succeeds(nodes[1], "muster-remove")
	if did := hosts[1].did(); !strings.HasPrefix(did, "systemctl stop muster muster-root.socket\napt-get ") || !strings.HasSuffix(did, " purge muster\n") {
		t.Errorf("it did %q", did)
	}
	st.succeeds(nodes[1], "muster-remove")
	st.awaitLog(nodes[1], "muster-remove", "nothing is to be removed")
	if out := hosts[0].ask("members"); strings.Contains(out, "node2") {
		t.Errorf("after its removal node2 is a member:\n%s", out)
	}
}

// reports checks that a workflow can report: to an agent that watches its machine,
// of which nothing comes, and to one that does not.
func (h *host) reports(m *models.Machine) {
	h.t.Helper()
	w := &models.Workflow{Name: "reports", Stages: []string{"muster-report-running", "muster-report-complete"}}
	h.create(w)
	h.succeeds(m, "reports")
	h.awaitLog(m, "muster-report", "the agent sees by itself how the workflow stands")
	if err := os.Remove(filepath.Join(h.root, "var/lib/muster/credentials/machine.token")); err != nil {
		h.t.Fatal(err)
	}
	restart := exec.CommandContext(h.t.Context(), filepath.Join(h.bin, "systemctl"), "restart", "muster")
	restart.Env = h.env()
	if out, err := restart.CombinedOutput(); err != nil {
		h.t.Fatalf("restart: %v\n%s", err, out)
	}
	h.succeeds(m, "reports")
	h.awaitLog(m, "muster-report", "running in round 2")
	h.awaitLog(m, "muster-report", "complete in round 2")
}

// post sets a param of an object.
func (st *site) post(prefix, key, param string, value any) {
	st.t.Helper()
	if err := st.admin.Req().Context(st.t.Context()).Post(value).UrlFor(prefix, key, "params", param).Do(nil); err != nil {
		st.t.Fatalf("param %s: %v", param, err)
	}
}

// Workflows of members run outside of clusters too.
func TestTasksOfMembersDoNothingOutsideOfAClusterButWarn(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	for _, profile := range []string{"", "cluster-v43"} {
		for _, task := range []string{"muster-install", "muster-arrive", "muster-report", "muster-step", "muster-refresh-tokens"} {
			params := map[string]any{"alone": true}
			if profile != "" {
				params["cluster/profile"] = profile // the default of DRP's older task library
			}
			script, err := st.render(task, params)
			if err != nil {
				t.Fatal(err)
			}
			h := st.newHost("deb")
			if code, out := h.run(script); code != 0 || !strings.Contains(out, "WARNING: this machine has no cluster/profile") || h.did() != "" {
				t.Errorf("%s: exit %d:\n%s", task, code, out)
			}
		}
	}
}

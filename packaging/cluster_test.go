package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// runnerUnit is how DRP's own runner lives on a machine, by its drpcli.
const runnerUnit = `[Unit]
Description=DRP's runner
[Service]
EnvironmentFile=/etc/drp-runner.env
ExecStart=/usr/local/bin/drpcli machines processjobs --skip-power
Restart=always
[Install]
WantedBy=multi-user.target
`

// runner has a machine run the tasks that DRP has for it, now and after each boot.
func (st *site) runner(h *host) {
	h.t.Helper()
	drpcli := filepath.Join(h.root, "usr/local/bin/drpcli")
	run(h.t, "cp", filepath.Join(*flagBin, "drpcli"), drpcli)
	h.file("etc/systemd/system/drp-runner.service", runnerUnit)
	h.file("etc/drp-runner.env", fmt.Sprintf("RS_ENDPOINT=%s\nRS_UUID=%s\nRS_TOKEN=%s\n", st.url, st.listed()[h.name].UUID, strings.TrimSpace(st.token(h, "machine"))))
	h.sh("systemctl daemon-reload; systemctl enable --quiet --now drp-runner")
}

// document runs the commands of a block of a document as an operator: those of one
// language after a heading, the first of which is 0. What stands for something else
// is replaced, by pairs of words.
func (st *site) document(file, heading string, block int, replace ...string) string {
	st.t.Helper()
	return st.sh(st.block(file, heading, block, replace...))
}

// sh runs a script as an operator, in the project's directory.
func (st *site) sh(script string, args ...string) string {
	st.t.Helper()
	cmd := exec.CommandContext(st.t.Context(), "bash", append([]string{"-euo", "pipefail", "-c", script, "bash"}, args...)...)
	cmd.Dir, cmd.Env = "..", st.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		st.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// block returns a block of a document.
func (st *site) block(file, heading string, block int, replace ...string) string {
	st.t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		st.t.Fatal(err)
	}
	_, text, found := strings.Cut(string(raw), "\n"+heading+"\n")
	parts := strings.Split(text, "```\n")
	if !found || len(parts) < 2*block+2 {
		st.t.Fatalf("%s has no block %d after %s", file, block, heading)
	}
	replace = append(replace, "https://drp.example:8092", st.url, "drp.example:8092", strings.TrimPrefix(st.url, "https://"), "USER:PASSWORD", "rocketskates:r0cketsk8ts")
	var lines []string
	for line := range strings.Lines(parts[2*block+1]) {
		lines = append(lines, strings.TrimPrefix(line, "   ")) // in a list
	}
	return strings.NewReplacer(replace...).Replace(strings.Join(lines, ""))
}

// upload brings the packs and packages to the endpoint, as docs/content.md says.
func (st *site) upload() {
	st.t.Helper()
	st.document("docs/content.md", "## Upload", 0, "make packages content\n", "") // was done
}

// runs waits until the machine has completed this workflow.
func (st *site) runs(name, workflow string) {
	st.t.Helper()
	await(st.t, name+" to complete "+workflow, func() error {
		all := st.listed()
		for _, m := range all {
			if m.State == "failed" {
				st.t.Fatalf("%s has failed %s:\n%s", m.Name, m.Workflow, st.logs(m.Name))
			}
		}
		if m := all[name]; m.State != "complete" || m.Workflow != workflow {
			return fmt.Errorf("%+v; it says:\n%s", all, st.logs(name))
		}
		return nil
	})
}

// logs are what the tasks of a machine have said.
func (st *site) logs(name string) string {
	return st.sh(`for job in $(drpcli jobs list Machine="$1" | jq -r '.[] | .Uuid'); do drpcli jobs log "$job"; done`, st.uuids[name])
}

// starts begins a workflow on machines, and waits until they have completed it.
func (st *site) starts(workflow string, names ...string) {
	st.t.Helper()
	st.do("muster-lab", append([]string{"endpoint", "workflow", "start", workflow}, names...)...)
	for _, name := range names {
		st.runs(name, workflow)
	}
}

// Three machines and their manager live by the workflows of the content pack alone,
// which DRP's own client starts and DRP's own runner runs.
func TestAClusterOnRealHosts(t *testing.T) {
	needHosts(t)
	st := newEndpoint(t)
	nodes := []string{"node-01", "node-02", "node-03"}
	st.do("muster-lab", append([]string{"endpoint", "machine", "add", "boss"}, nodes...)...)
	st.upload()
	st.document("docs/content.md", "## The manager", 0, `'{"Workflow": "muster-seed"}'`, `'{"Workflow": ""}'`)
	for param, value := range map[string]string{"cluster/profile": `"k3s"`, "cluster/leader-count": "1", "muster/seed-arguments": `["--role", "archive=1,ttl=10m"]`} {
		st.do("drpcli", "machines", "set", "Name:boss", "param", param, "to", value)
	}
	hosts := newHosts(t, append([]string{"boss"}, nodes...)...)
	for _, h := range hosts {
		st.runner(h)
	}
	hosts = hosts[1:]

	const readme = "## On a real cluster"
	both := strings.SplitAfter(st.block("README.md", readme, 0), "\n")
	st.sh(both[0])
	st.runs("boss", "muster-seed")
	for _, name := range nodes {
		st.sh(strings.Replace(both[1], "node-01", name, 1))
	}
	st.starts("muster-wait-complete", "boss")
	for _, h := range hosts {
		h.well()
	}
	st.of("leader", 1)
	st.of("archive", 1)

	// As `muster seed --help` has it.
	st.sh(`cd "$1"; drpcli profiles get k3s param muster/roles >roles.json
jq --arg uuid "$2" '.archive.priority[$uuid] = 0' roles.json | drpcli profiles set k3s param muster/roles to -`, st.dir, st.uuids["node-03"])

	for _, h := range hosts {
		rootSteps(h)
		h.sh("rm /etc/muster/steps.d/20-*; systemctl enable --quiet --now muster-root.socket; systemctl restart muster")
	}
	st.starts("muster-round", "boss")
	for _, name := range nodes {
		st.do("muster-lab", "endpoint", "workflow", "start", "muster-bootstrap", name)
	}
	st.starts("muster-wait-complete", "boss")
	leader := st.of("leader", 1)[0]
	st.stepped(named(t, hosts, leader.Holder), "first", "done")

	st.upgraded(hosts)
	st.rebooted(hosts)
	st.removed(hosts)
}

func named(t *testing.T, hosts []*host, name string) *host {
	t.Helper()
	i := slices.IndexFunc(hosts, func(h *host) bool { return h.name == name })
	if i < 0 {
		t.Fatalf("no host %s", name)
	}
	return hosts[i]
}

// upgraded gives a newer build to the holder of each slot.
func (st *site) upgraded(hosts []*host) {
	st.t.Helper()
	leader := st.of("leader", 1)[0]
	h := named(st.t, hosts, leader.Holder)
	before := h.pid()
	h.sh("dpkg --install /packages/newer/*.deb")
	h.restarted(before)
	h.well()
	st.same(h, leader)
	if v := st.member(h).Version; !strings.Contains(v, "newer") {
		st.t.Errorf("version %s after the upgrade", v)
	}

	// By its priority node-03 never claims it. Its lease is ten minutes: who has the slot within two has it since the holder resigned.
	// By the pack this time, and to the older build if it is the same machine.
	archive := st.of("archive", 1)[0]
	h = named(st.t, hosts, archive.Holder)
	before = h.pid()
	h.sh("printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d") // packages restart nothing here
	if !strings.Contains(st.member(h).Version, "newer") {
		st.sh(`cd "$1"; for file in $(awk '{print $2}' SHA256SUMS); do drpcli files upload "$file" as "muster/$file"; done
jq -Rs . SHA256SUMS | drpcli profiles set global param muster/packages to -`, filepath.Join(*flagPackages, "newer"))
	}
	st.do("muster-lab", "endpoint", "workflow", "start", "muster-bootstrap", h.name)
	held, next := time.Time{}, archive
	await(st.t, "another holder of archive", func() error {
		for range 100 {
			asked := time.Now()
			for _, s := range st.slots() {
				if s.Role == "archive" {
					next = s
				}
			}
			if next.Holder == h.name {
				held = asked
			} else if next.Epoch > archive.Epoch {
				return nil
			}
		}
		return fmt.Errorf("%+v", next)
	})
	if next.Holder == "node-03" {
		st.t.Errorf("node-03 holds archive, for which its priority is 0")
	}
	st.t.Logf("another member has the leased slot at most %s after its holder, which was upgraded", time.Since(held).Round(time.Millisecond))
	st.runs(h.name, "muster-bootstrap")
	h.restarted(before)
	h.well()
}

func (st *site) rebooted(hosts []*host) {
	st.t.Helper()
	leader := st.of("leader", 1)[0]
	h := named(st.t, hosts, leader.Holder)
	h.shutdown()
	h.boot()
	h.well()
	st.same(h, leader)
}

// removed takes a machine out of the cluster and into it again.
func (st *site) removed(hosts []*host) {
	st.t.Helper()
	leader := st.of("leader", 1)[0]
	i := slices.IndexFunc(hosts, func(h *host) bool { return h.name != leader.Holder })
	h := hosts[i]
	st.starts("muster-remove", h.name)
	h.nothing()
	st.do("muster", "seed", "--update")
	st.starts("muster-bootstrap", h.name)
	h.well()
	if !st.member(h).Joined {
		st.t.Errorf("%s is no member", h.name)
	}
	st.same(named(st.t, hosts, leader.Holder), leader)
}

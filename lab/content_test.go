//go:build linux

package lab_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/lab"
)

// packs are the directories of the content packs.
var packs = []string{"muster", "cluster"}

// newContent is a site whose endpoint has the content packs, and the programs.
func newContent(t *testing.T, compat string) *site {
	t.Helper()
	if err := programs(); err != nil {
		t.Fatal(err)
	}
	st := newSite(t, compat)
	for _, name := range packs {
		st.upload(name)
	}
	st.param("muster/fingerprint", fingerprint(t, st.server.CertPEM()))
	st.param("muster/timeout", 600)
	return st
}

// upload uploads a content pack through the API.
func (st *site) upload(name string) {
	st.t.Helper()
	raw, err := lab.Bundle(os.DirFS(filepath.Join("..", "packaging", "content", name)), "v1.2.3")
	if err != nil {
		st.t.Fatal(err)
	}
	content := &models.Content{}
	if err := json.Unmarshal(raw, content); err != nil {
		st.t.Fatal(err)
	}
	sum, err := st.admin.CreateContent(content, false)
	if err != nil || len(sum.Warnings) > 0 {
		st.t.Fatalf("content pack %s: %v, warnings %q", name, err, sum.Warnings)
	}
}

// param sets a param for all machines.
func (st *site) param(key string, value any) {
	st.t.Helper()
	if err := st.admin.Req().Context(st.t.Context()).Post(value).UrlFor("profiles", "global", "params", key).Do(nil); err != nil {
		st.t.Fatalf("param %s: %v", key, err)
	}
}

// files uploads packages, by their names, and sets muster/packages.
func (st *site) files(packages map[string][]byte) {
	st.t.Helper()
	sums := ""
	for name, content := range packages {
		if _, err := st.admin.PostBlob(bytes.NewReader(content), "files", "muster", name); err != nil {
			st.t.Fatal(err)
		}
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(content), name)
	}
	st.param("muster/packages", sums)
}

func fingerprint(t *testing.T, certificate []byte) string {
	t.Helper()
	block, _ := pem.Decode(certificate)
	if block == nil {
		t.Fatal("no certificate")
	}
	return fmt.Sprintf("%x", sha256.Sum256(block.Bytes))
}

// bare is a machine without a workflow.
func (st *site) bare(name string) *models.Machine {
	st.t.Helper()
	m := &models.Machine{}
	m.Name = name
	st.create(m)
	return m
}

// begin starts a workflow on a machine, also the one that it has.
func (st *site) begin(m *models.Machine, workflow string) {
	st.t.Helper()
	st.patch(m, func(m *models.Machine) {
		if m.Workflow == workflow {
			m.CurrentTask = -1
		}
		m.Workflow, m.Runnable = workflow, true
	})
}

// succeeds runs a workflow to its end, and fails the test if it fails.
func (st *site) succeeds(m *models.Machine, workflow string) {
	st.t.Helper()
	st.begin(m, workflow)
	done := func(m *models.Machine) bool { return m.CurrentTask >= len(m.Tasks) } // 3.13 has no WorkflowComplete
	st.await(m, func(m *models.Machine) bool { return done(m) || !m.Runnable })
	if !done(m) {
		_, logs := st.jobs(m)
		st.t.Fatalf("%s: workflow %s failed:\n%v", m.Name, workflow, logs)
	}
}

// What the workflow promises, on a host with a package manager.
func TestTheBootstrapMakesAMachineAMember(t *testing.T) {
	for kind, of := range map[string][3]string{
		"deb": {"3.13", "muster_1.0_amd64.deb", "muster_1.0_arm64.deb"},
		"rpm": {"", "muster-1.0-1.x86_64.rpm", "muster-1.0-1.aarch64.rpm"},
	} {
		t.Run(kind+" compat"+of[0], func(t *testing.T) {
			t.Parallel()
			st := newContent(t, of[0])
			st.files(map[string][]byte{of[1]: realProgram(t), of[2]: []byte("for another machine")})
			m := st.bare("node1")
			st.bare("node2") // the last member cannot be forgotten
			h := st.host(m, kind)
			st.succeeds(m, "muster-bootstrap") // in no cluster
			st.awaitLog(m, "muster-install", "WARNING: this machine has no cluster/profile")
			if did := h.did(); did != "" {
				t.Errorf("outside of a cluster it did %q", did)
			}
			st.muster(st.hosts(), "node1", "seed", "--filter", "Name Re ^node")
			st.succeeds(m, "muster-bootstrap")
			if did := h.did(); !strings.Contains(did, "install") && !strings.Contains(did, "rpm -U") || !strings.HasSuffix(did, "systemctl restart muster\n") {
				t.Errorf("it did %q", did)
			}
			if out := h.ask("members"); !strings.Contains(out, "node1") || !strings.Contains(out, "joined") {
				t.Errorf("members: %s", out)
			}
			h.checkTokens(m)
			h.checkAgain(m)
			h.checkRemoval(m, of[0] == "")
		})
	}
}

// program stands for the bare one: `muster install` knows no root but the host's.
const program = `#!/bin/sh
echo "$* ; $MUSTER_PROFILE ; $MUSTER_FINGERPRINT ; ${#RS_TOKEN} ; $(wc -c)" >>"$MUSTER_ROOT/did"
cd "$MUSTER_ROOT"
case $1 in
forget) exit 0 ;;
uninstall) exec rm -rf usr var etc ;;
esac
mkdir -p usr/local/bin etc/systemd/system etc/muster var/lib/muster/credentials
chmod 0700 var/lib/muster var/lib/muster/credentials
cp "$0" usr/local/bin/muster
touch etc/systemd/system/muster.service
printf '#log_level: info\nendpoint: %s\nprofile: alpha\n' "$RS_ENDPOINT" >etc/muster/muster.yaml
touch var/lib/muster/credentials/machine.token
`

func TestWithoutAPackageManagerTheProgramInstallsItself(t *testing.T) {
	t.Parallel()
	st := newContent(t, "")
	st.files(map[string][]byte{"muster_1.0_linux_amd64": []byte(program), "muster_1.0_amd64.deb": []byte("a")})
	m := st.bare("node1")
	h := st.host(m, "")
	st.muster(st.hosts(), "node1", "seed", "--filter", "Name Re ^node")
	st.succeeds(m, "muster-bootstrap")
	want := regexp.MustCompile(`^install --profile-token - ; alpha ; [0-9a-f]{64} ; [0-9]{3,} ; [0-9]{3,}\nsystemctl start muster\n$`)
	if did := h.did(); !want.MatchString(did) {
		t.Errorf("it did %q, want %s", did, want)
	}
	h.checkTokens(m)
	h.checkAgain(m)
	st.succeeds(m, "muster-remove")
	if did := h.did(); !strings.HasPrefix(did, "systemctl stop muster muster-root.socket\nforget --force "+m.Key()) || !strings.Contains(did, "\nuninstall --purge ;") {
		t.Errorf("it did %q", did)
	}
}

// checkTokens checks that the tokens are there, for the agent alone, and nowhere else.
func (h *host) checkTokens(m *models.Machine) {
	h.t.Helper()
	_, logs := h.jobs(m)
	for _, name := range []string{"profile.token", "machine.token"} {
		path := filepath.Join("var/lib/muster/credentials", name)
		info, err := os.Stat(filepath.Join(h.root, path))
		if err != nil || info.Mode().Perm() != 0o600 {
			h.t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
			continue
		}
		token := strings.TrimSpace(h.file(path))
		if strings.Contains(fmt.Sprint(logs), token) {
			h.t.Errorf("the job's log holds the %s", name)
		}
		var known struct {
			TTL    int
			Sha256 string
			Issued time.Time
		}
		if err := json.Unmarshal([]byte(h.file(path+".json")), &known); err != nil || known.Sha256 != fmt.Sprintf("%x", sha256.Sum256([]byte(token))) || known.TTL < 94e6 || known.Issued.IsZero() {
			h.t.Errorf("%s.json: %+v, %v", name, known, err)
		}
	}
}

// checkAgain checks that the workflow, run again, changes nothing but the tokens,
// and keeps what an administrator has set.
func (h *host) checkAgain(m *models.Machine) {
	h.t.Helper()
	settings := filepath.Join(h.root, "etc/muster/muster.yaml")
	text := h.file("etc/muster/muster.yaml")
	if !strings.Contains(text, "#log_level: info\n") || strings.Count(text, "\nprofile: \"alpha\"\n") != 1 {
		h.t.Errorf("muster.yaml:\n%s", text)
	}
	h.did()
	token := h.file("var/lib/muster/credentials/profile.token")
	h.succeeds(m, "muster-bootstrap")
	if did := h.did(); did != "systemctl start muster\n" || h.file("etc/muster/muster.yaml") != text {
		h.t.Errorf("again, it did %q, and wrote:\n%s", did, h.file("etc/muster/muster.yaml"))
	}
	h.write(filepath.Join(h.root, "run/muster-install.changed"), "") // as a run left it that was cut off before the restart
	h.succeeds(m, "muster-bootstrap")
	if did := h.did(); did != "systemctl restart muster\n" {
		h.t.Errorf("after a run that was cut off, it did %q", did)
	}
	h.succeeds(m, "muster-bootstrap")
	if did := h.did(); did != "systemctl start muster\n" {
		h.t.Errorf("after the restart it did %q", did)
	}
	if h.file("var/lib/muster/credentials/profile.token") == token {
		h.t.Error("again, it wrote no new token")
	}
	h.write(settings, strings.Replace(text, "#log_level: info", "log_level: warn", 1)+"endpoint: https://other.example:8092\n")
	h.succeeds(m, "muster-bootstrap")
	if did, now := h.did(), h.file("etc/muster/muster.yaml"); did != "systemctl restart muster\n" || !strings.Contains(now, "log_level: warn\n") || strings.Contains(now, "other.example") {
		h.t.Errorf("after a change by hand, it did %q, and wrote:\n%s", did, now)
	}
}

// What upstream's own models say of the packs, and what the packs must not declare.
func TestThePacksAreValidForUpstream(t *testing.T) {
	t.Parallel()
	for _, name := range packs {
		raw, err := lab.Bundle(os.DirFS(filepath.Join("..", "packaging", "content", name)), "v1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		again, err := lab.Bundle(os.DirFS(filepath.Join("..", "packaging", "content", name)), "v1.2.3")
		if err != nil || !bytes.Equal(raw, again) {
			t.Errorf("%s: not the same twice (%v)", name, err)
		}
		var content struct {
			Sections map[string]map[string]json.RawMessage
		}
		if err := json.Unmarshal(raw, &content); err != nil {
			t.Fatal(err)
		}
		for prefix, section := range content.Sections {
			for key, object := range section {
				checkObject(t, prefix, key, object)
				if ours := strings.HasPrefix(key, "muster"); ours != (name == "muster") {
					t.Errorf("%s declares %s %s, which is not its own", name, prefix, key)
				}
			}
		}
	}
}

func checkObject(t *testing.T, prefix, key string, raw json.RawMessage) {
	t.Helper()
	model, err := models.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, model); err != nil || model.Key() != key {
		t.Errorf("%s %s: key %s, %v", prefix, key, model.Key(), err)
	}
	if v, ok := model.(models.Validator); ok {
		v.Validate()
		if err := v.HasError(); err != nil {
			t.Errorf("%s %s: %v", prefix, key, err)
		}
	}
	if p, ok := model.(*models.Param); ok {
		if schema := p.Schema.(map[string]any); schema["properties"] != nil || schema["items"] != nil {
			t.Errorf("param %s: its schema looks into the value: %v", key, schema)
		}
	}
}

// checkRemoval checks that the removal leaves nothing, and that it leaves everything
// where the job may not have the cluster forget the member: 3.13 has no ExtraClaims.
func (h *host) checkRemoval(m *models.Machine, may bool) {
	h.t.Helper()
	h.did()
	h.begin(m, "muster-remove")
	h.await(m, func(m *models.Machine) bool { return m.CurrentTask >= len(m.Tasks) || !m.Runnable })
	left := h.file("etc/muster/muster.yaml") + h.file("var/lib/muster/credentials/machine.token")
	if did := h.did(); m.Runnable != may || (left == "") != may || strings.Contains(did, "rpm -e muster\n") != may {
		h.t.Errorf("it succeeded: %v, want %v; it did %q, and left %d bytes", m.Runnable, may, did, len(left))
	}
	if !may {
		h.awaitLog(m, "muster-remove", "muster forget ended with exit code")
		return
	}
	// Another removal was cut off in the middle.
	if err := os.MkdirAll(filepath.Join(h.root, "var/lib/muster/credentials"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	h.write(filepath.Join(h.root, "var/lib/muster/credentials/profile.token"), "secret")
	h.succeeds(m, "muster-remove")
	if h.file("var/lib/muster/credentials/profile.token") != "" {
		h.t.Error("the token of a removal that was cut off is left")
	}
}

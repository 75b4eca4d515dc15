package steps_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/steps"
)

// files makes a directory of these files.
func files(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestStepsAreReadInTheOrderOfTheirFiles(t *testing.T) {
	dir := files(t, map[string]string{
		"20-join.yaml": "name: join\nafter: [leader:leader=1, 'param:k3s/token']\nrole: worker\ntimeout: 1h\ncommand:\n- k3s\n- join it\n",
		"10-init.yaml": "# first\nname: init\nrole: leader\nlimit: 10m\ncommand: [k3s, 7]\n",
		"9-all.yaml":   "name: all\nafter: [complete]\nrole: any\ncommand: [true]\n",
		".draft.yaml":  "nonsense",
		"README":       "nonsense",
		"old.yaml.bak": "nonsense",
	})
	got, err := steps.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []steps.Step{
		{Name: "init", Role: "leader", Limit: 10 * time.Minute, Command: []string{"k3s", "7"}, RoleAt: filepath.Join(dir, "10-init.yaml") + ":3"},
		{Name: "join", After: []string{"leader:leader=1", "param:k3s/token"}, Role: "worker", Timeout: time.Hour, Command: []string{"k3s", "join it"}, RoleAt: filepath.Join(dir, "20-join.yaml") + ":3"},
		{Name: "all", After: []string{"complete"}, Command: []string{"true"}, RoleAt: filepath.Join(dir, "9-all.yaml") + ":3"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	const line = "muster run --retry --name=join --after=leader:leader=1 --after=param:k3s/token --role=worker --timeout=1h0m0s -- k3s 'join it'"
	if got[1].Retry() != line {
		t.Errorf("to run it again: got %s, want %s", got[1].Retry(), line)
	}
}

func TestABadFileIsRefusedWithItsLineAndWhatWasExpected(t *testing.T) {
	const good = "name: one\nafter: [complete]\n"
	for name, row := range map[string]struct{ text, want string }{
		"unknown key":          {good + "comand: [true]\n", `a.yaml:3: unknown key "comand"; known are name, after,`},
		"a key twice":          {good + "command: [true]\nname: two\n", `a.yaml:4: key "name" is there twice`},
		"no name":              {"after: [complete]\ncommand: [true]\n", "a.yaml: name: expected up to 64 letters"},
		"bad name":             {"after: [complete]\nname: ../x\ncommand: [true]\n", `a.yaml:2: name: expected up to 64 letters, digits, dots, dashes and underscores, found "../x"`},
		"unknown gate":         {"name: one\nafter:\n- complete\n- leaders\ncommand: [true]\n", `a.yaml:4: after: coordinator: usage: gate: expected complete, complete:BARRIER`},
		"no gate, no role":     {"name: one\ncommand: [true]\n", "a.yaml: after: expected a list of gates, such as [complete], or a role"},
		"for all, no gate":     {"name: one\nrole: any\ncommand: [true]\n", "a.yaml: after: expected a list of gates"},
		"a gate as text":       {"name: one\nafter: complete\ncommand: [true]\n", "a.yaml:2: expected a list, such as [one, two], found `complete` text"},
		"bad role":             {good + "role: the boss\ncommand: [true]\n", `a.yaml:3: role: expected leader, worker, any or another role of the cluster, found "the boss"`},
		"bad time-out":         {good + "timeout: 5\ncommand: [true]\n", `a.yaml:3: timeout: expected a duration above 0, such as 30m, found "5"`},
		"negative limit":       {good + "limit: -5s\ncommand: [true]\n", `a.yaml:3: limit: expected a duration above 0, such as 30m, found "-5s"`},
		"no such user":         {good + "user: nobody-of-that-name\ncommand: [true]\n", `a.yaml:3: user: expected a user of this host, found "nobody-of-that-name"`},
		"no command":           {good, "a.yaml: command: expected the words of a command"},
		"both":                 {good + "command: [true]\nworkflow: w\n", "a.yaml:4: workflow: expected a command or a workflow, found both"},
		"a user of a workflow": {good + "workflow: w\nuser: root\n", `a.yaml:4: user: expected none with a workflow, found "root"`},
		"a name of others":     {"name: workflow-leader\nrole: leader\nworkflow: w\n", "a.yaml:1: name: expected one that does not begin with workflow-"},
		"empty command":        {good + "command: []\n", "a.yaml:3: command: expected the words of a command"},
		"half a line":          {good + "command: [true]\nrole: lea", "a.yaml:4: expected a newline at the end: the file may be half-written"},
		"half a list":          {good + "command: [true,\n", "a.yaml:"},
		"empty":                {"", "a.yaml: expected a step, found an empty file"},
		"only comments":        {"# later\n", "a.yaml: expected a step, found nothing but comments"},
		"two documents":        {good + "command: [true]\n---\nname: two\n", "a.yaml: expected one step, found more than one document"},
		"a list":               {"- name: one\n", "a.yaml:1: expected `key: value` lines, found a list"},
		"too long":             {good + "command: [" + strings.Repeat("x", 64<<10) + "]\n", "a.yaml: expected at most 65536 bytes"},
	} {
		dir := files(t, map[string]string{"a.yaml": row.text})
		got, err := steps.Read(dir)
		if !errors.Is(err, steps.ErrInvalid) || got != nil || !strings.Contains(err.Error(), filepath.Join(dir, "")+"/"+row.want) {
			t.Errorf("%s: got %v and %v, want ErrInvalid with %q", name, got, err, row.want)
		}
	}
}

func TestTwoStepsOfANameAndAllOtherFaultsAreSaidAtOnce(t *testing.T) {
	dir := files(t, map[string]string{
		"a.yaml": "name: one\nafter: [complete]\ncommand: [true]\n",
		"b.yaml": "after: [complete]\nname: one\ncommand: [true]\n",
		"c.yaml": "name: three\nafter: [nothing]\n",
	})
	_, err := steps.Read(dir)
	for _, want := range []string{"b.yaml:2: name: expected another than that of the step in " + dir + "/a.yaml", "c.yaml:2: after: ", "c.yaml: command: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want also %q", err, want)
		}
	}
}

func TestWhatOthersCanWriteOrNobodyCanReadIsRefused(t *testing.T) {
	const good = "name: one\nafter: [complete]\ncommand: [true]\n"
	for name, row := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"writable file":      {func(dir string) error { return os.Chmod(dir+"/a.yaml", 0o666) }, "a.yaml: expected that its owner alone can write it, found mode 0666"},
		"file of the group":  {func(dir string) error { return os.Chmod(dir+"/a.yaml", 0o660) }, "found mode 0660"},
		"writable directory": {func(dir string) error { return os.Chmod(dir, 0o777) }, "expected that its owner alone can write it, found mode 0777"},
		"a directory":        {func(dir string) error { return os.Mkdir(dir+"/b.yaml", 0o700) }, "b.yaml: expected a file, found d"},
		"a link to nowhere":  {func(dir string) error { return os.Symlink("nowhere", dir+"/b.yaml") }, "b.yaml: no such file"},
		"another ending":     {func(dir string) error { return os.Rename(dir+"/a.yaml", dir+"/a.yml") }, "a.yml: expected a name that ends in .yaml"},
		"nothing there":      {func(dir string) error { return os.RemoveAll(dir) }, "no such file or directory"},
	} {
		dir := files(t, map[string]string{"a.yaml": good})
		if err := row.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if got, err := steps.Read(dir); !errors.Is(err, steps.ErrInvalid) || got != nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v and %v, want ErrInvalid with %q", name, got, err, row.want)
		}
	}
}

// Every file of a step in the documents is one.
func TestTheDocumentedStepsAreRead(t *testing.T) {
	text, err := os.ReadFile("../docs/steps.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, block := range strings.Split(string(text), "```yaml\n# /etc/muster/steps.d/")[1:] {
		name, rest, _ := strings.Cut(block, "\n")
		documented[name], _, _ = strings.Cut(rest, "```")
	}
	got, err := steps.Read(files(t, documented))
	if err != nil || len(got) != 2 || got[0].Name != "server" || got[1].Workflow != "k3s-agent" {
		t.Errorf("got %+v and %v, want steps server and agent", got, err)
	}
}

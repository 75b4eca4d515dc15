package steps_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
		{Name: "init", Role: "leader", Limit: 10 * time.Minute, Command: []string{"k3s", "7"}, File: "10-init.yaml", RoleAt: filepath.Join(dir, "10-init.yaml") + ":3"},
		{Name: "join", After: []string{"leader:leader=1", "param:k3s/token"}, Role: "worker", Timeout: time.Hour, Command: []string{"k3s", "join it"}, File: "20-join.yaml", RoleAt: filepath.Join(dir, "20-join.yaml") + ":3"},
		{Name: "all", After: []string{"complete"}, Command: []string{"true"}, File: "9-all.yaml", RoleAt: filepath.Join(dir, "9-all.yaml") + ":3"},
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

func TestTheHelperOfRootStepsIsAskedByTheNameOfAFileAlone(t *testing.T) {
	s := steps.Step{Name: "join", After: []string{"complete"}, Role: "worker", Limit: time.Minute, User: "root", Command: []string{"k3s"}, File: "20-join.yaml", ByHelper: true}
	if got, want := strings.Join(s.Args(), " "), "--name=join --after=complete --role=worker --root-step=20-join.yaml"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What is asked for by name is a file that nobody else can have put there.
func TestOneStepIsReadOnlyWhereNobodyElseCanHaveWrittenIt(t *testing.T) {
	const good = "name: one\nafter: [complete]\ncommand: [true]\n"
	for name, row := range map[string]struct {
		ask   string
		spoil func(dir string) error
		want  string
	}{
		"no fault":           {"a.yaml", nil, ""},
		"a path":             {"../steps/a.yaml", nil, "expected the name of a file"},
		"an absolute path":   {"/etc/passwd", nil, "expected the name of a file"},
		"no name":            {"", nil, "expected the name of a file"},
		"two lines":          {"a.yaml\nb.yaml", nil, "expected the name of a file"},
		"a shell's word":     {"$(id).yaml", nil, "expected the name of a file"},
		"hidden":             {".a.yaml", nil, "expected the name of a file"},
		"another file":       {"b.yaml", nil, "no such file"},
		"another ending":     {"a.yml", nil, "expected the name of a file"},
		"a file of a group":  {"a.yaml", func(dir string) error { return os.Chmod(dir+"/a.yaml", 0o660) }, "its owner alone can write it"},
		"a file of all":      {"a.yaml", func(dir string) error { return os.Chmod(dir+"/a.yaml", 0o606) }, "its owner alone can write it"},
		"a directory of all": {"a.yaml", func(dir string) error { return os.Chmod(dir, 0o777) }, "its owner alone can write it"},
		"a way through what others write": {"a.yaml", func(dir string) error {
			return os.Chmod(filepath.Dir(dir), 0o777)
		}, "its owner alone can write it"},
		"a link": {"b.yaml", func(dir string) error { return os.Symlink("a.yaml", dir+"/b.yaml") }, "expected a file, found a link"},
		"a pipe": {"b.yaml", func(dir string) error { return syscall.Mkfifo(dir+"/b.yaml", 0o600) }, "expected a file, found p"},
	} {
		dir := filepath.Join(t.TempDir(), "way", "steps")
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(good), 0o600)
		}
		if err == nil && row.spoil != nil {
			err = row.spoil(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := steps.One(dir, row.ask)
		if row.want == "" && (err != nil || s.Name != "one") || row.want != "" && (!errors.Is(err, steps.ErrInvalid) || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: got %+v and %v, want %q", name, s, err, row.want)
		}
	}
}

func TestAStepOfAForeignOwnerIsNotRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives a file away: needs root")
	}
	for _, foreign := range []string{"a.yaml", ".", ".."} {
		dir := filepath.Join(t.TempDir(), "way", "steps")
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("name: one\nafter: [complete]\ncommand: [true]\n"), 0o600)
		}
		if err == nil {
			err = os.Chown(filepath.Join(dir, foreign), 12345, 12345)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := steps.One(dir, "a.yaml"); !errors.Is(err, steps.ErrInvalid) || !strings.Contains(err.Error(), "found user 12345") {
			t.Errorf("%s: %v", foreign, err)
		}
	}
}

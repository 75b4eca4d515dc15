package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sound is a file in which nothing is wrong; each row spoils one thing.
const sound = `name: sound
members: 3
roles:
  db: {slots: 1, ttl: 3s, on_demand: true}
workflows: install
round: {workflow: install, deadline: 1m, allow_missing: 10%}
steps:
- name: start
  after: [complete]
  fails: node-02
- name: serve
  lead: db
  takes: 1s
timeline:
- run: serve
- kill: [holder:leader, node-01]
  as: victims
- expect: {holders: db, count: 1, not: victims}
`

func TestAFileIsReadAsItIsMeant(t *testing.T) {
	got, err := parse("dir/a.yaml", []byte(sound))
	if err != nil {
		t.Fatal(err)
	}
	want := &Scenario{
		File: "dir/a.yaml", Name: "sound", Members: []string{"node-01", "node-02", "node-03"},
		Roles:     []Role{{Name: "leader", Slots: 1}, {Name: "db", Slots: 1, TTL: "3s", OnDemand: true}},
		Workflows: []string{"install"}, Round: Round{Workflow: "install", Deadline: time.Minute, AllowMissing: "10%"},
		Steps: []Step{
			{Name: "start", After: []string{"complete"}, Fails: []string{"node-02"}, Command: []string{}},
			{Name: "serve", After: []string{}, Lead: "db", Takes: time.Second, Fails: []string{}, Command: []string{}},
		},
		Timeline: []Entry{
			{Line: 15, Action: &Action{Verb: verbRun, Step: "serve", Members: []string{"all"}}},
			{Line: 16, Action: &Action{Verb: verbKill, Members: []string{"holder:leader", "node-01"}, As: "victims"}},
			{Line: 18, Expect: &Expectation{
				Line: 18, About: aboutHolders, Of: "db", Exactly: 1, AtMost: -1, AtLeast: -1, Who: []string{}, Not: []string{"victims"}, Within: 30 * time.Second,
			}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the scenario (-want +got):\n%s", diff)
	}
}

func TestABadFileIsRefusedWithItsLineAndWhatWasExpected(t *testing.T) {
	for name, row := range map[string]struct{ from, to, want string }{
		"unknown key":             {"members: 3", "members: 3\nmember: 4", `:3: unknown key "member"; known here are name, members, roles, workflows, round, steps, timeline`},
		"unknown key of a role":   {"slots: 1", "slot: 1", `:4: unknown key "slot"; known here are slots, ttl, on_demand`},
		"unknown key of a step":   {"takes: 1s", "take: 1s", `:13: unknown key "take"; known here are name, file, role,`},
		"unknown action":          {"- kill:", "- shoot:", `:16: unknown key "shoot"; known here are at, expect, kill,`},
		"unknown key of expect":   {"count: 1", "counts: 1", `:18: unknown key "counts"; known here are holders, running,`},
		"key twice":               {"members: 3", "members: 3\nmembers: 4", `:3: key "members" is there twice`},
		"no YAML":                 {"members: 3", "members: [3", `:2: expected ` + "`key: value`" + ` lines in YAML: `},
		"list for a map":          {"roles:\n  db: {slots: 1, ttl: 3s, on_demand: true}", "roles: [db]", ":3: expected a map, as `key: value` lines, found a list"},
		"map for a value":         {"takes: 1s", "takes: {a: 1}", ":13: expected a text, found a map"},
		"value for a list":        {"steps:\n- name: start\n  after: [complete]\n  fails: node-02\n- name: serve\n  lead: db\n  takes: 1s", "steps: serve", ":7: expected a list, found `serve` a text"},
		"no members":              {"members: 3\n", "", ": members: expected a number, or a list of 1 to 100 names, found 0 names"},
		"zero members":            {"members: 3", "members: 0", ":2: members: expected 1 to 100, found 0"},
		"too many members":        {"members: 3", "members: 101", ":2: members: expected 1 to 100, found 101"},
		"member of a bad name":    {"members: 3", "members: [node-01, node-02, ../x]", `:2: members: expected 2 to 63 letters, digits, dots, dashes and underscores, of which the first is a letter, and not ` + "`all`" + `, found "../x"`},
		"member twice":            {"members: 3", "members: [node-01, node-02, node-02]", `:2: members: expected each name once, found "node-02" twice`},
		"negative slots":          {"slots: 1", "slots: -1", `:4: slots: expected a number of 0 or more, found "-1"`},
		"no slots":                {"slots: 1", "slots: 0", `:4: slots: expected 1 or more, found 0`},
		"unsafe ttl":              {"ttl: 3s", "ttl: 1s", `:4: profile: invalid: ttl: 1s is not safe`},
		"bad truth":               {"on_demand: true", "on_demand: maybe", `:4: on_demand: expected true or false, found "maybe"`},
		"bad role":                {"  db:", "  worker:", `:4: roles: expected a name of up to 63 letters, digits, dots, dashes and underscores, and not all, any or worker, found "worker"`},
		"leader on demand":        {"  db: {", "  leader: {on_demand: true}\n  db: {", `:4: on_demand: expected none for leader`},
		"bad workflow":            {"workflows: install", "workflows: [install, w]", `:5: workflows: expected names of 2 to 63 letters`},
		"round of no workflow":    {"{workflow: install", "{workflow: instal", `:6: workflow: expected one of the workflows ["install"], found "instal": add it to ` + "`workflows`"},
		"first round by force":    {"{workflow: install", "{force: true, workflow: install", `:6: force: expected none for the first round`},
		"bad deadline":            {"deadline: 1m", "deadline: 60", `:6: deadline: expected a duration above 0 and up to 1h, such as 500ms or 30s, found "60"`},
		"bad share":               {"10%", "few", `:6: allow_missing: expected a number or a share of at least 0, such as 2 or 5%, found "few"`},
		"nobody is late":          {"deadline: 1m, ", "", `:6: allow_missing: expected a deadline beside it`},
		"step without a name":     {"- name: start\n  after", "- after", `: name: expected that of a step`},
		"bad name of a step":      {"name: start", "name: a b", `:8: name: expected that of a step, of up to 63 letters`},
		"step twice":              {"name: serve", "name: start", `:11: name: expected another than that of a step before, found "start"`},
		"bad gate":                {"[complete]", "[completed]", `:9: after: coordinator: usage: gate: expected complete, complete:BARRIER`},
		"step that waits not":     {"  after: [complete]\n", "", `:8: step start: expected what it waits for: after, such as [complete], or a role; or at_once or lead`},
		"step of no role":         {"  after: [complete]\n", "  role: dbs\n", `:9: role: expected one of the roles leader, db, found "dbs": add it to ` + "`roles`"},
		"lead of no role":         {"lead: db", "lead: dbs", `:12: lead: expected one of the roles leader, db, found "dbs"`},
		"lead and gates":          {"lead: db", "lead: db\n  after: complete", `:11: step serve: expected no role, after, limit or timeout with at_once or lead`},
		"rolling and lead":        {"lead: db", "lead: db\n  at_once: 1", `:12: lead: expected none with at_once`},
		"nobody at once":          {"lead: db", "at_once: 0", `:12: at_once: expected a number or a share of at least 1, such as 2 or 5%, found "0"`},
		"failures of no rolling":  {"lead: db", "lead: db\n  max_failures: 1", `:13: max_failures: expected at_once with it`},
		"fails where":             {"fails: node-02", "fails: node-04", `:10: fails: expected all, a member or a label that was given before it; found "node-04"`},
		"command that takes":      {"takes: 1s", "takes: 1s\n  command: [true]", `:14: command: expected none with takes or fails`},
		"empty command":           {"takes: 1s", "command: []", `:13: command: expected the words of a command, such as [sh, -c, 'exit 3']`},
		"workflow of a step":      {"  fails: node-02", "  workflow: other", `:10: workflow: expected one of the workflows ["install"], found "other"`},
		"no file of a step":       {"- name: start\n  after: [complete]", "- file: nowhere.yaml", `:8: file: open dir/nowhere.yaml: no such file or directory`},
		"file and more":           {"- name: start", "- file: nowhere.yaml\n  name: start", `:8: file: expected beside it only takes, fails or command`},
		"no timeline":             {sound[strings.Index(sound, "timeline:"):], "", `: timeline: expected a list of actions and expectations, found none`},
		"nothing expected":        {"- expect: {holders: db, count: 1, not: victims}\n", "", ": timeline: expected at least one `expect`, found none: it could not fail"},
		"nothing to do":           {"- run: serve", "- at: 3s", `:15: timeline: expected one of expect, kill,`},
		"two things to do":        {"- run: serve", "- run: serve\n  stop: all", `:15: timeline: expected one of expect, kill, stop, restart, drop, partition, heal, expire, renew, complete, fail, endpoint, round, run, operator in each entry, found 2 of them`},
		"run of no step":          {"- run: serve", "- run: served", `:15: run: expected one of the steps ["start" "serve"], found "served": add it to ` + "`steps`"},
		"run of a step of hosts":  {"- run: serve", "- run: start", `:15: run: expected a step with at_once or lead, found "start", which the agents run themselves`},
		"bad time":                {"- run: serve", "- run: serve\n  at: -1s", `:16: at: expected a duration above 0 and up to 1h`},
		"endpoint sideways":       {"- run: serve", "- endpoint: away", `:15: endpoint: expected up or down, found "away"`},
		"operator without words":  {"- run: serve", "- operator: []", `:15: operator: expected the words of a muster command, such as [scale, leader, 2], found none`},
		"on what":                 {"- run: serve", "- stop: all\n  on: node-01", `:16: on: expected only beside run`},
		"action on nobody":        {"kill: [holder:leader, node-01]", "kill: []", `:16: kill: expected members, found none`},
		"action on a stranger":    {"node-01]", "node-9]", `:16: kill: expected all, a member or a label that was given before it, holder:ROLE, holder:ROLE/SLOT, running:STEP; found "node-9"`},
		"holder of no role":       {"holder:leader", "holder:boss", `:16: holder: expected one of the roles leader, db, found "boss"`},
		"holder of a bad slot":    {"holder:leader", "holder:leader/one", `:16: slot: expected a number of 0 or more, found "one"`},
		"running no step":         {"holder:leader", "running:boss", `:16: running: expected one of the steps ["start" "serve"], found "boss"`},
		"label of a member":       {"as: victims", "as: node-02", `:17: as: expected a name of up to 63 letters, digits, dots, dashes and underscores that is no member's, found "node-02"`},
		"label of no member":      {"- run: serve", "- endpoint: down\n  as: it", `:16: as: expected only beside an action on members`},
		"label of an expectation": {"not: victims}", "not: victims}\n  as: it", `:19: as: expected only beside an action on members`},
		"label that comes later":  {"- run: serve", "- stop: victims\n- run: serve", `:15: stop: expected all, a member or a label that was given before it`},
		"about nothing":           {"holders: db, ", "", `:18: expect: expected one of holders, running, began, ended, members, verdict, order, found 0 of them`},
		"about two things":        {"holders: db", "holders: db, running: serve", `:18: expect: expected one of holders, running, began, ended, members, verdict, order, found 2 of them`},
		"how many":                {", count: 1, not: victims", "", `:18: expect: expected how many or who: count, at_most, at_least, who or not`},
		"bad count":               {"count: 1", "count: some", `:18: count: expected a number of 0 or more, found "some"`},
		"more than all":           {"count: 1", "count: 4", `:18: count: expected all, or up to 3 as there are members, found 4`},
		"holders of no role":      {"holders: db", "holders: boss", `:18: holders: expected one of the roles leader, db, found "boss"`},
		"running none":            {"holders: db", "running: []", `:18: running: expected steps, found none`},
		"ended no step":           {"holders: db", "ended: it", `:18: ended: expected one of the steps ["start" "serve"], found "it"`},
		"members how":             {"holders: db", "members: happy", `:18: members: expected joined, complete, failed, stopped, found "happy"`},
		"verdict of whom":         {"holders: db", "verdict: open", `:18: expect: expected no count, at_most, at_least, who or not of a verdict`},
		"bad verdict":             {"holders: db, count: 1, not: victims", "verdict: good", `:18: verdict: expected open, complete, partial, failed, expired, superseded, found "good"`},
		"order of one":            {"holders: db, count: 1, not: victims", "order: start", `:18: order: expected two or more steps, found ["start"]`},
		"order of what":           {"holders: db, count: 1, not: victims", "order: [start, stop]", `:18: order: expected one of the steps ["start" "serve"], found "stop"`},
		"barrier of holders":      {"count: 1", "count: 1, barrier: it", `:18: expect: expected barrier, failed and missing only of a verdict`},
		"round of holders":        {"count: 1", "count: 1, round: 2", `:18: round: expected only of a verdict or of steps`},
		"both bounds":             {"count: 1", "count: 1, within: 1s, for: 1s", `:18: for: expected within (it comes true) or for (it stays true), found both`},
		"bad bound":               {"count: 1", "count: 1, for: ever", `:18: for: expected a duration above 0 and up to 1h, such as 500ms or 30s, found "ever"`},
		"empty":                   {sound, "", `: expected a scenario, found nothing but comments`},
		"only comments":           {sound, "# later\n", `: expected a scenario, found nothing but comments`},
		"two documents":           {"timeline:", "---\nname: two\ntimeline:", `: expected one scenario, found more than one document`},
		"too long":                {"sound", strings.Repeat("x", mostBytes), `: expected at most 262144 bytes`},
	} {
		text := strings.Replace(sound, row.from, row.to, 1)
		if text == sound {
			t.Errorf("%s: there is no %q to spoil", name, row.from)
		}
		got, err := parse("dir/a.yaml", []byte(text))
		if !errors.Is(err, ErrInvalid) || got != nil || !strings.Contains(err.Error(), "dir/a.yaml"+row.want) {
			t.Errorf("%s: got %v, want ErrInvalid with %q", name, err, "dir/a.yaml"+row.want)
		}
	}
}

func TestNothingCanBeCompletedWithoutAWorkflow(t *testing.T) {
	_, err := parse("a.yaml", []byte("members: 1\ntimeline:\n- complete: all\n- expect: {members: complete, count: all}\n"))
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "a.yaml:3: complete: expected a workflow that can") {
		t.Errorf("got %v", err)
	}
}

func TestAllFaultsOfAFileAreSaidAtOnce(t *testing.T) {
	text := strings.NewReplacer("takes: 1s", "takes: soon", "count: 1", "count: some", "holder:leader", "holder:boss").Replace(sound)
	_, err := parse("a.yaml", []byte(text))
	for _, want := range []string{"a.yaml:13: takes: ", "a.yaml:16: holder: ", "a.yaml:18: count: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want also %s", err, want)
		}
	}
}

func TestAStepOfAFileIsTakenWithoutItsCommand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("10-server.yaml", "name: server\nrole: worker\nafter: [complete, 'leader:leader']\nlimit: 5m\ntimeout: 1h\ncommand: [rm, -rf, /]\n")
	write("20-bad.yaml", "name: bad\nafter: [completed]\ncommand: [true]\n")
	file := filepath.Join(dir, "a.yaml")
	write("a.yaml", "members: 1\nsteps:\n- file: 10-server.yaml\n  takes: 1s\ntimeline:\n- expect: {ended: server, count: 1}\n")
	s, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{{Name: "server", Role: "worker", After: []string{"complete", "leader:leader"}, Limit: 5 * time.Minute, Timeout: time.Hour, Takes: time.Second, Fails: []string{}, Command: []string{}}}
	if diff := cmp.Diff(want, s.Steps); diff != "" {
		t.Errorf("the step (-want +got):\n%s", diff)
	}
	write("a.yaml", "members: 1\nsteps:\n- file: 20-bad.yaml\ntimeline:\n- expect: {ended: bad, count: 1}\n")
	if _, err := Read(file); err == nil || !strings.Contains(err.Error(), file+":3: file: steps: "+filepath.Join(dir, "20-bad.yaml")+":2: after: ") {
		t.Errorf("got %v", err)
	}
}

func TestTheDocumentedScenarioIsRead(t *testing.T) {
	text, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	block, _, _ := strings.Cut(rest, "```")
	if s, err := parse("docs/scenarios.md", []byte(block)); err != nil || s.Name != "a backup survives its host" {
		t.Errorf("got %v of\n%s", err, block)
	}
}

// FuzzAnyFile: whatever is in a file, it is a scenario or is refused with its name.
func FuzzAnyFile(f *testing.F) {
	f.Add(sound)
	f.Add("members: 1\ntimeline:\n- expect: {order: [a, b], for: rest}\n")
	f.Add("members: [~, {a: b}]\nsteps: [~]\ntimeline: [~, {expect: ~}]\n")
	f.Add("members: &a [x, *a]\nround: !!binary x\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parse("a.yaml", []byte(text))
		if (s == nil) != (err != nil) || err != nil && (!errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), "scenario: a.yaml")) {
			t.Errorf("got %v, %v", s, err)
		}
	})
}

//go:build linux

package main

import (
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/lab/scenario"
)

// examples are the scenarios of the documents.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../docs/scenarios/*.yaml")
	if err != nil || len(files) != 5 {
		t.Fatalf("found %q, %v; want five examples", files, err)
	}
	return files
}

// runScenario runs a file and returns the exit code and the report.
func runScenario(t *testing.T, file string, args ...string) (int, scenario.Report, *program) {
	t.Helper()
	p := start(t, append([]string{"run", file, "-o", "json"}, args...)...)
	code := p.exit(t)
	var r scenario.Report
	if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil {
		t.Fatalf("exit code %d, %v:\n%s", code, err, &p.err)
	}
	p.leavesNothing(t)
	return code, r, p
}

func TestTheExampleScenariosPass(t *testing.T) {
	t.Parallel()
	for _, file := range examples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			code, r, p := runScenario(t, file)
			if code != 0 || !r.Held || r.Error != "" || len(r.Expectations) == 0 {
				t.Errorf("exit code %d, held %v, error %q:\n%s", code, r.Held, r.Error, &p.err)
			}
		})
	}
}

// One run inverts all expectations of an example: it goes on after each.
func TestEveryExpectationOfTheExamplesFailsWhenItIsInverted(t *testing.T) {
	t.Parallel()
	for _, file := range examples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			junit := filepath.Join(t.TempDir(), "junit.xml")
			code, r, p := runScenario(t, file, "--invert", "--junit", junit)
			if code != exitFailed || r.Held || r.Error != "" {
				t.Errorf("exit code %d, held %v, error %q:\n%s", code, r.Held, r.Error, &p.err)
			}
			for _, f := range r.Expectations {
				named := fmt.Sprintf("%s:%d: expected %s; seen ", file, f.Line, f.Expected)
				if f.Result != scenario.Failed || !strings.Contains(p.err.String(), named) {
					t.Errorf("line %d is %s, and not said to have failed by %q:\n%s", f.Line, f.Result, named, &p.err)
				}
			}
			raw, err := os.ReadFile(junit)
			if err != nil {
				t.Fatal(err)
			}
			var suites struct {
				Suites []struct {
					Tests    int `xml:"tests,attr"`
					Failures int `xml:"failures,attr"`
				} `xml:"testsuite"`
			}
			if err := xml.Unmarshal(raw, &suites); err != nil || len(suites.Suites) != 1 || suites.Suites[0].Tests != len(r.Expectations) || suites.Suites[0].Failures != len(r.Expectations) {
				t.Errorf("JUnit: %+v, %v; want %d failures of as many", suites, err, len(r.Expectations))
			}
		})
	}
}

// names are what there is at an endpoint, by type.
func (s *served) names() map[string][]string {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	found := map[string][]string{}
	for _, kind := range []string{"machines", "profiles", "workflows", "stages", "tasks"} {
		req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url+"/api/v3/"+kind, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		req.SetBasicAuth("rocketskates", "r0cketsk8ts")
		resp, err := client.Do(req)
		if err != nil {
			s.t.Fatal(err)
		}
		var list []struct{ Name string }
		err = json.NewDecoder(resp.Body).Decode(&list)
		resp.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, object := range list {
			found[kind] = append(found[kind], object.Name)
		}
	}
	return found
}

func TestAScenarioRunsOnAnotherEndpointAndLeavesNothingThere(t *testing.T) {
	t.Parallel()
	one := write(t, "members: 1\nworkflows: install\nround: {workflow: install}\ntimeline:\n- complete: all\n- expect: {verdict: complete, within: 60s}\n")
	for compat, file := range map[string]string{"": "../../docs/scenarios/04-rolling.yaml", "3.13": one} {
		t.Run("compat"+compat, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "--compat", compat)
			s.must("machine add bystander --profile k3s")
			before := s.names()
			code, r, p := runScenario(t, file, "--endpoint", s.url)
			if code != 0 || r.Endpoint != s.url {
				t.Errorf("exit code %d at %s:\n%s", code, r.Endpoint, &p.err)
			}
			if diff := cmp.Diff(before, s.names()); diff != "" {
				t.Errorf("what is there (-before +after):\n%s", diff)
			}
		})
	}
}

func TestAMachineOfOthersIsNotTouchedByAScenario(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.must("machine add node-02 --profile k3s")
	before := s.names()
	code, r, p := runScenario(t, "../../docs/scenarios/02-partition.yaml", "--endpoint", s.url)
	if code != exitFailed || !strings.Contains(r.Error, "machine node-02: ") || r.Expectations[0].Result != scenario.Skipped {
		t.Errorf("exit code %d, error %q:\n%s", code, r.Error, &p.err)
	}
	if diff := cmp.Diff(before, s.names()); diff != "" {
		t.Errorf("what is there (-before +after):\n%s", diff)
	}
}

// write makes a scenario.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWhatCannotBeRunIsRefusedBeforeAnythingIsStarted(t *testing.T) {
	t.Parallel()
	const good = "members: 1\ntimeline:\n- expect: {holders: leader, count: 1}\n"
	expires := write(t, good+"- expire: all\n- renew: all\n")
	for args, want := range map[string]string{
		"nowhere.yaml": "scenario: open nowhere.yaml: no such file",
		write(t, good+"- expect: {holders: boss, count: 1}\n"):                                     `a.yaml:4: holders: expected one of the roles leader, found "boss"`,
		expires + " --endpoint https://127.0.0.1:1":                                                "a.yaml:4: expire: only the embedded endpoint can do that: run it without --endpoint",
		write(t, good) + " --compat 4":                                                             `--compat: expected 3.13, found "4"`,
		write(t, good) + " --compat 3.13 --endpoint https://127.0.0.1:1":                           "--compat: expected none with --endpoint",
		write(t, good) + " --endpoint http://127.0.0.1:1":                                          "endpoint: expected https://HOST:PORT",
		write(t, good) + " -o yaml":                                                                `-o: expected table or json, found "yaml"`,
		"a.yaml b.yaml":                                                                            "accepts 1 arg(s), received 2",
		write(t, strings.ReplaceAll(good, "members: 1", "members: ["+strings.Repeat("x", 63)+"]")): "too long for a socket",
	} {
		p := start(t, append([]string{"run"}, strings.Fields(args)...)...)
		if code := p.exit(t); code != exitUsage || !strings.Contains(p.err.String(), want) || p.out.String() != "" {
			t.Errorf("run %s: exit code %d, want 2 and %q:\n%s%s", args, code, want, &p.out, &p.err)
		}
		p.leavesNothing(t)
	}
}

// The examples have the other actions.
func TestActionsDoWhatTheySay(t *testing.T) {
	t.Parallel()
	code, r, p := runScenario(t, write(t, `members: 2
roles: {leader: {ttl: 3s}}
timeline:
- expect: {holders: leader, count: 1, within: 60s}
- expect: {members: joined, count: all, within: 60s}
- stop: holder:leader
  as: stopped
- expect: {holders: leader, count: 1, not: stopped, within: 60s}
- restart: stopped
- drop: all
- operator: [scale, leader, 2]
- expect: {holders: leader, count: 2, within: 60s}
- operator: [scale, leader, 1]
- expect: {holders: leader, count: 1, within: 60s}
- expire: holder:leader/1
  as: expired
- expect: {holders: leader, count: 1, not: expired, within: 60s}
- renew: expired
- operator: [scale, leader, 2]
- expect: {holders: leader, who: expired, within: 60s}
`))
	if code != 0 || !r.Held {
		t.Errorf("exit code %d:\n%s", code, &p.err)
	}
}

func TestTwoCommandsAtOnceAreSeen(t *testing.T) {
	t.Parallel()
	code, r, p := runScenario(t, write(t, `members: 2
steps: [{name: work, at_once: 2, command: [sleep, '600']}]
timeline:
- expect: {running: work, at_most: 1, for: rest}
- run: work
- expect: {began: work, count: all, within: 60s}
`))
	if code != exitFailed || r.Expectations[0].Result != scenario.Failed || r.Expectations[0].Seen != "2: node-01, node-02" || r.Expectations[1].Result != scenario.Passed {
		t.Errorf("exit code %d, %+v:\n%s", code, r.Expectations, &p.err)
	}
}

func TestAScenarioThatIsInterruptedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	p := start(t, "run", write(t, "members: 2\ntimeline:\n- expect: {members: joined, count: all}\n- expect: {members: joined, count: all, for: 1h}\n"), "-o", "json")
	until(t, "both have joined", func() bool { return strings.Contains(p.err.String(), "for 1h0m0s") })
	p.signal(t, syscall.SIGINT)
	code := p.exit(t)
	var r scenario.Report
	if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil || code != exitFailed || r.Held || !strings.Contains(r.Error, "interrupt signal received") {
		t.Errorf("exit code %d, %v, %+v:\n%s", code, err, r, &p.err)
	}
	if len(r.Expectations) != 2 || r.Expectations[0].Result != scenario.Passed || r.Expectations[1].Result != scenario.Skipped {
		t.Errorf("found %+v", r.Expectations)
	}
	p.leavesNothing(t)
}

// What goes wrong ends the run: what was not reached is skipped, and it has failed.
func TestARunThatCannotGoOnSaysWhyAndHasFailed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"- stop: 'holder:db'\n":          "a.yaml:5: stop: holder:db: expected a member, found nobody at this moment; expect one before",
		"- operator: [scale, nobody]\n":  "a.yaml:5: operator: muster scale nobody: exit status 2: ",
		"- kill: node-01\n- run: work\n": "a.yaml:6: run: node-01: its agent",
	} {
		file := write(t, "members: 1\nroles: {db: {on_demand: true}}\nsteps: [{name: work, lead: db}]\ntimeline:\n"+text+"- expect: {holders: leader, count: 1}\n- expect: {holders: leader, at_most: 1, for: rest}\n")
		code, r, p := runScenario(t, file)
		if code != exitFailed || !strings.Contains(r.Error, want) || !strings.Contains(p.err.String(), want) {
			t.Errorf("%s: exit code %d, error %q, want 1 and %q:\n%s", text, code, r.Error, want, &p.err)
		}
		for _, f := range r.Expectations {
			if f.Result != scenario.Skipped {
				t.Errorf("%s: line %d is %s", text, f.Line, f.Result)
			}
		}
	}
}

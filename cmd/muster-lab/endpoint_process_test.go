//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"muster/lab"
)

// served is an endpoint process with a control socket, and how to run commands on it.
type served struct {
	*program
	t        *testing.T
	dir, url string
	env      []string // of commands
}

func serve(t *testing.T, args ...string) *served {
	t.Helper()
	dir, err := os.MkdirTemp("", "srv") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &served{t: t, dir: dir}
	args = append([]string{"endpoint", "serve", "--listen", "127.0.0.1:0", "--control", s.at("lab.sock"), "--ca-file", s.at("ca.pem")}, args...)
	s.program = start(t, args...)
	until(t, "the endpoint says where it is", func() bool { return strings.Count(s.out.String(), "\n") == 4 })
	s.url = strings.Fields(s.out.String())[1]
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RS_") && !strings.HasPrefix(v, "MUSTER_") {
			s.env = append(s.env, v)
		}
	}
	s.env = append(s.env, "RS_ENDPOINT="+s.url, "MUSTER_LAB_CONTROL="+s.at("lab.sock"))
	return s
}

func (s *served) at(file string) string { return filepath.Join(s.dir, file) }

// run runs `muster-lab endpoint` with more of an environment.
func (s *served) run(args string, env ...string) (stdout, stderr string, exit int) {
	s.t.Helper()
	return s.call(labProgram(s.t), append([]string{"endpoint"}, strings.Fields(args)...), env...)
}

func (s *served) call(name string, args []string, env ...string) (stdout, stderr string, exit int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Env, cmd.Dir = append(s.env[:len(s.env):len(s.env)], env...), s.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is run for a command that has to succeed.
func (s *served) must(args string, env ...string) string {
	s.t.Helper()
	out, errs, code := s.run(args, env...)
	if code != 0 {
		s.t.Fatalf("endpoint %s: exit code %d:\n%s%s", args, code, out, errs)
	}
	return out
}

// refused is run for a command that has to fail.
func (s *served) refused(want string, wantExit int, args string, env ...string) {
	s.t.Helper()
	out, errs, code := s.run(args, env...)
	if code != wantExit || !strings.Contains(errs, want) || !strings.HasPrefix(errs, "muster-lab: ") {
		s.t.Errorf("endpoint %s: exit code %d, want %d and %q:\n%s%s", args, code, wantExit, want, out, errs)
	}
}

func (s *served) machines(args string) map[string]lab.MachineState {
	s.t.Helper()
	var list []lab.MachineState
	if err := json.Unmarshal([]byte(s.must(args+" -o json")), &list); err != nil {
		s.t.Fatal(err)
	}
	found := map[string]lab.MachineState{}
	for _, m := range list {
		found[m.Name] = m
	}
	return found
}

// The commands of the quick start, with two agents: nothing else is needed to try
// Muster, and no runner.
func TestQuickStartFormsAClusterByHand(t *testing.T) {
	s := serve(t)
	muster := filepath.Join(filepath.Dir(labProgram(t)), "muster")
	s.must("machine add manager --profile k3s --param cluster/manager=true")
	added := s.machines("machine add node-01 node-02 --profile k3s")
	s.must("workflow add try")
	seed := []string{"seed", "--profile", "k3s", "--leaders", "1", "--ca-file", "ca.pem"}
	if out, errs, code := s.call(muster, seed, "RS_KEY=rocketskates:r0cketsk8ts"); code != 0 || !strings.Contains(out, "2 members expected") {
		t.Fatalf("muster seed: exit code %d:\n%s%s", code, out, errs)
	}
	s.must("workflow start try node-01 node-02")
	config := map[string]string{}
	for name, m := range added {
		s.must("token profile k3s --out " + name + ".profile")
		s.must("token machine " + name + " --out " + name + ".machine")
		config[name] = s.at(name + ".yaml")
		text := "endpoint: " + s.url + "\nprofile: k3s\nuuid: " + m.UUID + "\nca_file: " + s.at("ca.pem") +
			"\nprofile_token_file: " + s.at(name+".profile") + "\nmachine_token_file: " + s.at(name+".machine") +
			"\nstate_dir: " + s.at(name) + "\nsocket: " + s.at(name+".sock") + "\n"
		if err := os.WriteFile(config[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(s.at(name), 0o700); err != nil {
			t.Fatal(err)
		}
		agent := exec.Command(muster, "agent")
		agent.Env = append(s.env[:len(s.env):len(s.env)], "MUSTER_CONFIG="+config[name])
		var said bytes.Buffer
		agent.Stderr = &said
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = agent.Process.Signal(syscall.SIGTERM)
			_ = agent.Wait()
			if t.Failed() {
				t.Logf("agent of %s:\n%s", name, &said)
			}
		})
	}
	status := func() string {
		out, _, _ := s.call(muster, []string{"status"}, "MUSTER_CONFIG="+config["node-01"])
		return out
	}
	until(t, "both have joined, and one leads", func() bool {
		now := status()
		return strings.Contains(now, "2 joined, 2 expected") && regexp.MustCompile(`leader/1 +node-0`).MatchString(now)
	})
	s.must("workflow complete node-01")
	until(t, "one is complete", func() bool { return strings.Contains(status(), "1 of 2 complete") })
	if got := s.machines("workflow complete --all"); len(got) != 1 || got["node-02"].State != "complete" {
		t.Errorf("completed are %+v, want node-02 alone", got)
	}
	step := []string{"run", "--after", "complete", "--", "echo", "opened"}
	if out, errs, code := s.call(muster, step, "MUSTER_CONFIG="+config["node-01"]); code != 0 || !strings.Contains(out, "opened") {
		t.Errorf("the gate: exit code %d:\n%s%s", code, out, errs)
	}
}

func TestMachinesAreAddedListedAndRemoved(t *testing.T) {
	s := serve(t)
	s.must("workflow add try --task one --task two")
	out, errs, code := s.run(`machine add node-01 node-02 --workflow try --profile c1 --profile c2 --param a/n=7 --param a/s=x=y`)
	if code != 0 || errs != "muster-lab: made the profile c1\nmuster-lab: made the profile c2\n" {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
	table := regexp.MustCompile(`^MACHINE  UUID +WORKFLOW  TASK  STATE    PROFILES
node-01  [0-9a-f-]{36}  try       0/3   running  c1,c2
node-02  [0-9a-f-]{36}  try       0/3   running  c1,c2
$`)
	if list := s.must("machine list"); list != out || !table.MatchString(list) {
		t.Errorf("the list is\n%s, adding said\n%s", list, out)
	}
	list := s.machines("machine list")
	if got := list["node-02"]; got.Tasks != 3 || got.Workflow != "try" || strings.Join(got.Profiles, " ") != "c1 c2" {
		t.Errorf("node-02 is %+v", got)
	}
	out, errs, code = s.run("machine remove node-01 node-09 " + list["node-02"].UUID + " node-10")
	removed := regexp.MustCompile(`^MACHINE .*\nnode-01 .* removed .*\nnode-02 .* removed .*\n$`)
	if want := "muster-lab: machine node-09: there is none with this name or UUID\nmuster-lab: machine node-10: there is none with this name or UUID\n"; code != 1 || errs != want || !removed.MatchString(out) {
		t.Errorf("machine remove: exit code %d:\n%s%s", code, out, errs)
	}
	if left := s.must("machine list"); left != "" {
		t.Errorf("left are\n%s", left)
	}
	if left := s.must("machine list -o json"); left != "[]\n" {
		t.Errorf("left are %s", left)
	}
	s.refused("machine node-01: POST machines: ", 1, "machine add node-01 --workflow nosuch")
}

// What was made for machines that could not be added does not stay behind, and what
// was there before does.
func TestMachinesThatFailLeaveNoProfile(t *testing.T) {
	s := serve(t)
	s.must("machine add node-01 --profile old")
	out, errs, code := s.run("machine add n1 n2 --profile old --profile kk --param a=b")
	if code != 1 || out != "" || !strings.HasPrefix(errs, "muster-lab: made the profile kk\nmuster-lab: removed the profile kk again\nmuster-lab: machine n1: ") ||
		strings.Count(errs, "\n") != strings.Count(errs, "muster-lab: ") {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
	s.refused(`there is no profile "kk"`, 1, "token profile kk")
	s.must("token profile old")
	if _, errs, code := s.run("machine add n1 node-01 --profile kk"); code != 1 || strings.Contains(errs, "removed") {
		t.Errorf("one of two was added: exit code %d, %s", code, errs)
	}
	s.must("token profile kk")
}

func TestWorkflowsAreCompletedAndFailedByHand(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		s := serve(t, "--compat="+compat)
		s.must("workflow add try --task one --task two")
		s.refused("(409)", 1, "workflow add try")
		s.must("machine add node-01 node-02")
		s.refused("expected a workflow to complete, found none", 1, "workflow complete node-01")
		s.refused("expected a task that can fail, found none", 1, "workflow fail node-01")
		s.refused("nosuch", 1, "workflow start nosuch node-01")
		started := s.machines("workflow start try --all")
		if len(started) != 2 || started["node-01"].State != "running" || started["node-01"].Task != 0 {
			t.Errorf("%q: started are %+v", compat, started)
		}
		for range 2 { // the second time nothing is left to do
			if got := s.machines("workflow complete node-01")["node-01"]; got.State != "complete" || got.Task != 3 {
				t.Errorf("%q: completed is %+v", compat, got)
			}
		}
		out, _, _ := s.call(labProgram(t), []string{"endpoint", "workflow", "fail", "node-02", "--message", "disk is full", "-o", "json"})
		want := map[string]string{"": `"failed"`, "3.13": `"stopped"`}[compat] // which shows no state of jobs
		if !strings.Contains(out, want) {
			t.Errorf("%q: failed is %s, want %s", compat, out, want)
		}
		s.refused("is not runnable (409); start a workflow", 1, "workflow complete node-02")
		if got := s.machines("workflow start try node-01 node-02"); got["node-01"].State != "running" || got["node-02"].State != "running" || got["node-01"].Task != 0 {
			t.Errorf("%q: started over are %+v", compat, got)
		}
		if got := s.machines("workflow complete --all"); len(got) != 2 || got["node-02"].State != "complete" {
			t.Errorf("%q: completed are %+v", compat, got)
		}
	}
}

func TestTokensGoToStdoutAloneOrToAPrivateFile(t *testing.T) {
	s := serve(t)
	s.must("machine add node-01 --profile c1")
	if err := os.WriteFile(s.at("t"), []byte("what was there"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"user rocketskates", "machine node-01", "profile c1", "profile c1 --machine node-01"} {
		out, errs, code := s.run("token " + args + " --ttl 1h")
		if code != 0 || errs != "" || !regexp.MustCompile(`^[A-Za-z0-9_-]{100,}\n$`).MatchString(out) {
			t.Errorf("token %s: exit code %d:\n%s%s", args, code, out, errs)
		}
		if out, errs, code := s.run("token " + args + " --out t"); code != 0 || errs+out != "" {
			t.Errorf("token %s --out: exit code %d:\n%s%s", args, code, out, errs)
		}
		info, err := os.Stat(s.at("t"))
		if err != nil || info.Mode() != 0o600 || info.Size() < 100 {
			t.Errorf("token %s: the file is %v, %v", args, info, err)
		}
		token := strings.TrimSpace(out)
		if _, errs, code := s.run("machine list", "RS_TOKEN="+token, "RS_CA_CERT=ca.pem"); code != 0 {
			t.Errorf("the token of %s is refused: %s", args, errs)
		}
	}
	s.refused(`"node-02"`, 1, "token profile c1 --machine node-02")
	s.refused("there is no profile \"c2\"; `muster-lab endpoint machine add NAME --profile c2` adds a machine that carries it", 1, "token profile c2")
	s.refused("no machine carries the profile \"global\"; `muster-lab ", 1, "token profile global")
	s.refused("no answer on the control socket", 1, "token profile c1 --control nosuch")
	s.refused("there is none with this name or UUID", 1, "token machine node-02")
	s.refused("Not Found (404)", 1, "token user nosuch")
	s.refused("no such file or directory", 1, "token user rocketskates --out no/such/file")
	if left, _ := filepath.Glob(s.at(".token*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestEndpointIsVerifiedUnlessNothingIsSecret(t *testing.T) {
	s, other := serve(t), serve(t)
	s.must("machine list")
	s.must("machine list", "RS_KEY=rocketskates:r0cketsk8ts")
	s.must("machine list --ca-file ca.pem")
	s.must("machine list --endpoint "+other.url, "RS_ENDPOINT=https://127.0.0.1:1")
	const hint = "name a file with the endpoint's certificate"
	s.refused(hint, 1, "machine list", "RS_KEY=rocketskates:secret")
	s.refused(hint, 1, "machine list", "RS_TOKEN=secret")
	s.refused(hint, 1, "machine list", "RS_CA_CERT="+other.at("ca.pem"))
	s.refused("Access Denied (403)", 1, "machine list", "RS_KEY=rocketskates:secret", "RS_CA_CERT=ca.pem")
	s.refused("Invalid Token (403)", 1, "machine list", "RS_TOKEN=secret", "RS_CA_CERT=ca.pem")
	s.refused("expected certificates in PEM form", 2, "machine list --ca-file "+labProgram(t))
	s.refused("expected https://HOST:PORT without a user", 2, "machine list", "RS_ENDPOINT=https://a:secret@h:8092")
	s.refused("RS_KEY: expected USER:PASSWORD", 2, "machine list", "RS_KEY=secret")
}

func TestFaultsAreAddedListedAndCleared(t *testing.T) {
	s := serve(t)
	if got := s.must("fault list"); got != "" {
		t.Errorf("there are faults:\n%s", got)
	}
	id := strings.TrimSpace(s.must("fault add refuse --status 503 --message Later --method GET,HEAD --path /machines* --principal user:rocketskates --times 1"))
	s.refused("Later (503)", 1, "machine list")
	s.must("machine list")
	s.must("fault add delay --delay 1ms -o json")
	want := `ID  KIND    HOW  METHOD    PATH        PRINCIPAL          TIMES          HITS
1   refuse  503  GET,HEAD  /machines*  user:rocketskates  1              1
2   delay   1ms  -         -           -                  until cleared  0
`
	if got := s.must("fault list"); got != want {
		t.Errorf("the faults are\n%swant\n%s", got, want)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(s.must("fault list -o json")), &list); err != nil || len(list) != 2 || list[1]["delay"] != "1ms" {
		t.Errorf("the faults are %v, %v", list, err)
	}
	s.must("fault clear " + id)
	s.refused("there is none with id "+id, 2, "fault clear "+id)
	s.must("fault clear --all")
	if got := s.must("fault list"); got != "" {
		t.Errorf("left are\n%s", got)
	}
	s.must("machine add node-01")
	for who, want := range map[string]string{
		"machine:nosuch": "muster-lab: warning: there is no machine:nosuch; fault 3 waits for one\n", "machine:node-01": "", "user:rocketskates": "",
	} {
		out, errs, code := s.run("fault add drop-before --path /nosuch --principal " + who)
		if want = strings.Replace(want, "3", strings.TrimSpace(out), 1); code != 0 || errs != want {
			t.Errorf("%s: exit code %d:\n%s%s", who, code, out, errs)
		}
	}
	s.refused("kind: expected one of", 2, "fault add explode")
	s.refused("delay: expected more than 0", 2, "fault add delay")
}

func TestTokensExpireAndTheEndpointRestartsByCommand(t *testing.T) {
	s := serve(t, "--data", filepath.Join(t.TempDir(), "data.json"))
	s.must("machine add node-01")
	token := "RS_TOKEN=" + strings.TrimSpace(s.must("token user rocketskates"))
	s.must("machine list --ca-file ca.pem", token)
	s.must("fault expire user:rocketskates")
	s.refused("Invalid Token (403)", 1, "machine list --ca-file ca.pem", token)
	s.refused(`there is no user "eve"`, 2, "fault expire user:eve")
	s.must("fault expire --all")
	s.must("fault restart --down 10ms")
	if got := s.machines("machine list"); got["node-01"].State != "idle" {
		t.Errorf("after the restart there are %+v", got)
	}
	s.signal(t, syscall.SIGTERM)
	if code := s.exit(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, &s.err)
	}
	if _, err := os.Lstat(s.at("lab.sock")); !os.IsNotExist(err) {
		t.Errorf("the control socket is left behind: %v", err)
	}
	s.refused("no answer on the control socket", 1, "fault restart")
	s.refused("connection refused", 1, "machine list")
}

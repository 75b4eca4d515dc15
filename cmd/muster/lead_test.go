package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"muster/endpoint"
	"muster/internal/boottime"
)

// stubborn is a command of the scripts: it and what it starts, in sessions of
// their own and by forking twice, ignores TERM, and writes process id and moment
// to the file that is its argument as long as it lives.
func stubborn() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP) // inherited
	kind, file := os.Args[1], os.Args[2]
	switch kind {
	case "tree":
		sprout("leaf", file, false)
		sprout("twice", file, true)
	case "twice":
		sprout("leaf", file, true)
		return
	}
	for {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err == nil {
			_, err = fmt.Fprintln(f, kind, os.Getpid(), int64(boottime.Now()))
		}
		if err != nil {
			panic(err)
		}
		f.Close()
		time.Sleep(5 * time.Millisecond)
	}
}

func sprout(kind, file string, session bool) {
	cmd := exec.Cmd{Path: "/proc/self/exe", Args: []string{os.Args[0], kind, file}, SysProcAttr: &syscall.SysProcAttr{Setsid: session}}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

// oneFault is a script in which the command of host n1 is lost for one fault,
// and host n2 takes over.
const oneFault = `
profile alpha '{"cluster/profile":"alpha"}'
machine n1
machine n2
token profile n1
token profile n2
as operator
call 0 seed --leaders 0
as n1
AGENT
start lead1 lead db --ttl 6s -- stubborn tree one.log
await one.log '^leaf (\d+) .*\n(.*\n)*leaf'
as n2
start agent2 agent
await agent2.err 'joined'
start lead2 lead db -- stubborn tree two.log
await lead2.err 'slot 1 is held by n1'
FAULT
await two.log '^tree'
apart one.log two.log
AFTER
fault lead2 KILL
end lead2 -1
end agent2 0 TERM
`

func TestNoTwoHostsRunTheCommandWhateverFaultThereIs(t *testing.T) {
	const agent = "start agent1 agent\nawait agent1.err 'joined'"
	for name, c := range map[string]struct{ agent, fault, after string }{
		"endpoint away":        {agent, "cut n1", "end lead1 9\nmend\nend agent1 0 TERM"},
		"agent stopped":        {agent, "fault agent1 STOP", "end lead1 9\nfault agent1 CONT\nend agent1 0 TERM"},
		"agent killed":         {agent, "fault agent1 KILL", "end lead1 9"},
		"lead stopped":         {agent, "fault lead1 STOP", "fault lead1 CONT\nend lead1 9\nend agent1 0 TERM"},
		"lead killed":          {agent, "fault lead1 KILL", "end lead1 -1\nend agent1 0 TERM"},
		"guard stopped":        {agent, "fault guard-of-lead1 STOP", "end lead1 9\nend agent1 0 TERM"},
		"guard killed":         {agent, "fault guard-of-lead1 KILL", "end lead1 1\nend agent1 0 TERM"},
		"alone, endpoint away": {"", "cut n1", "end lead1 9"},
		"alone, lead stopped":  {"", "fault lead1 STOP", "fault lead1 CONT\nend lead1 9"},
		"alone, lead killed":   {"", "fault lead1 KILL", "end lead1 -1"},
		"alone, guard stopped": {"", "fault guard-of-lead1 STOP", "end lead1 9"},
		"alone, guard killed":  {"", "fault guard-of-lead1 KILL", "end lead1 1"},
		"agent ended":          {agent, "end agent1 0 TERM", "end lead1 9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), strings.ReplaceAll(name, " ", "-")+".txtar")
			script := strings.NewReplacer("AGENT", c.agent, "FAULT", c.fault, "AFTER", c.after).Replace(oneFault)
			if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			scripts(t, "", file)
		})
	}
}

// restarted is a script in which the agent is killed and started again under a
// command that ends by itself after its first deadline.
const restarted = `
profile alpha '{"cluster/profile":"alpha"}'
machine n1
token profile n1
as operator
call 0 seed --leaders 0
as n1
start agent agent
await agent.err 'joined'
start lease lead lease --ttl 12s -- sh -c 'echo >lease.up; sleep 10; exit 6'
start sticky lead sticky --slots 1 -- sh -c 'echo >sticky.up; until [ -e now ]; do sleep 0.05; done; exit 7'
await lease.up ''
await sticky.up ''
end agent -1 KILL
start agent agent
await agent.err 'slot is held: role=lease'
await agent.err 'slot is held: role=sticky'
start next lead sticky -- true
end lease 6
cp restarted now
end sticky 7
end next 0
until 0 '^lease/1 +- .*\n(.*\n)*sticky/1 +- ' leaders
end agent 0 TERM
-- restarted --
`

func TestACommandOutlivesTheRestartOfItsAgent(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "restarted.txtar")
	if err := os.WriteFile(file, []byte(restarted), 0o600); err != nil {
		t.Fatal(err)
	}
	scripts(t, "", file)
}

// cmdFault sends a signal to what was started, or to the guard of a lead.
func cmdFault(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2, "fault NAME|guard-of-NAME STOP|CONT|KILL")
	name, guard := strings.CutPrefix(args[0], "guard-of-")
	p, sig := s.started[name], map[string]syscall.Signal{"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "KILL": syscall.SIGKILL}[args[1]]
	need(ts, p != nil && sig != 0, "fault of what was started before")
	pid := p.cmd.Process.Pid
	if guard {
		var found string
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, file := range files {
			raw, _ := os.ReadFile(file) // the thread may have ended
			found += string(raw)
		}
		var err error
		pid, err = strconv.Atoi(strings.TrimSpace(found)) // its only child
		ts.Check(err)
	}
	ts.Check(syscall.Kill(pid, sig))
}

// cmdCut cuts the host KEY off from the endpoint, and cmdMend mends it.
func cmdCut(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1, "cut KEY")
	_, err := s.server.Inject(endpoint.Fault{Kind: endpoint.FaultDropBefore, Principal: "machine:" + ts.Getenv(args[0])})
	ts.Check(err)
}

func cmdMend(_ *testscript.TestScript, s *stage, _ []string) { s.server.ClearAll() }

// cmdApart wants everything in a log to have happened before anything in another.
func cmdApart(ts *testscript.TestScript, _ *stage, args []string) {
	need(ts, len(args) == 2, "apart FIRST SECOND")
	var spans [2][2]int64 // first and last moment
	for i, file := range args {
		for line := range strings.Lines(ts.ReadFile(file)) {
			var kind string
			var pid int
			var at int64
			if n, _ := fmt.Sscan(line, &kind, &pid, &at); n < 3 || !strings.HasSuffix(line, "\n") {
				continue // being written, or killed while it was
			}
			if spans[i][0] == 0 {
				spans[i][0] = at
			}
			spans[i] = [2]int64{min(spans[i][0], at), max(spans[i][1], at)}
		}
		need(ts, spans[i][0] != 0, "apart of logs that are not empty")
	}
	gap := time.Duration(spans[1][0] - spans[0][1])
	ts.Logf("%s after the last of %s", gap, args[0])
	if gap <= 0 {
		ts.Fatalf("%s and %s overlap by %s", args[0], args[1], -gap)
	}
}

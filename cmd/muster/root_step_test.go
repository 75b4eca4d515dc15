package main

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdHelper serves root steps on the host KEY, from the files in steps.d, as
// muster-root.socket does; their user OWN is that of this test. Helpers write to
// helper.log.
func cmdHelper(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1 && s.helpers == nil, "helper KEY")
	own, err := user.Current()
	ts.Check(err)
	files, err := filepath.Glob(ts.MkAbs("steps.d/*.yaml"))
	ts.Check(err)
	for _, file := range files {
		ts.Check(os.WriteFile(file, []byte(strings.ReplaceAll(ts.ReadFile(file), "user: OWN", "user: "+own.Username)), 0o644))
		ts.Check(os.Chmod(file, 0o644))
	}
	socket := filepath.Join(s.work, args[0], "root.sock")
	config, err := os.OpenFile(filepath.Join(s.work, args[0], "muster.yaml"), os.O_WRONLY|os.O_APPEND, 0)
	ts.Check(err)
	fmt.Fprintf(config, "root_socket: %s\n", socket)
	ts.Check(config.Close())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	ts.Check(err)
	log, err := os.Create(filepath.Join(s.work, "helper.log"))
	ts.Check(err)
	s.helpers = make(chan *process, 64)
	blank := s.command(ts, []string{"root-step", "--steps-dir=" + ts.MkAbs("steps.d")})
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			file, err := conn.File()
			if err != nil {
				panic(err)
			}
			cmd := *blank
			cmd.Stdin, cmd.Stdout, cmd.Stderr = file, log, log
			if err := cmd.Start(); err != nil {
				panic(err)
			}
			file.Close()
			conn.Close()
			p := &process{cmd: &cmd, out: log.Name(), err: log.Name(), done: make(chan struct{})}
			go func() {
				cmd.Wait() // its state tells
				close(p.done)
			}()
			s.helpers <- p
		}
	}()
	ts.Defer(func() {
		l.Close()
		<-served
		close(s.helpers)
		for p := range s.helpers {
			p.cmd.Process.Kill() // it may have ended
			<-p.done
		}
		log.Close()
	})
}

// cmdHelping names the helper that was started next.
func cmdHelping(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 1, "helping NAME")
	select {
	case s.started[args[0]] = <-s.helpers:
	case <-time.After(patience):
		ts.Fatalf("no helper was started")
	}
}

// oneRootFault is oneFault for a step that the helper runs.
const oneRootFault = `
profile alpha '{"cluster/profile":"alpha"}'
machine n1
machine n2
token profile n1
token profile n2
as operator
call 0 seed --leaders 0 --role db=1,ttl=6s
as n1
helper n1
start agent1 agent
await agent1.err 'slot is held'
start run1 run --name one --after leader:db --role db --root-step one.yaml
await one.log '^leaf (\d+) .*\n(.*\n)*leaf'
helping helper1
as n2
start agent2 agent
await agent2.err 'joined'
start lead2 lead db -- stubborn tree two.log
await lead2.err 'waiting for a slot'
FAULT
await two.log '^tree'
apart one.log two.log
AFTER
fault lead2 KILL
end lead2 -1
end agent2 0 TERM
-- steps.d/one.yaml --
name: one
after: ['leader:db']
role: db
user: OWN
command: [stubborn, tree, one.log]
`

func TestNoTwoHostsRunARootStepWhateverFaultThereIs(t *testing.T) {
	for name, c := range map[string]struct{ fault, after string }{
		"endpoint away":  {"cut n1", "mend\nend run1 9\nend agent1 0 TERM"},
		"run stopped":    {"fault run1 STOP", "fault run1 KILL\nend run1 -1\nend agent1 0 TERM"},
		"helper stopped": {"fault helper1 STOP", "fault helper1 CONT\nend run1 9\nend agent1 0 TERM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), strings.ReplaceAll(name, " ", "-")+".txtar")
			script := strings.NewReplacer("FAULT", c.fault, "AFTER", c.after).Replace(oneRootFault)
			if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			scripts(t, "", file)
		})
	}
}

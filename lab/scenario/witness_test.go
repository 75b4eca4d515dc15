package scenario

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// generous bounds a wait for what must happen.
const generous = time.Minute

// stand is a witness with its world.
type stand struct {
	*testing.T
	*witness
	path string
}

func newStand(t *testing.T) *stand {
	t.Helper()
	dir, err := os.MkdirTemp("", "stand") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{T: t, path: filepath.Join(dir, "s")}
	s.witness, err = openWitness(s.path, newWorld(func(string, ...any) {}), func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.witness.close()
		os.RemoveAll(dir)
	})
	return s
}

// await waits until there is such a state.
func (s *stand) await(what string, holds func(*state) bool) {
	s.Helper()
	for late := time.Now().Add(generous); ; <-time.After(time.Millisecond) {
		ok := false
		s.world.do(func(st *state) { ok = holds(st) })
		if ok {
			return
		}
		if time.Now().After(late) {
			s.Fatalf("gave up waiting: %s", what)
		}
	}
}

// body starts the command of a step, which reads from in.
func (s *stand) body(in *os.File, step, member string, exit int, command ...string) *exec.Cmd {
	s.Helper()
	cmd := exec.Command(os.Args[0], append([]string{s.path, step, member, fmt.Sprint(exit)}, command...)...)
	cmd.Env, cmd.Stdin = append(os.Environ(), asBody+"=1"), in
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	return cmd
}

func running(st *state) string {
	e := about(aboutRunning, "step")
	e.AnyOf = []string{"step"}
	return strings.Join(e.set(st), " ")
}

func TestACommandIsSeenFromItsBeginningUntilNothingOfItIsLeft(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() }) // which ends what reads from it
	command := s.body(r, "step", "a", 0, "/bin/sh", "-c", "exec 3<&0; cat <&3 >/dev/null & exit 0")
	r.Close()
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
	other := s.body(nil, "step", "b", 3)
	if err := other.Wait(); err == nil || other.ProcessState.ExitCode() != 3 {
		t.Errorf("the other ended with %v, want its exit code 3", err)
	}
	s.await("the other has ended", func(st *state) bool { return len(st.runs) == 2 && st.runs[1].over() })
	s.await("what the first left behind runs", func(st *state) bool { return running(st) == "a" })
	w.Close()
	s.await("the first has ended", func(st *state) bool { return running(st) == "" && st.runs[0].over() })
}

// What has ended when another begins is seen to have, though nobody has read of it. Not
// beside tests that fork: a child has the connections until it becomes another program.
func TestTheEndOfACommandIsSeenBeforeABeginningThatFollowedIt(t *testing.T) {
	s := newStand(t)
	open := func(member string) *net.UnixConn {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "step %s\n", member)
		if _, err := bufio.NewReader(conn).ReadByte(); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	most := about(aboutRunning, "step")
	most.AnyOf, most.AtMost, most.Rest = []string{"step"}, 1, true
	j := newJudge(&most, &most, false)
	s.world.watch(j)
	before := open("a")
	for i := range 200 {
		before.Close()
		before = open(fmt.Sprint("m", i))
	}
	before.Close()
	s.world.do(func(*state) { j.late(s.world.since()) })
	if j.result.Result != Passed {
		t.Errorf("two were seen to run at once: %+v", j.result)
	}
}

func TestABodyWithoutAScenarioDoesNothing(t *testing.T) {
	t.Parallel()
	if _, err := Body(filepath.Join(t.TempDir(), "none"), "step", "a", time.Hour, 0, nil); err == nil || !strings.Contains(err.Error(), "the scenario is not there") {
		t.Errorf("got %v", err)
	}
}

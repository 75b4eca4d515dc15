package guard_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"muster/guard"
	"muster/internal/boottime"
)

// patience bounds every wait for something that must happen; it is far longer
// than any of it takes.
const patience = time.Minute

// scene is one lead and what belongs to it, known by a mark in the environment.
type scene struct {
	t    *testing.T
	lead *exec.Cmd
	log  string
	out  bytes.Buffer
	errs bytes.Buffer
	mark string
	conn *os.File // the other end of the connection
}

// begin starts a lead, in the cgroup unless that is "".
func begin(t *testing.T, cgroup string, p plan) *scene {
	t.Helper()
	raw, err := json.Marshal(p)
	check(t, err)
	dir := t.TempDir()
	s := &scene{t: t, log: filepath.Join(dir, "log"), mark: "MARK=" + dir}
	check(t, os.WriteFile(s.log, nil, 0o600))
	s.lead = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{"lead"}, Stdout: &s.out, Stderr: &s.errs,
		Env:         append(os.Environ(), "GORACE=atexit_sleep_ms=0", "PLAN="+string(raw), "LOG="+s.log, s.mark),
		SysProcAttr: &syscall.SysProcAttr{},
	}
	if cgroup != "" {
		f, err := os.Open(cgroup)
		check(t, err)
		defer f.Close()
		s.lead.SysProcAttr.UseCgroupFD, s.lead.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
	if p.Conn {
		r, w, err := os.Pipe()
		check(t, err)
		defer w.Close()
		s.lead.ExtraFiles, s.conn = []*os.File{w}, r
		t.Cleanup(func() { r.Close() })
	}
	check(t, s.lead.Start())
	t.Cleanup(func() {
		for _, p := range s.processes() {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	})
	return s
}

type proc struct {
	pid  int
	name string // argv[0]
}

// processes lists who is alive with the mark.
func (s *scene) processes() []proc {
	var found []proc
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil || !strings.Contains("\x00"+string(env), "\x00"+s.mark+"\x00") {
			continue // also zombies: their environment is empty
		}
		argv, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		arg0, _, _ := strings.Cut(string(argv), "\x00")
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			found = append(found, proc{pid, arg0})
		}
	}
	return found
}

// one returns the process id of the process with this argv[0].
func (s *scene) one(name string) int {
	s.t.Helper()
	for _, p := range s.processes() {
		if p.name == name {
			return p.pid
		}
	}
	s.t.Fatalf("no process %s", name)
	return 0
}

// grown waits until so many processes of a kind have logged.
func (s *scene) grown(kind string, n int) {
	s.t.Helper()
	s.until("grown", func() bool { return len(read(s.log).pids[kind]) >= n })
}

func (s *scene) until(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !done(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not %s; alive: %v; lead said %s", what, s.processes(), s.errs.String())
		}
	}
}

// dead waits until nobody of the tree, and no guard, is alive.
func (s *scene) dead() {
	s.t.Helper()
	s.until("dead", func() bool {
		for _, p := range s.processes() {
			if p.pid != s.lead.Process.Pid {
				return false
			}
		}
		return true
	})
}

// outcome waits for the lead to end, and checks that it has left nobody.
func (s *scene) outcome() outcome {
	s.t.Helper()
	s.lead.Wait() // what it printed tells
	if left := s.processes(); len(left) > 0 {
		s.t.Errorf("alive after the lead has ended: %v", left)
	}
	lines := strings.Split(strings.TrimSpace(s.out.String()), "\n")
	var o outcome
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &o); err != nil {
		s.t.Fatalf("the lead said %q, %q", lines[len(lines)-1], s.errs.String())
	}
	return o
}

// spare is how long after the KILL moment, which is 2/3 of a TTL after the last
// renewal, nobody else may take the slot (5/6 of a TTL), less the 20 % of a TTL
// that must be left: what a host under load may take from the one to the other.
const spare = then * 3 / 2 * 19 / 30

// silentAfter checks that the last that anybody of the tree did was before
// somebody else could have taken the slot, whose deadline was at the moment kill.
func (s *scene) silentAfter(last, kill time.Duration) {
	s.t.Helper()
	s.t.Logf("the last sign of life came %s after the deadline", last-kill)
	if last >= kill+spare {
		s.t.Errorf("the tree lived %s after the deadline, want less than %s", last-kill, spare)
	}
}

// logged is what a tree wrote: process ids by kind, and the last moment of all.
type logged struct {
	pids map[string]map[string]bool
	last time.Duration
}

func read(file string) logged {
	seen := logged{pids: map[string]map[string]bool{}}
	raw, _ := os.ReadFile(file)
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		var kind, pid string
		var at int64
		if n, _ := fmt.Sscan(lines.Text(), &kind, &pid, &at); n < 3 {
			continue // killed while it wrote
		}
		if seen.pids[kind] == nil {
			seen.pids[kind] = map[string]bool{}
		}
		seen.pids[kind][pid] = true
		seen.last = max(seen.last, time.Duration(at))
	}
	return seen
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// kinds runs a test where a cgroup can be made for the command, and where none
// can: there each lead is in a cgroup that may have none in it.
func kinds(t *testing.T, test func(t *testing.T, cgroup string)) {
	t.Helper()
	t.Parallel()
	own, err := guard.OwnCgroup()
	barren := ""
	if err == nil {
		barren, err = os.MkdirTemp(own, "guard-test-*")
	}
	if err == nil {
		t.Cleanup(func() { os.Remove(barren) })
		err = os.WriteFile(filepath.Join(barren, "cgroup.max.descendants"), []byte("0"), 0o600)
	}
	noCgroup := err
	t.Run("cgroup", func(t *testing.T) {
		if noCgroup != nil {
			t.Skip("needs a cgroup v2 in which others may be made: ", noCgroup)
		}
		t.Parallel()
		test(t, "")
	})
	t.Run("children", func(t *testing.T) {
		t.Parallel()
		test(t, barren)
	})
}

const (
	soon = time.Second // enough for a tree to grow
	then = 2200 * time.Millisecond
)

func TestNobodyIsAliveAtTheDeadline(t *testing.T) {
	for _, args := range [][]string{{"tree", "stubborn"}, {"tree", "bomb", "5"}, {"tree", "hopper"}, {"tree", "flood"}} {
		t.Run(args[1], func(t *testing.T) {
			kinds(t, func(t *testing.T, cgroup string) {
				for kill := then; ; kill *= 2 {
					s := begin(t, cgroup, plan{Args: args, Term: kill / 2, Kill: kill})
					o, seen := s.outcome(), read(s.log)
					if len(seen.pids[args[1]]) == 0 && kill < patience {
						continue // a host under load: the deadline came before the tree
					}
					if o.Code != 137 || o.Err != guard.ErrDeadline.Error() {
						t.Errorf("got code %d, error %q, want 137, %q", o.Code, o.Err, guard.ErrDeadline)
					} else if cgroup == "" || args[1] != "bomb" { // what forks as fast as it is killed dies, but without a cgroup not in time for sure (ADR 7)
						s.silentAfter(seen.last, o.Kill)
					}
					return
				}
			})
		})
	}
}

func TestThePoliteIsToldToEndBeforeTheDeadline(t *testing.T) {
	kinds(t, func(t *testing.T, cgroup string) {
		s := begin(t, cgroup, plan{Args: []string{"tree", "polite"}, Term: soon, Kill: time.Hour})
		if o := s.outcome(); o.Code != 128+15 || o.Err != guard.ErrDeadline.Error() {
			t.Errorf("got code %d, error %q, want 143, %q", o.Code, o.Err, guard.ErrDeadline)
		}
	})
}

func TestACgroupThatWasLeftBehindIsRemovedByTheNextLead(t *testing.T) {
	own, err := guard.OwnCgroup()
	if err != nil {
		t.Skip("needs a cgroup v2: ", err)
	}
	gone := exec.Command("/bin/true")
	check(t, gone.Run())
	left := filepath.Join(own, fmt.Sprintf("muster-guard-%d-1", gone.Process.Pid))
	kept := filepath.Join(own, fmt.Sprintf("muster-guard-%d-1", os.Getpid()))
	for _, dir := range []string{left, kept} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Skip("needs a cgroup v2 in which others may be made: ", err)
		}
		t.Cleanup(func() { os.Remove(dir) })
	}
	begin(t, "", plan{Args: []string{"/bin/true"}}).outcome()
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cgroup of a lead that is gone is there still: %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("the cgroup of a lead that lives is gone: %v", err)
	}
}

func TestTheCommandRunsInACgroupOfItsOwnWhereOneCanBeMade(t *testing.T) {
	kinds(t, func(t *testing.T, cgroup string) {
		s := begin(t, cgroup, plan{Args: []string{"/bin/sh", "-c", "cat /proc/self/cgroup; exit 0"}})
		s.outcome()
		own := strings.Contains(s.out.String(), "/muster-guard-")
		if want := cgroup == ""; own != want {
			t.Errorf("in a cgroup of its own: %v, want %v:\n%s", own, want, s.out.String())
		}
	})
}

func TestTheCommandsExitCodeIsReturnedOnceItsTreeIsDead(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"ends":            {[]string{"/bin/sh", "-c", "exit 7"}, 7},
		"killed":          {[]string{"/bin/sh", "-c", "kill -9 $$"}, 137},
		"leaves its tree": {[]string{"tree", "leaver"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			kinds(t, func(t *testing.T, cgroup string) {
				s := begin(t, cgroup, plan{Args: c.args, Conn: true})
				if o := s.outcome(); o.Code != c.want || o.Err != "" {
					t.Errorf("got code %d, error %q, want %d", o.Code, o.Err, c.want)
				}
				if said, _ := io.ReadAll(s.conn); len(said) > 0 {
					t.Errorf("the guard said %q for a lead that was there", said)
				}
			})
		})
	}
}

func TestTheCommandInheritsNoPipeOfItsGuard(t *testing.T) {
	kinds(t, func(t *testing.T, cgroup string) {
		s := begin(t, cgroup, plan{Args: []string{"/bin/ls", "-l", "/proc/self/fd"}, Conn: true})
		s.outcome()
		if stray := regexp.MustCompile(` [3-9] -> pipe`).FindString(s.out.String()); stray != "" || !strings.Contains(s.out.String(), " 1 -> pipe") {
			t.Errorf("the command has %q, want only its standard streams:\n%s", stray, s.out.String())
		}
	})
}

func TestACommandThatCannotBeStartedIsAnError(t *testing.T) {
	kinds(t, func(t *testing.T, cgroup string) {
		s := begin(t, cgroup, plan{Args: []string{"/dev/null"}})
		if o := s.outcome(); !strings.Contains(o.Err, guard.ErrStart.Error()) || !strings.Contains(o.Err, "permission denied") {
			t.Errorf("got error %q, want %q and why", o.Err, guard.ErrStart)
		}
	})
}

func TestSignalsReachTheWholeGroupOfTheCommand(t *testing.T) {
	kinds(t, func(t *testing.T, cgroup string) {
		s := begin(t, cgroup, plan{Args: []string{"/bin/sh", "-c", `trap 'wait; exit 5' USR1; (trap 'echo inner 1 1 >>$LOG; exit' USR1; echo up 1 1 >>$LOG; while :; do sleep 0.01; done) & while :; do sleep 0.01; done`}})
		s.grown("up", 1)
		check(t, s.lead.Process.Signal(syscall.SIGUSR1))
		if o := s.outcome(); o.Code != 5 {
			t.Errorf("got code %d, want 5", o.Code)
		}
		s.grown("inner", 1)
	})
}

// fault does something to a lead or its guard.
type fault func(s *scene)

func to(name string, sig syscall.Signal) fault {
	return func(s *scene) {
		pid := s.lead.Process.Pid
		if name == "guard" {
			pid = s.one("muster-guard")
		}
		check(s.t, syscall.Kill(pid, sig))
	}
}

func TestTheTreeDiesAtOnceWithTheLeadOrTheGuard(t *testing.T) {
	for _, who := range []string{"lead", "guard"} {
		t.Run(who, func(t *testing.T) {
			kinds(t, func(t *testing.T, cgroup string) {
				s := begin(t, cgroup, plan{Args: []string{"tree", "stubborn"}, Term: time.Hour, Kill: 2 * time.Hour, Conn: true})
				s.grown("leaf", 3)
				to(who, syscall.SIGKILL)(s)
				s.dead()
				if who == "guard" {
					if o := s.outcome(); o.Err != guard.ErrGuard.Error() {
						t.Errorf("got code %d, error %q, want %q", o.Code, o.Err, guard.ErrGuard)
					}
				} else {
					s.lead.Wait()
				}
				want := map[string]string{"lead": "done\n", "guard": ""}[who]
				if said, _ := io.ReadAll(s.conn); string(said) != want {
					t.Errorf("the guard's last words are %q, want %q", said, want)
				}
			})
		})
	}
}

func TestWhoeverIsNotStoppedKeepsTheDeadline(t *testing.T) {
	for _, who := range []string{"lead", "guard"} {
		t.Run(who, func(t *testing.T) {
			kinds(t, func(t *testing.T, cgroup string) {
				s := begin(t, cgroup, plan{Args: []string{"tree", "stubborn"}, Term: soon, Kill: then, Extend: true})
				s.grown("leaf", 3)
				s.grown("limited", 1)
				to(who, syscall.SIGSTOP)(s)
				latest := boottime.Now() + then // no deadline after this one can hold
				if who == "lead" {
					s.dead()
					s.silentAfter(read(s.log).last, latest)
					to(who, syscall.SIGCONT)(s)
				}
				if o := s.outcome(); o.Code != 137 || o.Err != guard.ErrDeadline.Error() {
					t.Errorf("got code %d, error %q, want 137, %q", o.Code, o.Err, guard.ErrDeadline)
				}
				s.silentAfter(read(s.log).last, latest)
			})
		})
	}
}

func TestDeadlinesThatAreExtendedKillNobody(t *testing.T) {
	kinds(t, func(t *testing.T, cgroup string) {
		s := begin(t, cgroup, plan{Args: []string{"/bin/sh", "-c", "sleep 5; exit 4"}, Term: 3 * soon, Kill: 4 * soon, Extend: true})
		if o := s.outcome(); o.Code != 4 || o.Err != "" {
			t.Errorf("got code %d, error %q, want 4", o.Code, o.Err)
		}
	})
}

func TestDeadlinesThatMakeNoSenseAreRefused(t *testing.T) {
	for _, d := range []guard.Deadlines{{Term: 1}, {Kill: 1}, {Term: 2, Kill: 1}, {Term: -1, Kill: 1}} {
		if _, err := guard.Start(guard.Config{Path: "/bin/true", Deadlines: d}); err == nil || !strings.Contains(err.Error(), "expected 0 < term <= kill") {
			t.Errorf("%+v: got %v, want what was expected", d, err)
		}
	}
}

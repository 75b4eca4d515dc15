package rootstep_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/guard"
	"muster/internal/boottime"
	"muster/internal/leaktest"
	"muster/rootstep"
)

// patience bounds every wait for something that must happen.
const patience = time.Minute

func TestMain(m *testing.M) {
	guard.Main()
	switch os.Args[0] {
	case "helper":
		helper()
	case "asker":
		asker()
	default:
		os.Exit(leaktest.Run(m))
	}
}

// helper is a process as muster-root@.service starts it.
func helper() {
	conn := os.Stdin
	os.Stdin, _ = os.Open(os.DevNull)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	env := []string{"PATH=" + os.Getenv("PATH"), "MARK=" + os.Getenv("MARK")}
	if err := rootstep.Serve(ctx, conn, rootstep.Config{Dir: os.Getenv("DIR"), Env: env, Log: hclog.New(&hclog.LoggerOptions{Output: os.Stderr})}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// asker asks for a step, says how that went, and stays.
func asker() {
	run, err := rootstep.Open(context.Background(), os.Args[1], os.Args[2])
	if err == nil {
		err = run.Start(guard.Deadlines{}, nil)
	}
	fmt.Println(err)
	time.Sleep(patience)
}

// host is a directory of steps with a socket at which a helper is started for each
// connection, as the service manager does it.
type host struct {
	t           *testing.T
	dir, socket string
	log         string // what helpers and commands write
	mark        string // in the environment of commands
	helpers     chan *exec.Cmd
}

func newHost(t *testing.T) *host {
	t.Helper()
	root := t.TempDir()
	h := &host{t: t, dir: filepath.Join(root, "steps.d"), socket: filepath.Join(root, "sock"), log: filepath.Join(root, "log"), mark: root, helpers: make(chan *exec.Cmd, 8)}
	check(t, os.Mkdir(h.dir, 0o755))
	log, err := os.Create(h.log)
	check(t, err)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.socket, Net: "unix"})
	check(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			file, err := conn.File()
			if err != nil {
				panic(err)
			}
			cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"helper"}, Stdin: file, Stdout: log, Stderr: log, Env: append(os.Environ(), "GORACE=atexit_sleep_ms=0", "DIR="+h.dir, "MARK="+h.mark)}
			if err := cmd.Start(); err != nil {
				panic(err)
			}
			file.Close()
			conn.Close()
			h.helpers <- cmd
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		close(h.helpers)
		for cmd := range h.helpers {
			cmd.Process.Kill()
			cmd.Wait()
		}
		log.Close()
	})
	return h
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// step writes the file of a step that the user of this test runs.
func (h *host) step(more string, command ...string) string {
	h.t.Helper()
	own, err := user.Current()
	check(h.t, err)
	words, err := json.Marshal(command)
	check(h.t, err)
	text := fmt.Sprintf("name: one\nrole: leader\nuser: %s\ncommand: %s\n%s", own.Username, words, more)
	check(h.t, os.WriteFile(filepath.Join(h.dir, "one.yaml"), []byte(text), 0o600))
	return "one.yaml"
}

func (h *host) open(file string) *rootstep.Run {
	h.t.Helper()
	run, err := rootstep.Open(h.t.Context(), h.socket, file)
	if err != nil {
		h.t.Fatalf("%v\n%s", err, h.said())
	}
	h.t.Cleanup(func() { run.Close() })
	return run
}

func (h *host) start(d guard.Deadlines) *rootstep.Run {
	h.t.Helper()
	run := h.open("one.yaml")
	if err := run.Start(d, nil); err != nil {
		h.t.Fatalf("%v\n%s", err, h.said())
	}
	return run
}

func (h *host) said() string {
	raw, err := os.ReadFile(h.log)
	check(h.t, err)
	return string(raw)
}

// alive lists the commands that are: what has the mark in its environment, and is
// neither a helper nor a guard.
func (h *host) alive() (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil || !strings.Contains("\x00"+string(env), "\x00MARK="+h.mark+"\x00") {
			continue
		}
		argv, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if name, _, _ := strings.Cut(string(argv), "\x00"); name != "helper" && name != "muster-guard" && name != "" {
			pids = append(pids, filepath.Base(filepath.Dir(file))+" "+name)
		}
	}
	return pids
}

func (h *host) until(what string, holds func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("not %s; alive: %v; said: %s", what, h.alive(), h.said())
		}
	}
}

// tree is a command that starts others in sessions of their own; none of them heeds TERM.
const tree = `trap "" TERM; setsid sh -c 'sleep 1000 & sleep 1000' & (setsid sleep 1000 &); echo up; sleep 1000`

func (h *host) grown() { h.t.Helper(); h.until("grown", func() bool { return len(h.alive()) >= 5 }) }

func TestTheHelperRunsWhatTheFileSaysAndTellsItsExitCode(t *testing.T) {
	h := newHost(t)
	h.step("", "sh", "-c", `echo "args $# $1"; cat; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= | sort; exit 7`, "sh", "$(id) 'x'")
	run := h.open("one.yaml")
	check(t, run.Start(guard.Deadlines{}, &rootstep.Tenure{Role: "leader", Slot: "2", Epoch: 17, Instance: "ABC234"}))
	if code, err := run.Wait(); code != 7 || err != nil {
		t.Fatalf("exit %d, %v\n%s", code, err, h.said())
	}
	if !strings.Contains(h.said(), "args 1 $(id) 'x'\n") {
		t.Errorf("the command said:\n%s", h.said())
	}
	var names []string
	for line := range strings.Lines(h.said()) {
		if name, _, isVariable := strings.Cut(line, "="); isVariable && !strings.ContainsAny(name, " :") {
			names = append(names, name)
		}
	}
	want := []string{"HOME", "LOGNAME", "MARK", "MUSTER_EPOCH", "MUSTER_INSTANCE", "MUSTER_ROLE", "MUSTER_SLOT", "PATH", "USER"}
	if !slices.Equal(names, want) || !strings.Contains(h.said(), "MUSTER_EPOCH=17\n") {
		t.Errorf("its environment has %v, want %v:\n%s", names, want, h.said())
	}
}

func TestWhatIsNotAStepForTheHelperIsRefusedBeforeItBegins(t *testing.T) {
	h := newHost(t)
	check(t, os.WriteFile(filepath.Join(h.dir, "agents.yaml"), []byte("name: a\nafter: [complete]\ncommand: [touch, never]\n"), 0o600))
	check(t, os.WriteFile(filepath.Join(h.dir, "workflow.yaml"), []byte("name: w\nafter: [complete]\nworkflow: w\n"), 0o600))
	h.step("", "no-such-command-of-this-host")
	for file, want := range map[string]string{
		"agents.yaml": "expected a command with a `user`", "workflow.yaml": "expected a command with a `user`",
		"one.yaml": "executable file not found", "missing.yaml": "no such file", "../steps.d/one.yaml": "expected the name of a file",
	} {
		if run, err := rootstep.Open(t.Context(), h.socket, file); !errors.Is(err, rootstep.ErrHelper) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v and %v, want ErrHelper with %q", file, run, err, want)
		}
	}
	if _, err := rootstep.Open(t.Context(), h.socket+".none", "one.yaml"); !errors.Is(err, rootstep.ErrHelper) || !strings.Contains(err.Error(), "systemctl enable --now muster-root.socket") {
		t.Errorf("without a socket: %v", err)
	}
}

// Whatever the other side says of a slot, only numbers and letters reach the command.
func TestAHostileTenureStartsNothing(t *testing.T) {
	h := newHost(t)
	h.step("", "touch", filepath.Join(h.dir, "ran"))
	good := rootstep.Tenure{Role: "leader", Slot: "1", Epoch: 1, Instance: "A"}
	for name, spoil := range map[string]func(*rootstep.Tenure){
		"another role": func(t *rootstep.Tenure) { t.Role = "worker" },
		"slot":         func(t *rootstep.Tenure) { t.Slot = "1\nLD_PRELOAD=/tmp/x" },
		"no slot":      func(t *rootstep.Tenure) { t.Slot = "" },
		"epoch":        func(t *rootstep.Tenure) { t.Epoch = -1 },
		"instance":     func(t *rootstep.Tenure) { t.Instance = "$(id)" },
		"long":         func(t *rootstep.Tenure) { t.Instance = strings.Repeat("A", 65) },
	} {
		hostile := good
		spoil(&hostile)
		if err := h.open("one.yaml").Start(guard.Deadlines{}, &hostile); !errors.Is(err, guard.ErrStart) {
			t.Errorf("%s: got %v, want ErrStart", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(h.dir, "ran")); err == nil {
		t.Error("the command ran")
	}
}

func TestNothingRunsBeforeTheWordThatStartsIt(t *testing.T) {
	h := newHost(t)
	h.step("", "touch", filepath.Join(h.dir, "ran"))
	for _, line := range []string{"", "\n", "{}\n", `{"limit":{"term":1,"kill":2}}` + "\n", `{"start":{},"argv":["id"]}` + "\n", `{"start":` + strings.Repeat(" ", 5000) + "{}}\n"} {
		c, err := net.Dial("unix", h.socket)
		check(t, err)
		answers := bufio.NewReader(c)
		fmt.Fprintln(c, `{"file":"one.yaml"}`)
		if ready, err := answers.ReadString('\n'); err != nil || !strings.Contains(ready, "ready") {
			t.Fatalf("%q, %v", ready, err)
		}
		fmt.Fprint(c, line)
		c.(*net.UnixConn).CloseWrite()
		answers.ReadString('\n') // a refusal, or the end
		c.Close()
		(<-h.helpers).Wait()
	}
	if _, err := os.Stat(filepath.Join(h.dir, "ran")); err == nil {
		t.Errorf("the command ran:\n%s", h.said())
	}
}

func TestTheConnectionIsALeash(t *testing.T) {
	h := newHost(t)
	h.step("", "sh", "-c", tree)
	run := h.start(guard.Deadlines{})
	h.grown()
	check(t, run.Close())
	h.until("dead", func() bool { return len(h.alive()) == 0 })
	(<-h.helpers).Wait()
}

func TestWhoIsKilledTakesItsStepAlong(t *testing.T) {
	h := newHost(t)
	file := h.step("", "sh", "-c", tree)
	asker := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"asker", h.socket, file}}
	out, err := asker.StdoutPipe()
	check(t, err)
	check(t, asker.Start())
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "<nil>\n" {
		t.Fatalf("the asker said %q (%v)\n%s", said, err, h.said())
	}
	h.grown()
	check(t, asker.Process.Kill())
	asker.Wait()
	h.until("dead", func() bool { return len(h.alive()) == 0 })
}

func TestDeadlinesHoldAlsoWhereNobodySaysMore(t *testing.T) {
	h := newHost(t)
	h.step("", "sh", "-c", tree)
	now := boottime.Now()
	run := h.start(guard.Deadlines{Term: now + time.Minute, Kill: now + 2*time.Minute})
	h.grown()
	now = boottime.Now()
	d := guard.Deadlines{Term: now + 100*time.Millisecond, Kill: now + time.Second}
	check(t, run.Limit(t.Context(), d))
	_, err := run.Wait()
	if !errors.Is(err, guard.ErrDeadline) || len(h.alive()) > 0 {
		t.Errorf("got %v, alive %v\n%s", err, h.alive(), h.said())
	}
}

func TestTheLimitOfTheFileHolds(t *testing.T) {
	h := newHost(t)
	h.step("limit: 300ms\n", "sh", "-c", `trap "exit 5" TERM; while :; do sleep 0.05; done`)
	if code, err := h.start(guard.Deadlines{}).Wait(); code != 5 || err != nil {
		t.Errorf("exit %d, %v\n%s", code, err, h.said())
	}
}

func TestASignalReachesTheCommand(t *testing.T) {
	h := newHost(t)
	h.step("", "sh", "-c", `trap "exit 6" TERM; echo up; while :; do sleep 0.05; done`)
	run := h.start(guard.Deadlines{})
	h.until("up", func() bool { return strings.Contains(h.said(), "up\n") })
	check(t, run.Signal(syscall.SIGTERM))
	if code, err := run.Wait(); code != 6 || err != nil {
		t.Errorf("exit %d, %v\n%s", code, err, h.said())
	}
}

func TestAHelperThatIsToldToEndTellsItsCommand(t *testing.T) {
	h := newHost(t)
	h.step("", "sh", "-c", `trap "exit 6" TERM; echo up; while :; do sleep 0.05; done`)
	run := h.start(guard.Deadlines{})
	h.until("up", func() bool { return strings.Contains(h.said(), "up\n") })
	check(t, (<-h.helpers).Process.Signal(syscall.SIGTERM))
	if code, err := run.Wait(); code != 6 || err != nil {
		t.Errorf("exit %d, %v\n%s", code, err, h.said())
	}
}

// The guard that is left kills what the helper began, and says so.
func TestAHelperThatIsKilledLeavesNothing(t *testing.T) {
	h := newHost(t)
	h.step("", "sh", "-c", tree)
	run := h.start(guard.Deadlines{})
	h.grown()
	cmd := <-h.helpers
	check(t, cmd.Process.Kill())
	cmd.Wait()
	if _, err := run.Wait(); !errors.Is(err, guard.ErrGuard) || len(h.alive()) > 0 {
		t.Errorf("got %v, alive %v", err, h.alive())
	}
}

func TestOthersAreNotServed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("asks as another user: needs root")
	}
	h := newHost(t)
	file := h.step("", "touch", filepath.Join(h.dir, "ran"))
	check(t, os.Chmod(h.socket, 0o777))
	for dir := filepath.Dir(h.socket); dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		check(t, os.Chmod(dir, 0o755))
	}
	asker := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"asker", h.socket, file}, SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}}
	out, err := asker.StdoutPipe()
	check(t, err)
	check(t, asker.Start())
	said, err := bufio.NewReader(out).ReadString('\n')
	asker.Process.Kill()
	asker.Wait()
	if err != nil || !strings.Contains(said, "expected to be asked by root or the agent's user") {
		t.Errorf("it said %q, %v\n%s", said, err, h.said())
	}
}

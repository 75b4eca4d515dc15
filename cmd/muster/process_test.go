package main

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait for something that must happen; it is far longer
// than any of it takes.
const patience = time.Minute

// process is a muster that runs beside the script.
type process struct {
	cmd      *exec.Cmd
	out, err string        // files
	done     chan struct{} // closed when it has ended
}

// command makes a muster process with the environment of the script.
func (s *stage) command(ts *testscript.TestScript, args []string) *exec.Cmd {
	if part := s.leak(strings.Join(args, " ")); part != "" {
		ts.Fatalf("a token is on the command line: %s", part)
	}
	path, err := exec.LookPath("muster")
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"GORACE=atexit_sleep_ms=0"} // by default a second for each process
	for _, name := range []string{
		"PATH", "HOME", "NO_PROXY", "RS_TOKEN", "RS_KEY", "RS_JOB_UUID", "RS_UUID", "MUSTER_CONFIG",
		"MUSTER_ENDPOINT", "MUSTER_FINGERPRINT", "MUSTER_CA_FILE", "MUSTER_PROFILE", "HOST_SYS", "HOST_ETC",
		"MUSTER_ROLE", "MUSTER_SLOT", "MUSTER_EPOCH", "MUSTER_INSTANCE",
	} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd
}

// finish waits for the process to end, bounded, and checks what it said.
func (s *stage) finish(ts *testscript.TestScript, args []string, p *process) (code int, out, errs string) {
	select {
	case <-p.done:
	case <-time.After(patience):
		p.cmd.Process.Signal(syscall.SIGQUIT) // say where it hangs
		<-p.done
		ts.Logf("%s", ts.ReadFile(p.err))
		ts.Fatalf("muster %s does not end", strings.Join(args, " "))
	}
	out, errs = ts.ReadFile(p.out), ts.ReadFile(p.err)
	if part := s.leak(out + errs); part != "" {
		ts.Fatalf("muster %s shows a token (%s…):\n%s\n%s", strings.Join(args, " "), part, out, errs)
	}
	return p.cmd.ProcessState.ExitCode(), out, errs
}

func (s *stage) begin(ts *testscript.TestScript, name string, args []string) *process {
	return s.beginWith(ts, name, args, nil)
}

// beginWith is begin with standard input.
func (s *stage) beginWith(ts *testscript.TestScript, name string, args []string, stdin io.Reader) *process {
	p := &process{out: filepath.Join(s.work, name+".out"), err: filepath.Join(s.work, name+".err"), done: make(chan struct{})}
	p.cmd = s.command(ts, args)
	var files []*os.File
	for _, file := range []string{p.out, p.err} {
		f, err := os.Create(file)
		ts.Check(err)
		files = append(files, f)
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, files[0], files[1]
	ts.Check(p.cmd.Start())
	go func() {
		p.cmd.Wait() // its state tells
		files[0].Close()
		files[1].Close()
		close(p.done)
	}()
	return p
}

// cmdCall runs muster to its end and wants this exit code.
func cmdCall(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) > 1, "call CODE ARG...")
	p := s.begin(ts, "muster", args[1:])
	s.started["muster"] = p
	s.settle(ts, args[0], args[1:], p)
}

// cmdPipe is cmdCall with a file as standard input.
func cmdPipe(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) > 2, "pipe FILE CODE ARG...")
	p := s.beginWith(ts, "muster", args[2:], strings.NewReader(ts.ReadFile(args[0])))
	s.started["muster"] = p
	s.settle(ts, args[1], args[2:], p)
}

// cmdRepeat writes a file of many times the same and, if there is one, as many
// times its end.
func cmdRepeat(ts *testscript.TestScript, _ *stage, args []string) {
	need(ts, len(args) == 3 || len(args) == 4, "repeat FILE N TEXT [END]")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	all := ""
	for _, part := range args[2:] {
		text, err := strconv.Unquote(`"` + part + `"`)
		ts.Check(err)
		all += strings.Repeat(text, n)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(all), 0o600))
}

func (s *stage) settle(ts *testscript.TestScript, want string, args []string, p *process) {
	code, out, errs := s.finish(ts, args, p)
	ts.Stdout().Write([]byte(out))
	ts.Stderr().Write([]byte(errs))
	if !slices.Contains(strings.Split(want, ","), strconv.Itoa(code)) {
		ts.Fatalf("muster %s: exit code %d, want %s\nstdout: %s\nstderr: %s", strings.Join(args, " "), code, want, out, errs)
	}
}

// cmdUntil runs muster until its exit code and standard output are as wanted.
func cmdUntil(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) > 2, "until CODE REGEXP ARG...")
	want := regexp.MustCompile("(?m)" + args[1])
	for deadline := time.Now().Add(patience); ; {
		p := s.begin(ts, "until", args[2:])
		s.started["until"] = p
		code, out, errs := s.finish(ts, args[2:], p)
		if strconv.Itoa(code) == args[0] && want.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("muster %s: want exit code %s and %q, still exit code %d\nstdout: %s\nstderr: %s", strings.Join(args[2:], " "), args[0], args[1], code, out, errs)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// cmdStart starts muster beside the script; it writes to NAME.out and NAME.err.
func cmdStart(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) > 1, "start NAME ARG...")
	s.started[args[0]] = s.begin(ts, args[0], args[1:])
}

// cmdAwait waits until a file has a line that matches.
func cmdAwait(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2, "await FILE REGEXP")
	want := regexp.MustCompile("(?m)" + args[1])
	for deadline := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		raw, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && want.Match(raw) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: want %q, still %q (%v)", args[0], args[1], raw, err)
		}
	}
}

var signals = map[string]os.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}

// cmdEnd waits until what was started has ended, after sending it a signal if
// one is named, and wants this exit code.
func cmdEnd(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2 || len(args) == 3 && signals[args[2]] != nil, "end NAME CODE [TERM|KILL]")
	p := s.started[args[0]]
	need(ts, p != nil, "end of what was started before")
	if len(args) == 3 {
		select {
		case <-p.done:
			ts.Fatalf("%s has ended before it was told to: %s", args[0], ts.ReadFile(p.err))
		default:
		}
		ts.Check(p.cmd.Process.Signal(signals[args[2]]))
	}
	s.settle(ts, args[1], p.cmd.Args[1:], p)
}

// cmdInsist sends SIGTERM until what was started has ended, and wants this exit
// code.
func cmdInsist(ts *testscript.TestScript, s *stage, args []string) {
	need(ts, len(args) == 2 && s.started[args[0]] != nil, "insist NAME CODE")
	p := s.started[args[0]]
	for ended, deadline := false, time.Now().Add(patience); !ended && time.Now().Before(deadline); {
		p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.done:
			ended = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.settle(ts, args[1], p.cmd.Args[1:], p)
}

func pemOf(s *httptest.Server) []byte {
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}) // a buffer takes everything
	return b.Bytes()
}

package guard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"muster/guard"
	"muster/internal/boottime"
	"muster/internal/leaktest"
)

// The test binary is also everything that the tests run: a guard, the process
// that starts one (lead), and trees of stubborn processes.
func TestMain(m *testing.M) {
	guard.Main()
	switch os.Args[0] {
	case "lead":
		lead()
	case "tree":
		grow(os.Args[1])
	default:
		os.Exit(leaktest.Run(m))
	}
}

// plan is what a lead does; it is in the environment variable PLAN.
type plan struct {
	Args   []string      // of the command; Args[0] "tree" is a tree of ours
	Term   time.Duration // from the start on; 0 for no deadlines
	Kill   time.Duration
	Extend bool // begin without deadlines, and put them off as long as the guard answers
	Conn   bool // file 3 is the connection
}

// outcome is what a lead says in the end.
type outcome struct {
	Code int
	Err  string
	Kill time.Duration // the last deadline that held
}

func lead() {
	var p plan
	if err := json.Unmarshal([]byte(os.Getenv("PLAN")), &p); err != nil {
		panic(err)
	}
	cfg := guard.Config{Path: p.Args[0], Args: p.Args, Env: os.Environ(), Deadlines: p.deadlines(), LastWords: "done\n"}
	if p.Args[0] == "tree" {
		cfg.Path = "/proc/self/exe"
	}
	if p.Extend {
		cfg.Deadlines = guard.Deadlines{}
	}
	if p.Conn {
		syscall.CloseOnExec(3)
		cfg.Conn = os.NewFile(3, "connection")
	}
	o := outcome{Kill: cfg.Deadlines.Kill}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1) // before the command can ask for one
	child, err := guard.Start(cfg)
	if err == nil {
		go func() {
			for s := range signals {
				child.Signal(s.(syscall.Signal))
			}
		}()
		if p.Extend {
			o.Kill = p.extend(child)
		}
		o.Code, err = child.Wait()
	}
	if err != nil {
		o.Err = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(o)
}

func (p plan) deadlines() guard.Deadlines {
	if p.Kill == 0 {
		return guard.Deadlines{}
	}
	now := boottime.Now()
	return guard.Deadlines{Term: now + p.Term, Kill: now + p.Kill}
}

func (p plan) extend(child *guard.Child) time.Duration {
	held := time.Duration(0)
	for {
		d := p.deadlines()
		ctx, cancel := context.WithTimeout(context.Background(), p.Kill)
		err := child.Limit(ctx, d)
		cancel()
		if err != nil {
			return held
		}
		if held == 0 {
			tick("limited")
		}
		held = d.Kill
		time.Sleep(p.Term / 5)
	}
}

// grow is a process of a tree. All of them write a line to the file LOG every
// other millisecond: kind, process id, moment.
func grow(kind string) {
	if kind != "polite" {
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP) // inherited by what it starts
	}
	switch kind {
	case "stubborn":
		branch("leaf", nil)
		branch("leaf", &syscall.SysProcAttr{Setsid: true})
		branch("twice", &syscall.SysProcAttr{Setsid: true})
	case "leaver":
		branch("leaf", &syscall.SysProcAttr{Setsid: true})
		branch("twice", &syscall.SysProcAttr{Setsid: true})
		await("leaf", 2)
		os.Exit(3)
	case "twice":
		branch("leaf", &syscall.SysProcAttr{Setsid: true})
		return
	case "hopper":
		branch("hop", nil)
	case "hop": // never the same process for long
		tick("hop")
		branch("hop", &syscall.SysProcAttr{Setsid: true})
		return
	case "bomb":
		if n, _ := strconv.Atoi(os.Args[2]); n > 0 {
			for range 2 {
				branch("bomb", nil, strconv.Itoa(n-1))
			}
		}
	case "flood":
		for {
			fmt.Println("the quick brown fox jumps over the lazy dog")
			tick(kind)
		}
	}
	for {
		tick(kind)
		time.Sleep(2 * time.Millisecond)
	}
}

func tick(kind string) {
	f, err := os.OpenFile(os.Getenv("LOG"), os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = fmt.Fprintln(f, kind, os.Getpid(), int64(boottime.Now()))
	}
	if err != nil {
		panic(err)
	}
	f.Close()
}

func branch(kind string, attr *syscall.SysProcAttr, more ...string) {
	cmd := exec.Cmd{Path: "/proc/self/exe", Args: append([]string{"tree", kind}, more...), SysProcAttr: attr}
	if err := cmd.Start(); err != nil && !errors.Is(err, syscall.EAGAIN) {
		panic(err)
	}
}

// await waits until so many processes of a kind have logged.
func await(kind string, n int) {
	for {
		if seen := read(os.Getenv("LOG")); len(seen.pids[kind]) >= n {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

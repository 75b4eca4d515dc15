package guard

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// Main does the guard's work and ends the process, if this process is a guard;
// else it returns at once. It comes first in main.
func Main() {
	if filepath.Base(os.Args[0]) != name {
		return
	}
	if err := newWarden().run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// warden is the guard's side.
type warden struct {
	tree   tree
	orders *json.Decoder
	conn   *os.File

	speaking sync.Mutex // guards reports
	reports  *json.Encoder

	user     *syscall.Credential // of the command
	command  int                 // process id
	code     atomic.Int64        // exit code of the command
	ended    chan struct{}       // closed when the command has ended
	orphaned chan struct{}       // closed when the starter is gone
}

func newWarden() *warden {
	for _, fd := range []int{fdOrders, fdReports, fdConn} {
		syscall.CloseOnExec(fd)
	}
	return &warden{
		tree:   tree{gone: make(chan struct{})},
		orders: json.NewDecoder(os.NewFile(fdOrders, "orders")), reports: json.NewEncoder(os.NewFile(fdReports, "reports")),
		ended: make(chan struct{}), orphaned: make(chan struct{}),
	}
}

// run starts the command and keeps it until its tree is dead. What goes wrong
// before the start is reported; after it nothing is an error.
func (w *warden) run(path string, args []string) error {
	// The command's parent-death signal is bound to the thread that starts it:
	// it must live as long as the guard.
	runtime.LockOSThread()
	swallowSignals()
	var first order
	if err := w.orders.Decode(&first); err != nil {
		return fmt.Errorf("orders: %w", err) // the starter is gone
	}
	if first.Conn {
		w.conn = os.NewFile(fdConn, "connection")
	}
	w.user = first.User
	if first.Cgroup != "" {
		w.tree.cgroup = &cgroup{dir: first.Cgroup}
	}
	err := adoptOrphans()
	if err == nil {
		err = w.start(path, args)
	}
	if err != nil {
		return w.reports.Encode(report{Failed: err.Error()})
	}
	w.say(report{Started: w.command})
	w.keep(first.Deadlines)
	select {
	case <-w.orphaned:
		if w.conn != nil {
			_, err = w.conn.WriteString(first.LastWords)
		}
	default:
		code := int(w.code.Load())
		w.say(report{Ended: &code})
	}
	return err
}

// keep keeps the deadlines until the tree is dead: it is killed at the deadline,
// when the command has ended and when the starter is gone.
func (w *warden) keep(first Deadlines) {
	changes := make(chan Deadlines)
	go w.tree.reap(w.reaped)
	go w.obey(changes)
	go func() {
		select {
		case <-w.ended:
		case <-w.orphaned:
		}
		w.tree.kill()
	}()
	enforce(w.tree.gone, first, changes, w.term, w.kill)
	<-w.tree.gone
}

// swallowSignals lets no signal end the guard that is meant for the command, as
// from a terminal. They are caught and not ignored, because the command would
// inherit that.
func swallowSignals() {
	caught := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGPIPE} {
		if !signal.Ignored(s) {
			signal.Notify(caught, s)
		}
	}
}

// start starts the command in a process group of its own, and in the cgroup if
// that works.
func (w *warden) start(path string, args []string) error {
	if w.tree.cgroup != nil {
		if dir, err := os.Open(w.tree.cgroup.dir); err == nil {
			defer dir.Close()
			if w.startIn(dir, path, args) == nil {
				return nil
			}
		}
	}
	return w.startIn(nil, path, args)
}

func (w *warden) startIn(cgroup *os.File, path string, args []string) error {
	cmd := &exec.Cmd{
		Path: path, Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: w.user},
	}
	if cgroup != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(cgroup.Fd())
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.command = cmd.Process.Pid
	return cmd.Process.Release() // reap waits for it
}

// reaped takes note of the command's end.
func (w *warden) reaped(pid int, status syscall.WaitStatus) {
	if pid != w.command {
		return
	}
	w.code.Store(int64(exitCode(status)))
	close(w.ended)
}

// exitCode is the exit code as a shell says it: 128 + the signal's number if a
// signal ended the process.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// obey takes new deadlines until the starter is gone.
func (w *warden) obey(changes chan<- Deadlines) {
	defer close(w.orphaned)
	for {
		var o order
		if w.orders.Decode(&o) != nil {
			return
		}
		select {
		case changes <- o.Deadlines:
			w.say(report{Accepted: &o.Deadlines})
		case <-w.tree.gone:
		}
	}
}

// term tells the command's group to end.
func (w *warden) term() {
	w.tree.mu.Lock()
	defer w.tree.mu.Unlock()
	select {
	case <-w.ended: // its process id may be another's
	default:
		syscall.Kill(-w.command, syscall.SIGTERM)
		w.say(report{Overdue: true})
	}
}

// kill kills the tree at its deadline.
func (w *warden) kill() {
	select {
	case <-w.ended: // by itself; this is what it left
	default:
		w.say(report{Overdue: true})
	}
	w.tree.kill()
}

// say reports to the starter. If that is gone, the orders end too.
func (w *warden) say(r report) {
	w.speaking.Lock()
	defer w.speaking.Unlock()
	w.reports.Encode(r)
}

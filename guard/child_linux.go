package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// Child is a command in the care of a guard. It is safe for concurrent use, but
// for Limit.
type Child struct {
	tree    tree
	guard   int            // process id of the guard
	changes chan Deadlines // to the goroutine that keeps them here
	orders  *os.File
	work    sync.WaitGroup

	mu       sync.Mutex
	news     chan struct{} // closed and replaced when one of these changes
	command  int           // process id, 0 before the start
	failed   string        // why the command could not be started
	accepted Deadlines     // by the guard
	kept     Deadlines     // here
	overdue  bool          // the command was told to end, or is killed, at its deadline
	code     *int          // exit code, once the guard said it
}

// Start begins a guard and, through it, the command, and returns when that has
// started. The process must have no other children as long as the Child lives,
// and one Child at a time: every descendant is taken for one of its tree.
// ErrStart: the command could not be started. Other errors say what is missing
// here.
func Start(cfg Config) (*Child, error) {
	if err := cfg.Deadlines.check(); err != nil {
		return nil, err
	}
	if err := adoptOrphans(); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	c := &Child{
		tree: tree{gone: make(chan struct{})}, changes: make(chan Deadlines), news: make(chan struct{}),
		accepted: cfg.Deadlines, kept: cfg.Deadlines,
	}
	var err error
	if c.tree.cgroup, err = newCgroup(); err != nil {
		if _, missing := children(); missing != nil {
			return nil, fmt.Errorf("guard: /proc/self/task/ID/children: %w: without it a tree can only be killed by its cgroup, and there is none (%v): delegate a cgroup v2, or use a kernel with CONFIG_PROC_CHILDREN", missing, err)
		}
	}
	reports, err := c.begin(cfg)
	if err != nil {
		c.tree.cgroup.remove()
		return nil, fmt.Errorf("guard: start: %w", err)
	}
	c.work.Go(func() { c.tree.reap(c.reaped) })
	c.work.Go(func() { c.listen(reports) })
	c.work.Go(func() {
		enforce(c.tree.gone, cfg.Deadlines.later(), c.changes, c.term, c.kill)
	})
	if err := c.started(); err != nil {
		return nil, err
	}
	return c, nil
}

// begin starts the guard with its first order, and returns where it reports.
func (c *Child) begin(cfg Config) (*os.File, error) {
	ordersIn, ordersOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	reportsIn, reportsOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, ordersIn.Close(), ordersOut.Close())
	}
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", // this program, also after it was replaced by another version
		Args: append([]string{name, cfg.Path}, cfg.Args...), Env: cfg.Env,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles: []*os.File{ordersIn, reportsOut},
		// What is sent to the group of this process does not reach the guard.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	first := order{Deadlines: cfg.Deadlines, LastWords: cfg.LastWords, User: cfg.User}
	if c.tree.cgroup != nil {
		first.Cgroup = c.tree.cgroup.dir
	}
	if cfg.Conn != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, cfg.Conn)
		first.Conn = true
	}
	err = cmd.Start()
	ordersIn.Close()
	reportsOut.Close()
	if err != nil {
		return nil, errors.Join(err, ordersOut.Close(), reportsIn.Close())
	}
	c.guard, c.orders = cmd.Process.Pid, ordersOut
	cmd.Process.Release()                   // reap waits for it
	json.NewEncoder(c.orders).Encode(first) // a guard that is gone is seen by its end
	return reportsIn, nil
}

// started waits until the command has started or cannot be.
func (c *Child) started() error {
	for {
		c.mu.Lock()
		begun, news := c.command != 0, c.news
		c.mu.Unlock()
		if begun {
			return nil
		}
		select {
		case <-news:
		case <-c.tree.gone:
			c.finish()
			switch {
			case c.command != 0:
				return nil
			case c.failed != "":
				return fmt.Errorf("%w: %s", ErrStart, c.failed)
			}
			return fmt.Errorf("%w: %w", ErrStart, ErrGuard)
		}
	}
}

// listen takes the guard's reports until it has ended.
func (c *Child) listen(reports *os.File) {
	defer reports.Close()
	for lines := json.NewDecoder(reports); ; {
		var r report
		if lines.Decode(&r) != nil {
			return
		}
		c.note(func() {
			switch {
			case r.Started != 0:
				c.command = r.Started
			case r.Failed != "":
				c.failed = r.Failed
			case r.Accepted != nil:
				c.accepted = *r.Accepted
			case r.Overdue:
				c.overdue = true
			case r.Ended != nil:
				c.code = r.Ended
			}
		})
	}
}

// note changes what is known, and tells who waits for it.
func (c *Child) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.news)
	c.news = make(chan struct{})
}

// reaped kills what the guard has left: nothing, unless it was killed itself.
func (c *Child) reaped(pid int, _ syscall.WaitStatus) {
	if pid == c.guard {
		c.tree.killLocked()
		c.work.Go(c.tree.kill)
	}
}

// term tells the command to end, unless the guard has. It would not be told
// twice: to some programs that means at once.
func (c *Child) term() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.overdue && c.command != 0 && c.code == nil {
		c.overdue = true
		syscall.Kill(-c.command, syscall.SIGTERM) // a guard that did not say so has not reaped it either
	}
}

// kill kills the tree and the guard.
func (c *Child) kill() {
	c.mu.Lock()
	c.overdue = c.overdue || c.code == nil
	c.mu.Unlock()
	c.tree.kill()
}

// Limit sets new deadlines, and returns once both processes keep them: not
// before may the host act for longer than the last ones said. Earlier ones hold
// here at once. It returns ctx's cause if the guard does not answer, and
// ErrEnded if nobody of the tree is left.
func (c *Child) Limit(ctx context.Context, d Deadlines) error {
	if err := d.check(); err != nil {
		return err
	}
	c.mu.Lock()
	earlier := d.before(c.kept)
	c.mu.Unlock()
	if earlier {
		if err := c.keep(d); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(c.orders).Encode(order{Deadlines: d}); err != nil {
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	for {
		c.mu.Lock()
		accepted, news := c.accepted == d, c.news
		c.mu.Unlock()
		if accepted {
			return c.keep(d)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.tree.gone:
			return ErrEnded
		}
	}
}

// keep keeps the deadlines d in this process.
func (c *Child) keep(d Deadlines) error {
	c.mu.Lock()
	c.kept = d
	c.mu.Unlock()
	select {
	case c.changes <- d.later():
		return nil
	case <-c.tree.gone:
		return ErrEnded
	}
}

// Signal sends a signal to the command's process group. ErrEnded: the command
// has ended.
func (c *Child) Signal(s syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.code != nil || c.command == 0 {
		return ErrEnded
	}
	if err := syscall.Kill(-c.command, s); err != nil {
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	return nil
}

// Wait returns, once nobody of the tree is left, the exit code of the command,
// as a shell says it: 128 + the signal's number if a signal ended it. ErrDeadline:
// it was ended at its deadline. ErrGuard: the guard ended first, and there is no
// exit code.
func (c *Child) Wait() (int, error) {
	c.finish()
	code := 128 + int(syscall.SIGKILL) // if it was killed from here
	if c.code != nil {
		code = *c.code
	}
	switch {
	case c.overdue:
		return code, ErrDeadline
	case c.code == nil:
		return 0, ErrGuard
	}
	return code, nil
}

// finish waits for the tree's end and for all goroutines. What was noted no
// longer changes after it.
func (c *Child) finish() {
	<-c.tree.gone
	c.work.Wait()
	c.orders.Close()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"muster/agent"
	"muster/guard"
	"muster/internal/backoff"
	"muster/internal/boottime"
	"muster/profile"
)

// lead is one command that runs under a slot.
type lead struct {
	stderr io.Writer
	ask    agent.LeadAsk
	command
	root      *rootStep // in the place of the command: it is open once begin was called; else nil
	signals   <-chan os.Signal
	connect   func(context.Context, agent.LeadAsk) (*agent.Hold, error)
	mayReturn bool // connect may work again after the connection has ended
	// begin, if there is one, is called once the slot is held; its error is in the
	// place of the command.
	begin func() error
	begun bool // it was called, without an error

	child     ward            // once it runs; the rest belongs to tend then
	deadlines guard.Deadlines // that hold
	lost      string          // why the slot was lost, or ""

	mu    sync.Mutex
	hold  *agent.Hold
	ended bool // the command
}

const (
	// endFor is how long a command may take to end when its slot is given up
	// before its deadline.
	endFor = 10 * time.Second
	// partFor is how long the end of the command waits for its slot to be given
	// back: somewhat longer than the member tries.
	partFor = 12 * time.Second
	// lostFor is the same where the slot was lost, and may be another's already.
	lostFor = 2 * time.Second
	// returnEvery is how often a connection that ended is tried again.
	returnEvery = 200 * time.Millisecond
)

// run waits for the slot until waiting ends, and runs the command under it.
// running is for what the command needs while it runs; it ends no command.
func (l *lead) run(waiting, running context.Context) error {
	hold, err := l.connect(waiting, l.ask)
	if err != nil {
		return err
	}
	l.hold = hold
	defer func() { l.holding().Close() }()
	granted, err := l.await(waiting)
	if err != nil {
		return err
	}
	if l.begin != nil {
		if err := l.begin(); err != nil {
			l.hold.Done()
			return err
		}
		l.begun = true
	}
	l.ask.Tenure = granted.Tenure
	l.deadlines = guard.Deadlines{Term: granted.Term, Kill: granted.Kill}
	err = l.start(granted, hold)
	tending, stop := context.WithCancel(running)
	defer stop()
	tended := make(chan struct{})
	go func() {
		defer close(tended)
		l.tend(tending)
	}()
	code := 126
	if err == nil {
		code, err = l.wait()
	} else {
		err = errors.Join(fmt.Errorf("run %s: %w", l.args[0], err), childExit(code))
	}
	l.part()
	patience := partFor
	if errors.Is(err, guard.ErrDeadline) {
		patience = lostFor
	}
	select {
	case <-tended:
	case <-time.After(patience):
		stop()
		l.holding().Close()
		<-tended
	}
	switch {
	case errors.Is(err, guard.ErrDeadline) && l.lost == "":
		return fmt.Errorf("%w: it was not renewed in time", errSlotLost)
	case errors.Is(err, guard.ErrDeadline):
		return fmt.Errorf("%w: %s", errSlotLost, l.lost)
	case err != nil:
		return err
	}
	return result(code)
}

// ward is a command that is kept to deadlines: guard.Child and rootstep.Run.
type ward interface {
	Limit(context.Context, guard.Deadlines) error
	Signal(syscall.Signal) error
	Wait() (int, error)
}

// start starts the command, here or by the helper.
func (l *lead) start(granted agent.LeadLine, hold *agent.Hold) error {
	if l.root != nil {
		if err := l.root.under(granted); err != nil {
			return err
		}
		l.child = l.root.run
		return nil
	}
	child, err := guard.Start(guard.Config{
		Path: l.path, Args: l.args, Env: environment(l.env, *granted.Tenure), User: l.user,
		Deadlines: l.deadlines, Conn: hold.File(), LastWords: agent.LastWords,
	})
	if err == nil {
		l.child = child
	}
	return err
}

// await reads what is said until the slot is held, and says why it is not.
func (l *lead) await(waiting context.Context) (agent.LeadLine, error) {
	stop := context.AfterFunc(waiting, func() {
		l.hold.Done() // the slot may come at this moment
		l.hold.Close()
	})
	defer stop()
	for {
		line, err := l.hold.Next()
		switch {
		case waiting.Err() != nil:
			return line, context.Cause(waiting)
		case err != nil:
			return line, fmt.Errorf("%w: the agent of this host ended while this command waited for a slot (%w)", agent.ErrStopping, err)
		case line.Ended != "":
			return line, fmt.Errorf("%w: %s", errSlotLost, line.Ended)
		case line.Tenure != nil && stop():
			return line, nil
		case line.Tenure != nil:
			return line, context.Cause(waiting)
		}
		fmt.Fprintln(l.stderr, clean(fmt.Sprintf("waiting for a slot of role %s: %s", l.ask.Role, line.Why)))
	}
}

// environment is what the command inherits, with what fences its writes elsewhere.
func environment(own []string, t profile.Tenure) []string {
	return append(slices.Clone(own), "MUSTER_ROLE="+t.Role, "MUSTER_SLOT="+t.Slot, fmt.Sprintf("MUSTER_EPOCH=%d", t.Epoch), "MUSTER_INSTANCE="+t.Instance)
}

// wait passes signals on until the command's tree is dead, and returns what
// guard.Child.Wait does.
func (l *lead) wait() (code int, err error) {
	dead := make(chan struct{})
	go func() {
		defer close(dead)
		code, err = l.child.Wait()
	}()
	defer l.limit.start()()
	for {
		select {
		case s := <-l.signals:
			l.child.Signal(s.(syscall.Signal)) // after its end it needs none
		case <-l.limit.due():
			l.child.Signal(l.limit.signal())
		case <-dead:
			return code, err
		}
	}
}

// tend keeps up with what the member says of the slot, until that is given back.
func (l *lead) tend(ctx context.Context) {
	for {
		line, err := l.holding().Next()
		switch {
		case err != nil:
			if !l.comeBack(ctx) {
				l.lose(ctx, "the connection to whoever renews it ended")
				return
			}
		case line.Released:
			return
		case line.Ended != "":
			l.lose(ctx, line.Ended)
		case line.Tenure != nil && l.child != nil && l.lost == "":
			d := guard.Deadlines{Term: line.Term, Kill: line.Kill}
			if l.child.Limit(ctx, d) == nil {
				l.deadlines = d
				l.holding().Ack(d.Kill) // a connection that is gone ends the next read
			}
		}
	}
}

// lose ends the command: at once, as its slot is given up or gone, and with
// whatever time is left.
func (l *lead) lose(ctx context.Context, why string) {
	if l.lost != "" || l.child == nil {
		return
	}
	l.lost = why
	now := boottime.Now()
	d := guard.Deadlines{Term: now, Kill: now + endFor}
	if l.deadlines.Kill != 0 {
		d.Kill = min(d.Kill, l.deadlines.Kill)
	}
	if d.Kill > now { // else it is being killed
		l.child.Limit(ctx, d) // whatever the guard answers, it holds here
	}
}

// comeBack connects to the agent again, after a restart of it, and tells it
// which tenure the command runs under. It gives up when the command is told to
// end.
func (l *lead) comeBack(ctx context.Context) bool {
	l.holding().Close()
	for l.mayReturn && l.lost == "" && (l.deadlines.Term == 0 || boottime.Now() < l.deadlines.Term) {
		hold, err := l.connect(ctx, l.ask)
		if err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.hold = hold
			if l.ended {
				hold.Done()
			}
			return true
		}
		if backoff.Sleep(ctx, returnEvery) != nil {
			return false
		}
	}
	return false
}

func (l *lead) holding() *agent.Hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hold
}

// part says that the command has ended.
func (l *lead) part() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.hold.Done() // if the connection is gone, comeBack says it
}

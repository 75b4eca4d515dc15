package rootstep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/guard"
	"muster/internal/boottime"
	"muster/steps"
)

// Config is what Serve needs. The command's standard streams are those of this process.
type Config struct {
	Dir   string   // of the steps' files
	Users []int    // who may ask, beside root and the user of this process
	Env   []string // what commands inherit, as os.Environ has it
	Log   hclog.Logger
}

const (
	// askWithin is how long it may take to name a file.
	askWithin = 10 * time.Second
	// endFor is how long a command may take to end that was told to.
	endFor = 10 * time.Second
	// sayWithin is how long the other side may take to read a line.
	sayWithin = 5 * time.Second
)

// Serve runs the one step that is asked for on conn, a connected Unix socket, and
// returns when nobody of it is left, or it was refused. When ctx ends the command is
// told to end. The error says why nothing was run; how the step ended is none.
func Serve(ctx context.Context, conn *os.File, cfg Config) error {
	h, err := newHelper(conn, cfg)
	if err != nil {
		return err
	}
	defer h.close()
	err = h.serve(ctx)
	if err != nil {
		h.say(report{Refused: err.Error()})
	}
	return err
}

// helper is the side of root.
type helper struct {
	cfg   Config
	file  *os.File // the connection as guards inherit it
	conn  *net.UnixConn
	lines reader
	step  steps.Step
	words chan word     // what is said after the start
	cut   chan struct{} // closed when the connection has ended
	done  chan struct{} // closed when it is not listened to any more
}

func newHelper(file *os.File, cfg Config) (*helper, error) {
	c, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("%w: expected a connection as standard input, as muster-root.socket gives it: %w", ErrHelper, err)
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%w: expected a connection of a Unix socket, found %s", ErrHelper, c.LocalAddr().Network()), c.Close())
	}
	return &helper{cfg: cfg, file: file, conn: conn, lines: newReader(conn), words: make(chan word), cut: make(chan struct{}), done: make(chan struct{})}, nil
}

func (h *helper) close() {
	close(h.done)
	h.conn.Close()
	h.file.Close()
}

// say says a line. Who does not take it is gone, and that is seen by reading.
func (h *helper) say(r report) {
	h.conn.SetWriteDeadline(time.Now().Add(sayWithin))
	if json.NewEncoder(h.conn).Encode(r) != nil {
		h.conn.CloseRead()
	}
}

func (h *helper) serve(ctx context.Context) error {
	uid, pid, err := h.admit()
	if err != nil {
		return err
	}
	var asked, begin word
	h.conn.SetReadDeadline(time.Now().Add(askWithin))
	if err := h.lines.read(&asked); err != nil {
		return fmt.Errorf("%w: expected a line that names a file: %w", ErrHelper, err)
	}
	h.conn.SetReadDeadline(time.Time{})
	cfg, err := h.command(asked.File)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrHelper, err)
	}
	h.say(report{Ready: &ready{Cgroup: unitCgroup()}})
	switch err := h.lines.read(&begin); {
	case errors.Is(err, io.EOF):
		return nil // it was not to be run after all
	case err != nil || begin.Start == nil:
		return fmt.Errorf("%w: expected a line that starts step %s (%v)", ErrHelper, h.step.Name, err)
	}
	cfg.Deadlines = begin.Start.Deadlines
	if t := begin.Start.Tenure; t != nil {
		values, err := t.environment(h.step.Role)
		if err != nil {
			return fmt.Errorf("%w: step %s: %w", ErrHelper, h.step.Name, err)
		}
		cfg.Env = append(cfg.Env, values...)
	}
	h.cfg.Log.Info("step begins", "step", h.step.Name, "file", asked.File, "user", h.step.User, "asked_by_user", uid, "asked_by_process", pid)
	h.run(ctx, cfg)
	return nil
}

// unitCgroup returns the cgroup of this process if it is that of its unit alone, else
// "": others may live there.
func unitCgroup() string {
	own, err := guard.OwnCgroup()
	if err != nil || !strings.HasPrefix(filepath.Base(own), "muster-root@") {
		return ""
	}
	return own
}

// admit refuses who may not ask.
func (h *helper) admit() (uid, pid int, err error) {
	uid, pid, err = peer(h.conn)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrHelper, err)
	}
	if uid != 0 && uid != os.Geteuid() && !slices.Contains(h.cfg.Users, uid) {
		return 0, 0, fmt.Errorf("%w: expected to be asked by root or the agent's user, found process %d of user %d", ErrHelper, pid, uid)
	}
	return uid, pid, nil
}

// command reads the step of a file, and returns what is to be run: all of it is from
// there.
func (h *helper) command(file string) (cfg guard.Config, err error) {
	if h.step, err = steps.One(h.cfg.Dir, file); err != nil {
		return cfg, err
	}
	if h.step.User == "" || len(h.step.Command) == 0 {
		return cfg, fmt.Errorf("%s: expected a command with a `user`, who is to run it: what has none is run by the agent itself", file)
	}
	account, err := steps.Account(h.step.User)
	if err != nil {
		return cfg, err
	}
	cfg = guard.Config{
		Args: h.step.Command, Conn: h.file, LastWords: lastWords,
		Env: slices.Concat(h.cfg.Env, []string{"HOME=" + account.HomeDir, "USER=" + account.Username, "LOGNAME=" + account.Username}),
	}
	if account.Uid != strconv.Itoa(os.Geteuid()) {
		if cfg.User, err = steps.Credential(account); err != nil {
			return cfg, err
		}
	}
	cfg.Path, err = exec.LookPath(h.step.Command[0])
	return cfg, err
}

// run runs the command until nobody of it is left.
func (h *helper) run(ctx context.Context, cfg guard.Config) {
	child, err := guard.Start(cfg)
	if err != nil {
		h.cfg.Log.Warn("the command could not be started", "step", h.step.Name, "err", err)
		h.say(report{Failed: err.Error()})
		return
	}
	h.say(report{Started: true})
	go h.listen()
	go h.obey(child)
	code, err := h.wait(ctx, child)
	e := ended{Code: code, Late: errors.Is(err, guard.ErrDeadline)}
	e.Lost = err != nil && !e.Late
	h.cfg.Log.Info("step ended", "step", h.step.Name, "exit", code, "at_deadline", e.Late, "lost", e.Lost)
	h.say(report{Ended: &e})
}

// listen hears what is said until the connection ends, or something is said that
// makes no sense.
func (h *helper) listen() {
	defer close(h.cut)
	for {
		var w word
		if h.lines.read(&w) != nil {
			return
		}
		select {
		case h.words <- w:
		case <-h.done:
			return
		}
	}
}

// obey does what is said, one after the other.
func (h *helper) obey(child *guard.Child) {
	cut, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		defer stop()
		select {
		case <-h.cut:
		case <-h.done:
		}
	}()
	for {
		select {
		case w := <-h.words:
			switch {
			case w.Limit != nil && child.Limit(cut, *w.Limit) == nil:
				h.say(report{Accepted: w.Limit})
			case w.Signal != 0:
				child.Signal(w.Signal) // one that has ended needs none
			}
		case <-cut.Done():
			return
		}
	}
}

// wait ends the command when its time is over, when this process is to end, and,
// with everything that it has started, when the connection ends.
func (h *helper) wait(ctx context.Context, child *guard.Child) (code int, err error) {
	dead := make(chan struct{})
	go func() {
		defer close(dead)
		code, err = child.Wait()
	}()
	late := time.NewTimer(h.step.Limit)
	defer late.Stop()
	if h.step.Limit == 0 {
		late.Stop()
	}
	end, stopping, cut := syscall.SIGTERM, ctx.Done(), h.cut
	for {
		select {
		case <-dead:
			return code, err
		case <-cut:
			cut = nil
			h.cfg.Log.Warn("the connection ended: the command is killed", "step", h.step.Name)
			go h.kill(child, dead)
		case <-stopping:
			stopping = nil
			child.Signal(syscall.SIGTERM)
		case <-late.C:
			h.cfg.Log.Warn("the command is ended: it has run for its limit", "step", h.step.Name, "limit", h.step.Limit, "signal", end)
			child.Signal(end)
			end = syscall.SIGKILL
			late.Reset(endFor)
		}
	}
}

// kill kills the command and all that it has started, now.
func (h *helper) kill(child *guard.Child, dead <-chan struct{}) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		<-dead
		stop()
	}()
	now := boottime.Now()
	child.Limit(ctx, guard.Deadlines{Term: now, Kill: now}) // whatever the guard answers, it holds here
}

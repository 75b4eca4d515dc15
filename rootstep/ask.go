package rootstep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"muster/guard"
)

// Run is a step in the hands of the helper. It is safe for concurrent use, but for
// Start.
type Run struct {
	conn *net.UnixConn
	in   reader
	done chan struct{} // closed when nothing is heard any more

	mu       sync.Mutex
	news     chan struct{} // closed and replaced when one of these changes
	accepted guard.Deadlines
	cgroup   string // of the helper
	end      *ended
}

// Open asks the helper at the path socket for the step of a file, and returns once the
// helper will run it. The error is ErrHelper.
func Open(ctx context.Context, socket, file string) (*Run, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w: nothing answers there: run `systemctl enable --now muster-root.socket` as root", ErrHelper, err)
	}
	conn := c.(*net.UnixConn)
	r := &Run{conn: conn, in: newReader(conn), done: make(chan struct{}), news: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var answer report
	if err = r.say(word{File: file}); err == nil {
		err = r.in.read(&answer)
	}
	switch cause := context.Cause(ctx); {
	case err != nil && cause != nil:
		err = cause
	case answer.Refused != "":
		err = fmt.Errorf("%w: the helper refuses: %s", ErrHelper, answer.Refused)
	case err != nil || answer.Ready == nil:
		err = fmt.Errorf("%w: the helper ended, and did not say why (%v): see journalctl -u 'muster-root@*'", ErrHelper, err)
	default:
		r.cgroup = answer.Ready.Cgroup
		return r, nil
	}
	return nil, errors.Join(err, conn.Close())
}

func (r *Run) say(w word) error {
	raw, err := json.Marshal(w)
	if err == nil {
		_, err = r.conn.Write(append(raw, '\n'))
	}
	return err
}

// Start begins the command, under a slot unless t is nil, and returns when it has
// begun. After guard.ErrStart nothing runs. After another error, which is guard.ErrGuard,
// it may have run, and nobody of it is left.
func (r *Run) Start(d guard.Deadlines, t *Tenure) error {
	r.accepted = d
	var answer report
	if r.say(word{Start: &start{d, t}}) == nil {
		r.in.read(&answer) // without an answer the helper is gone
	}
	if answer.Started {
		go r.listen()
		return nil
	}
	close(r.done)
	if why := answer.Failed + answer.Refused; why != "" {
		return fmt.Errorf("%w: %s", guard.ErrStart, why)
	}
	return r.lost()
}

// listen hears the helper, and its guard, until both are gone.
func (r *Run) listen() {
	defer close(r.done)
	for {
		var next report
		if r.in.read(&next) != nil {
			return
		}
		r.mu.Lock()
		switch {
		case next.Accepted != nil:
			r.accepted = *next.Accepted
		case next.Ended != nil:
			r.end = next.Ended
		}
		close(r.news)
		r.news = make(chan struct{})
		r.mu.Unlock()
	}
}

// Limit is guard.Child.Limit.
func (r *Run) Limit(ctx context.Context, d guard.Deadlines) error {
	if err := r.say(word{Limit: &d}); err != nil {
		return fmt.Errorf("%w: %w", guard.ErrEnded, err)
	}
	for {
		r.mu.Lock()
		accepted, news := r.accepted == d, r.news
		r.mu.Unlock()
		if accepted {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.done:
			return guard.ErrEnded
		}
	}
}

// Signal is guard.Child.Signal.
func (r *Run) Signal(s syscall.Signal) error {
	if err := r.say(word{Signal: s}); err != nil {
		return fmt.Errorf("%w: %w", guard.ErrEnded, err)
	}
	return nil
}

// lookEvery is how often it is looked whether the helper's cgroup is empty.
const lookEvery = 20 * time.Millisecond

// Wait is guard.Child.Wait: it returns once nobody of the command is left.
func (r *Run) Wait() (int, error) {
	for {
		r.mu.Lock()
		end, news := r.end, r.news
		r.mu.Unlock()
		switch {
		case end != nil && end.Lost:
			return 0, errLost
		case end != nil && end.Late:
			return end.Code, guard.ErrDeadline
		case end != nil:
			return end.Code, nil
		}
		select {
		case <-news:
		case <-r.done:
			r.mu.Lock()
			said := r.end != nil // last
			r.mu.Unlock()
			if !said {
				return 0, r.lost()
			}
		}
	}
}

var errLost = fmt.Errorf("%w: the helper of root steps ended: see journalctl -u 'muster-root@*'", guard.ErrGuard)

// lost waits until nobody of a helper that ended without a word is left: its service
// manager kills what is.
func (r *Run) lost() error {
	for r.cgroup != "" && guard.Populated(r.cgroup) {
		time.Sleep(lookEvery)
	}
	return errLost
}

// Close ends the connection, and with it what still runs.
func (r *Run) Close() error { return r.conn.Close() }

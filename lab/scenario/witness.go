package scenario

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// witness sees when the commands of steps begin and end. Each connects when it begins,
// waits for an answer, and holds the connection, as does all that it starts: so the
// end of the connection is the end of the last of them, whatever ended it.
type witness struct {
	listener *net.UnixListener
	world    *world
	sync     func() // returns when the world is as it is at the endpoint
	guests   sync.WaitGroup

	mu   sync.Mutex // held while a beginning or an end is taken in
	open []*guest
}

// guest is a command that runs.
type guest struct {
	conn *net.UnixConn
	run  *run
}

func openWitness(path string, w *world, sync func()) (*witness, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	t := &witness{listener: listener, world: w, sync: sync}
	t.guests.Go(func() {
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			t.guests.Go(func() { t.attend(conn) })
		}
	})
	return t, nil
}

// close ends it. The commands must have ended.
func (t *witness) close() {
	t.listener.Close()
	t.guests.Wait()
}

// attend takes in one command.
func (t *witness) attend(conn *net.UnixConn) {
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	step, member, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if err != nil || !ok {
		return
	}
	t.sync() // the round that it began in
	g := &guest{conn: conn, run: &run{step: step, member: member, ended: -1}}
	t.begin(g)
	if _, err := conn.Write([]byte{'\n'}); err == nil {
		_, _ = conn.Read(make([]byte, 1))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked(g)
}

// begin notes the beginning of a command, after the end of all those that have ended
// by now: what came first is seen first, whichever connection is read first.
func (t *witness) begin(g *guest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range slices.Clone(t.open) {
		if gone(other.conn) {
			t.endLocked(other)
		}
	}
	t.open = append(t.open, g)
	t.world.do(func(s *state) {
		g.run.round, g.run.began = s.round, t.world.since()
		s.runs = append(s.runs, g.run)
	})
	t.world.told("%s begins %s", g.run.member, g.run.step)
}

func (t *witness) endLocked(g *guest) {
	i := slices.Index(t.open, g)
	if i < 0 {
		return
	}
	t.open = slices.Delete(t.open, i, i+1)
	t.world.do(func(*state) { g.run.ended = t.world.since() })
	t.world.told("%s has ended %s", g.run.member, g.run.step)
}

// gone tells that the other end of a connection is closed, without waiting for it.
func gone(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	end := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		end = n <= 0 && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return end || err != nil
}

// Body is the command of a step, as a process that a scenario started: it reports to
// the witness that listens at socket, and then becomes the command, or, without one,
// takes a while and returns the exit code. It does not return to become a command.
func Body(socket, step, member string, takes time.Duration, exit int, command []string) (int, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return 0, fmt.Errorf("the scenario is not there: %w", err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s %s\n", step, member); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return 0, fmt.Errorf("the scenario does not answer: %w", err)
	}
	if len(command) == 0 {
		<-time.After(takes)
		return exit, nil
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		return 0, err
	}
	file, err := conn.File() // a copy that the command inherits, and does not know of
	if err != nil {
		return 0, err
	}
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0); err != nil {
		return 0, err
	}
	return 0, syscall.Exec(program, command, os.Environ())
}

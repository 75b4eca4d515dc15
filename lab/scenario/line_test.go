package scenario

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// echo is a server that says back what it hears.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// call is one connection over a line.
type call struct {
	*testing.T
	net.Conn
}

func dial(t *testing.T, l *line) call {
	t.Helper()
	c, err := net.Dial("tcp", l.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(generous)); err != nil {
		t.Fatal(err)
	}
	return call{t, c}
}

func (c call) say(word string) {
	c.Helper()
	if _, err := io.WriteString(c, word); err != nil {
		c.Fatal(err)
	}
}

func (c call) hear(word string) {
	c.Helper()
	b := make([]byte, len(word))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != word {
		c.Errorf("heard %q, %v; want %q", b, err, word)
	}
}

// isReset wants the connection to end as by a host that knows nothing of it.
func (c call) isReset() {
	c.Helper()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		c.Errorf("got %v, want a reset", err)
	}
}

func newTestLine(t *testing.T) *line {
	t.Helper()
	l, err := openLine(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

func TestALineThatIsDroppedResetsItsConnectionsAndTakesNewOnes(t *testing.T) {
	t.Parallel()
	l := newTestLine(t)
	before := dial(t, l)
	before.say("one")
	before.hear("one")
	l.drop()
	before.isReset()
	after := dial(t, l)
	after.say("two")
	after.hear("two")
}

func TestALineThatIsDownResetsNewConnectionsToo(t *testing.T) {
	t.Parallel()
	l := newTestLine(t)
	before := dial(t, l)
	before.say("one")
	before.hear("one")
	l.set(false)
	before.isReset()
	if c, err := net.Dial("tcp", l.listener.Addr().String()); err == nil {
		t.Cleanup(func() { c.Close() })
		call{t, c}.isReset()
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	l.set(true)
	after := dial(t, l)
	after.say("two")
	after.hear("two")
}

func TestAFrozenLineHoldsBackWhatArrivesWhenItThaws(t *testing.T) {
	t.Parallel()
	l := newTestLine(t)
	before := dial(t, l)
	before.say("one")
	before.hear("one")
	l.freeze()
	if l.clear() {
		t.Error("a frozen line is clear")
	}
	before.say("two")
	fresh := dial(t, l)
	fresh.say("three")
	if err := before.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := before.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("something came through: %d, %v", n, err)
	}
	if err := before.SetReadDeadline(time.Now().Add(generous)); err != nil {
		t.Fatal(err)
	}
	l.thaw()
	before.hear("two")
	fresh.hear("three")
}

func TestAFrozenLineCanBeClosed(t *testing.T) {
	t.Parallel()
	l, err := openLine(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	l.freeze()
	c := dial(t, l)
	c.say("one")
	l.close()
	c.isReset()
}

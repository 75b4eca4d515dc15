package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"muster/profile"
)

// LeadAsk is what a command asks for that is to run under a slot.
type LeadAsk struct {
	Role string `json:"role"`
	// Slots and TTL are how the role is planted if there is none yet, and what
	// it must be if there is. 0 and nil are not asked for; a TTL of "" is sticky.
	Slots int     `json:"slots,omitempty"`
	TTL   *string `json:"ttl,omitempty"`
	// Tenure is the one under which the command runs already, from before the
	// agent was restarted; else nil.
	Tenure *profile.Tenure `json:"tenure,omitempty"`
}

// LeadLine is what a Hold is told. One of Why, Tenure, Ended and Released is set.
type LeadLine struct {
	Why string `json:"why,omitempty"` // the slot is waited for
	// Tenure is held. Term and Kill are moments of CLOCK_BOOTTIME by which the
	// command is told to end, and is dead, unless a later line says otherwise;
	// 0 for none.
	Tenure   *profile.Tenure `json:"tenure,omitempty"`
	Term     time.Duration   `json:"term,omitempty"`
	Kill     time.Duration   `json:"kill,omitempty"`
	Ended    string          `json:"ended,omitempty"`    // leadership has ended, and why
	Released bool            `json:"released,omitempty"` // after Done: the slot was given back, or stays for good
}

// leadWord is what a Hold says.
type leadWord struct {
	Ack  time.Duration `json:"ack,omitempty"`
	Done bool          `json:"done,omitempty"`
}

// LastWords is what Done says, for whoever says it in the command's place.
const LastWords = `{"done":true}` + "\n"

// Hold is a command's connection to whoever holds its slot. One goroutine reads
// it; the rest is safe for concurrent use.
type Hold struct {
	conn  *os.File
	lines *json.Decoder
}

func newHold(conn *os.File, from io.Reader) *Hold {
	return &Hold{conn: conn, lines: json.NewDecoder(from)}
}

// leadProtocol is what the HTTP connection is upgraded to: lines of JSON.
const leadProtocol = "muster-lead"

// Lead asks the agent for a slot. The errors are those of the role that is
// asked for; that the slot is waited for, and held, is said by Next.
func (c *Client) Lead(ctx context.Context, ask LeadAsk) (*Hold, error) {
	raw, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/v1/lead", bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", leadProtocol)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	defer conn.Close() // the file is a duplicate
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	from := bufio.NewReader(conn)
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStopping, c.path, err)
	}
	resp, err := http.ReadResponse(from, req)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStopping, c.path, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		return nil, decodeFault(resp.Body)
	}
	file, err := conn.(*net.UnixConn).File()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStopping, err)
	}
	first, _ := from.Peek(from.Buffered())
	return newHold(file, io.MultiReader(bytes.NewReader(bytes.Clone(first)), file)), nil
}

// Next returns what is said next. The error means that the connection is gone.
func (h *Hold) Next() (LeadLine, error) {
	var l LeadLine
	return l, h.lines.Decode(&l)
}

// Ack says that the command is dead by the moment kill, as far as this host's
// processes can: a slot whose deadline is not acknowledged is not renewed.
func (h *Hold) Ack(kill time.Duration) error { return h.say(leadWord{Ack: kill}) }

// Done says that nothing of the command runs any more.
func (h *Hold) Done() error { return h.say(leadWord{Done: true}) }

func (h *Hold) say(w leadWord) error { return json.NewEncoder(h.conn).Encode(w) }

// File is the connection, for a process that is to keep it open and may have
// to say LastWords on it.
func (h *Hold) File() *os.File { return h.conn }

// Close ends the connection for everybody who has it.
func (h *Hold) Close() error {
	// A reader may block in the system call: a file that was handed on does not poll.
	if raw, err := h.conn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }) // both may have ended already
	}
	return h.conn.Close()
}

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"slices"

	"muster/coordinator"
	"muster/profile"
)

// ErrNoAgent means that no agent answers on the local socket.
var ErrNoAgent = errors.New("agent: no agent is running here")

// Client reaches the running agent through its socket. It is safe for
// concurrent use.
type Client struct {
	http *http.Client
	path string
}

var _ Local = (*Client)(nil)

// Dial returns a client of the agent that serves the socket. ErrNoAgent: there
// is none. Other errors say why the socket may not be used.
func Dial(path string) (*Client, error) {
	c, err := net.Dial("unix", path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %w; members of group %s may use it", ErrUsage, err, socketGroup)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	c.Close()
	var d net.Dialer
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
	}}}, nil
}

// Status returns what the agent knows of itself.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "status", nil, &s)
	return s, err
}

// Read returns the profile, read by the agent now.
func (c *Client) Read(ctx context.Context) (*profile.Document, error) {
	d := &profile.Document{}
	return d, c.call(ctx, http.MethodGet, "profile", nil, d)
}

// Report implements Local.
func (c *Client) Report(ctx context.Context, said string) (int, error) {
	var b reportBody
	err := c.call(ctx, http.MethodPost, "report", reportBody{Said: said}, &b)
	return b.Round, err
}

// Arrive implements Local.
func (c *Client) Arrive(ctx context.Context, in Arrival) (profile.Round, error) {
	var round profile.Round
	err := c.call(ctx, http.MethodPost, "arrive", in, &round)
	return round, err
}

// BeginStep implements Local.
func (c *Client) BeginStep(ctx context.Context, name string, round profile.Round, retry bool) (StepNote, bool, error) {
	var b stepBody
	err := c.call(ctx, http.MethodPost, "steps/begin", stepBody{Name: name, Round: round, Retry: retry}, &b)
	return b.Note, b.Again, err
}

// EndStep implements Local.
func (c *Client) EndStep(ctx context.Context, name string, round profile.Round, exit int) error {
	return c.call(ctx, http.MethodPost, "steps/end", stepBody{Name: name, Round: round, Exit: exit}, nil)
}

// TakeBackStep implements Local.
func (c *Client) TakeBackStep(ctx context.Context, name string, note StepNote) error {
	return c.call(ctx, http.MethodPost, "steps/takeback", stepBody{Name: name, Note: note}, nil)
}

// Set implements Local.
func (c *Client) Set(ctx context.Context, s Setting) (sealed bool, err error) {
	err = c.call(ctx, http.MethodPost, "set", s, &sealed)
	return sealed, err
}

// Get returns the value of one param, as profile.Get does.
func (c *Client) Get(ctx context.Context, key string, decode bool) (json.RawMessage, error) {
	var raw json.RawMessage
	err := c.call(ctx, http.MethodPost, "get", getBody{Key: key, Decode: decode}, &raw)
	return raw, err
}

// Resign implements Local.
func (c *Client) Resign(ctx context.Context, role string) (profile.Tenure, error) {
	var t profile.Tenure
	err := c.call(ctx, http.MethodPost, "resign", resignBody{Role: role}, &t)
	return t, err
}

// Preview implements Local.
func (c *Client) Preview(ctx context.Context, in Intent) ([]profile.Op, error) {
	var ops []profile.Op
	err := c.call(ctx, http.MethodPost, "preview", in, &ops)
	return ops, err
}

// Wait implements Local.
func (c *Client) Wait(ctx context.Context, w Waiting, progress func(coordinator.Outcome)) (coordinator.Outcome, error) {
	last, err := c.follow(ctx, "wait", w, func(l waitLine) {
		if progress != nil {
			progress(l.Outcome)
		}
	})
	return last.Outcome, err
}

// Pass implements Local.
func (c *Client) Pass(ctx context.Context, p Passing, progress func(string)) (coordinator.Passed, error) {
	last, err := c.follow(ctx, "pass", p, func(l waitLine) {
		if progress != nil {
			progress(l.Said)
		}
	})
	return last.Passed, err
}

// Roll implements Local.
func (c *Client) Roll(ctx context.Context, r Rolling, progress func(string)) (Turn, error) {
	last, err := c.follow(ctx, "roll", r, func(l waitLine) {
		if progress != nil {
			progress(l.Said)
		}
	})
	return last.Turn, err
}

// EndRoll implements Local.
func (c *Client) EndRoll(ctx context.Context, name string, round profile.Round, exit int) error {
	return c.call(ctx, http.MethodPost, "roll/end", stepBody{Name: name, Round: round, Exit: exit}, nil)
}

// follow asks the agent to wait, hands on its lines and returns the last.
func (c *Client) follow(ctx context.Context, path string, in any, progress func(waitLine)) (waitLine, error) {
	resp, err := c.send(ctx, http.MethodPost, path, in)
	if err != nil {
		return waitLine{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return waitLine{}, decodeFault(resp.Body)
	}
	lines := json.NewDecoder(resp.Body)
	for {
		var l waitLine
		if err := lines.Decode(&l); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return l, cause
			}
			return l, fmt.Errorf("%w: the agent went away while this command waited (%v)", ErrStopping, err)
		}
		if l.Done {
			return l, l.Fault.err()
		}
		progress(l)
	}
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return decodeFault(resp.Body)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("%w: answer on %s: %w", ErrStopping, c.path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent/v1/"+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStopping, c.path, err)
	}
	return resp, nil
}

func decodeFault(body io.Reader) error {
	var f fault
	if err := json.NewDecoder(body).Decode(&f); err != nil {
		return fmt.Errorf("%w: answer of the agent: %w", ErrStopping, err)
	}
	return f.err()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

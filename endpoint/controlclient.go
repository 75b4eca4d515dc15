package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

// ErrNoControl is returned when nobody answers on a control socket.
var ErrNoControl = errors.New("endpoint: no answer on the control socket")

// Control makes the endpoint behind a control socket (see Config.Control) do what
// the methods of Server with these names do. What the endpoint refuses is
// ErrFault or ErrTokenNotAllowed, as there. It is safe for concurrent use.
type Control struct {
	// Path of the socket.
	Path string
}

// Inject is Server.Inject.
func (c Control) Inject(ctx context.Context, f Fault) (id int, err error) {
	b := wireFault(f)
	err = c.do(ctx, "POST", "faults", b, &b)
	return b.ID, err
}

// Faults is Server.Faults.
func (c Control) Faults(ctx context.Context) ([]Fault, error) {
	var list []faultBody
	if err := c.do(ctx, "GET", "faults", nil, &list); err != nil {
		return nil, err
	}
	res := make([]Fault, len(list))
	for i, b := range list {
		res[i] = b.Fault
		var err error
		if res[i].Delay, err = readDuration("delay", b.Delay); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// Clear is Server.Clear.
func (c Control) Clear(ctx context.Context, id int) error {
	return c.do(ctx, "DELETE", "faults/"+strconv.Itoa(id), nil, nil)
}

// ClearAll is Server.ClearAll.
func (c Control) ClearAll(ctx context.Context) error { return c.do(ctx, "DELETE", "faults", nil, nil) }

// Known returns ErrFault unless there is the principal that a fault is meant for. One
// may also be injected for who is yet to come.
func (c Control) Known(ctx context.Context, principal string) error {
	return c.do(ctx, "POST", "known", expireBody{principal}, nil)
}

// ExpireTokens is Server.ExpireTokens.
func (c Control) ExpireTokens(ctx context.Context, principal string) error {
	return c.do(ctx, "POST", "expire", expireBody{principal}, nil)
}

// Restart is Server.Restart.
func (c Control) Restart(ctx context.Context, down time.Duration) error {
	return c.do(ctx, "POST", "restart", restartBody{down.String()}, nil)
}

// ProfileToken is Server.ProfileToken. The machine may be named by its name; if it
// is empty, any that carries the profile will do.
func (c Control) ProfileToken(ctx context.Context, machine, profile string, ttl time.Duration) (string, error) {
	b := tokenBody{Machine: machine, Profile: profile, TTL: ttl.String()}
	err := c.do(ctx, "POST", "tokens", b, &b)
	return b.Token, err
}

// MachineToken is Server.MachineToken. The machine may be named by its name.
func (c Control) MachineToken(ctx context.Context, machine string, ttl time.Duration) (string, error) {
	b := tokenBody{Machine: machine, TTL: ttl.String()}
	err := c.do(ctx, "POST", "tokens", b, &b)
	return b.Token, err
}

// Counts is Server.Counts.
func (c Control) Counts(ctx context.Context) (Counts, error) {
	var res Counts
	err := c.do(ctx, "GET", "counts", struct{}{}, &res)
	return res, err
}

// do sends one request on a connection of its own, so that nothing of it is left
// afterwards.
func (c Control) do(ctx context.Context, method, path string, body, out any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://control/v1/"+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.Path)
		},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w %s: %w", ErrNoControl, c.Path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%w %s: %w", ErrNoControl, c.Path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return controlError(resp.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// controlError makes an error of the endpoint the one that it was there.
func controlError(status int, body []byte) error {
	e := models.Error{}
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("endpoint: control socket: status %d", status)
	}
	text := strings.Join(e.Messages, "; ")
	for _, known := range []error{ErrFault, ErrTokenNotAllowed, errStopped} {
		if rest, ok := strings.CutPrefix(text, known.Error()); ok {
			return fmt.Errorf("%w%s", known, rest)
		}
	}
	return errors.New(text)
}

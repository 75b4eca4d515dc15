package agent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"muster/internal/backoff"
	"muster/internal/redact"
)

// reportEvery is how often the service manager is told how the agent stands, if
// that changed; more often if it has a watchdog.
const reportEvery = 10 * time.Second

// report tells the service manager that the agent has joined once its socket
// answers, then how it stands, and feeds the watchdog while every loop goes on
// and the socket answers. It ends with ctx and its cause.
func (a *Agent) report(ctx context.Context) error {
	every := reportEvery
	if a.cfg.Watchdog > 0 {
		every = min(every, a.cfg.Watchdog/2)
	}
	ready, said, stuck := false, "", ""
	for ctx.Err() == nil {
		err := a.answers(ctx, every)
		if err == nil {
			err = a.live()
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if text := oneLine(err); text != stuck {
				stuck = text
				a.log.Error("the agent is stuck: the watchdog is not fed", "err", err)
			}
		default:
			stuck = ""
			a.cfg.Notify("WATCHDOG=1")
		}
		if err == nil && !ready {
			ready = true
			a.readied()
		}
		if status := a.standing(err); ready && status != said {
			said = status
			a.cfg.Notify("STATUS=" + status)
		}
		backoff.Sleep(ctx, every)
	}
	a.cfg.Notify("STOPPING=1\nSTATUS=stopping")
	return context.Cause(ctx)
}

// answers asks the agent's own socket, as a command would.
func (a *Agent) answers(ctx context.Context, within time.Duration) error {
	if a.cfg.Socket == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	c, err := Dial(a.cfg.Socket)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer c.http.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/livez", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body) // that it answers is enough: what it says is asked for directly
	return nil
}

// readied says that the agent is ready.
func (a *Agent) readied() {
	a.reload.Lock()
	defer a.reload.Unlock()
	a.started = true
	a.cfg.Notify("READY=1")
}

// Reload lets the service manager know of do, which reads the configuration
// again, and has the token files looked at. It may be called at any time.
func (a *Agent) Reload(do func()) {
	a.reload.Lock()
	defer a.reload.Unlock()
	if a.started { // else it is starting, and is not ready after this either
		var now unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // fails for no clock that there is
		a.cfg.Notify(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
		defer a.cfg.Notify("READY=1")
	}
	do()
	a.renewal.look()
}

// standing is how the agent stands, in a line. stuck is why it does not work, or nil.
func (a *Agent) standing(stuck error) string {
	text := "member of " + a.cfg.Profile
	if held := a.Status().Slots; len(held) > 0 {
		text += ", holds " + strings.Join(held, ", ")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case stuck != nil:
		text += "; " + oneLine(stuck)
	case a.trouble != nil:
		text += "; gates stay shut: " + oneLine(a.trouble)
	}
	return redact.Tokens(text)
}

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// rebindWait is how long a restart waits for an address that somebody else has
// taken meanwhile.
const rebindWait = 5 * time.Second

// outage asks Serve to stop for a while.
type outage struct {
	down time.Duration
	back chan struct{} // closed when it serves again
}

// Restart makes the endpoint behave as a DRP server that is restarted: it cuts
// all connections, long polls and websockets, refuses connections for the time
// down, and serves again with the same certificate, objects, tokens and faults.
// What a request that is cut was about to change may have been changed or not.
//
// It returns nil when the endpoint serves again, ErrFault for a negative time,
// and else an error if the endpoint has ended or ctx ends before that; the end of
// ctx does not stop a restart that has begun. If another process takes the address
// meanwhile, the endpoint ends with an error.
func (s *Server) Restart(ctx context.Context, down time.Duration) error {
	if down < 0 {
		return fmt.Errorf("%w: down: expected 0 or more, found %s", ErrFault, down)
	}
	again := outage{down, make(chan struct{})}
	select {
	case s.restarts <- again:
	case <-s.stopped:
		return errStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-again.back:
		return nil
	case <-s.stopped:
		return errStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errStopped = errors.New("endpoint: it has ended")

// comeBack binds the address again after a while. It returns no listener if ctx
// ends before.
func (s *Server) comeBack(ctx context.Context, down time.Duration) (net.Listener, error) {
	s.log.Info("restart", "down", down)
	for limit := time.Now().Add(down + rebindWait); ; down = 50 * time.Millisecond {
		timer := time.NewTimer(down)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil
		}
		listener, err := net.Listen("tcp", s.listener.Addr().String())
		if err == nil {
			return listener, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(limit) {
			return nil, fmt.Errorf("endpoint: restart: %w", err)
		}
	}
}

package agent

import (
	"context"
	"errors"

	"muster/coordinator"
	"muster/election"
	"muster/profile"
)

// ErrStopping means that the agent was told to stop while a command waited.
var ErrStopping = errors.New("agent: stopping")

// kinds names the errors that a command must tell apart on the other side of
// the local socket. The names are stable; the first that matches counts.
var kinds = []struct {
	kind string
	err  error
}{
	{"broken-out", coordinator.ErrBrokenOut},
	{"peer-failed", coordinator.ErrPeerFailed},
	{"superseded", coordinator.ErrSuperseded},
	{"timed-out", coordinator.ErrTimeout},
	{"expired", coordinator.ErrExpired},
	{"usage", ErrUsage},
	{"no-slot", election.ErrNoSlot},
	{"locked", ErrLocked},
	{"state", ErrState},
	{"step-unknown", ErrStepUnknown},
	{"usage", coordinator.ErrUsage},
	{"self-wait", coordinator.ErrSelfWait},
	{"twin", profile.ErrTwin},
	{"forgotten", profile.ErrForgotten},
	{"refused", profile.ErrRefused},
	{"not-seeded", profile.ErrNotSeeded},
	{"malformed", profile.ErrMalformed},
	{"not-found", profile.ErrNotFound},
	{"unset", profile.ErrUnset},
	{"invalid", profile.ErrInvalid},
	{"criteria", profile.ErrCriteria},
	{"no-such", profile.ErrNoSuch},
	{"unknown-outcome", profile.ErrUnknownOutcome}, // also of what then lost: it may have landed
	{"not-now", profile.ErrNotNow},
	{"open-round", profile.ErrOpenRound},
	{"lost", profile.ErrLost},
	{"conflict", profile.ErrConflict},
	{"unavailable", profile.ErrUnavailable},
	{"stopping", ErrStopping},
	{"stopping", context.Canceled},
	{"deadline", context.DeadlineExceeded},
}

// fault is an error on its way over the socket.
type fault struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func toFault(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{Kind: "failed", Message: err.Error()}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			f.Kind = k.kind
			break
		}
	}
	return f
}

// err returns an error that reads as the original did and is, for errors.Is,
// the sentinel of its kind.
func (f *fault) err() error {
	if f == nil {
		return nil
	}
	for _, k := range kinds {
		if k.kind == f.Kind {
			return remoteError{message: f.Message, kind: k.err}
		}
	}
	return errors.New(f.Message)
}

type remoteError struct {
	message string
	kind    error
}

func (e remoteError) Error() string { return e.message }
func (e remoteError) Unwrap() error { return e.kind }

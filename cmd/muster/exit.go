package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"muster/agent"
	"muster/config"
	"muster/coordinator"
	"muster/election"
	"muster/install"
	"muster/internal/redact"
	"muster/profile"
	"muster/rootstep"
	"muster/steps"
)

// Exit codes. They are part of the interface: never renumbered.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2 // usage, configuration or identity
	exitTimedOut    = 3
	exitLost        = 4 // lost the race, or the guard did not hold
	exitUnreachable = 5 // endpoint
	exitRefused     = 6 // token
	exitBrokenOut   = 7
	exitPeerFailed  = 8
	exitSlotLost    = 9
	exitSuperseded  = 10
)

// errUsage is a fault in how the command was called.
var errUsage = errors.New("usage")

// childExit is the exit code of a command that muster ran.
type childExit int

func (c childExit) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// codes maps errors to exit codes; the first that matches counts.
var codes = []struct {
	err  error
	code int
}{
	{errSlotLost, exitSlotLost},
	{coordinator.ErrBrokenOut, exitBrokenOut},
	{coordinator.ErrPeerFailed, exitPeerFailed},
	{coordinator.ErrSuperseded, exitSuperseded},
	{coordinator.ErrTimeout, exitTimedOut},
	{coordinator.ErrExpired, exitTimedOut},
	{errUsage, exitUsage},
	{config.ErrInvalid, exitUsage},
	{install.ErrInvalid, exitUsage},
	{steps.ErrInvalid, exitUsage},
	{rootstep.ErrHelper, exitUsage},
	{agent.ErrUsage, exitUsage},
	{election.ErrNoSlot, exitUsage},
	{agent.ErrLocked, exitUsage},
	{agent.ErrState, exitUsage},
	{coordinator.ErrUsage, exitUsage},
	{coordinator.ErrSelfWait, exitUsage},
	{profile.ErrTwin, exitUsage},
	{profile.ErrForgotten, exitUsage},
	{profile.ErrRefused, exitRefused},
	{profile.ErrNotSeeded, exitUsage},
	{profile.ErrMalformed, exitUsage},
	{profile.ErrNotFound, exitUsage},
	{profile.ErrInvalid, exitUsage},
	{profile.ErrCriteria, exitUsage},
	{profile.ErrNoSuch, exitUsage},
	{profile.ErrUnknownOutcome, exitUnreachable}, // also of what then lost: it may have landed
	{profile.ErrNotNow, exitLost},
	{profile.ErrOpenRound, exitLost},
	{profile.ErrLost, exitLost},
	{profile.ErrConflict, exitLost},
	{profile.ErrUnavailable, exitUnreachable},
	{agent.ErrStopping, exitUnreachable},
	{context.DeadlineExceeded, exitTimedOut},
}

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if child, ok := errors.AsType[childExit](err); ok {
		return int(child)
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return exitFailed
}

// message is what is said about err on stderr; "" for nothing, as when a
// command that muster ran has spoken for itself. It is one line, whatever names
// and values of the profile it repeats.
func message(err error) string {
	if err == nil {
		return ""
	}
	if _, ok := err.(childExit); ok {
		return ""
	}
	return clean(strings.ReplaceAll(redact.Tokens(err.Error()), "\n", "; "))
}

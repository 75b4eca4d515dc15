//go:build !linux

package guard

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// Child is a command in the care of a guard. There is none on this system.
type Child struct{}

// Main returns: no process is a guard on this system.
func Main() {}

// Start refuses: a tree that forks cannot be followed on this system.
func Start(Config) (*Child, error) {
	return nil, fmt.Errorf("guard: %w: a command can only be run with a deadline for all that it starts on Linux, and this is %s", errors.ErrUnsupported, runtime.GOOS)
}

// Limit does nothing.
func (*Child) Limit(context.Context, Deadlines) error { return ErrEnded }

// Signal does nothing.
func (*Child) Signal(syscall.Signal) error { return ErrEnded }

// Wait does nothing.
func (*Child) Wait() (int, error) { return 0, ErrGuard }

// OwnCgroup returns none.
func OwnCgroup() (string, error) { return "", errors.ErrUnsupported }

// Populated says yes: nobody can tell.
func Populated(string) bool { return true }

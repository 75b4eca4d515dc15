package guard

import (
	"errors"
	"os"
	"syscall"
)

var (
	// ErrStart means that the command could not be started; nothing of it runs.
	ErrStart = errors.New("guard: the command could not be started")
	// ErrGuard means that the guard ended before its command. The tree is dead,
	// and how the command would have ended is not known.
	ErrGuard = errors.New("guard: the guard process ended before its command, which was killed")
	// ErrDeadline means that the command was told to end, or killed, because of
	// its deadlines.
	ErrDeadline = errors.New("guard: the command was ended at its deadline")
	// ErrEnded means that what was asked for came after the command's end.
	ErrEnded = errors.New("guard: the command has ended")
)

// Config is what Start needs. The command has the standard streams and the
// working directory of this process.
type Config struct {
	Path string   // of the command's file
	Args []string // of the command, its name first
	Env  []string // of the command, as os.Environ has it; the guard's own as well, so no secrets
	// User is that of the command, which root alone may choose; nil is this process's.
	User *syscall.Credential
	// Deadlines are those to begin with; the zero value is none.
	Deadlines Deadlines
	// Conn, unless nil, is inherited by the guard and stays open as long as it
	// or this process lives. The guard writes LastWords on it if this process
	// ended first, once the tree is dead.
	Conn      *os.File
	LastWords string
}

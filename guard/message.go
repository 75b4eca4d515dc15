package guard

import "syscall"

// name is the guard's argv[0], by which Main knows that it is one. The command
// and its arguments follow.
const name = "muster-guard"

// Files that the guard inherits beside the standard streams.
const (
	fdOrders  = 3
	fdReports = 4
	fdConn    = 5
)

// order is a line from the starter to the guard. The first says it all, those
// after it have new deadlines.
type order struct {
	Deadlines
	Cgroup    string `json:"cgroup,omitempty"` // directory, or "" for none
	LastWords string `json:"last_words,omitempty"`
	Conn      bool   `json:"conn,omitempty"` // fdConn is there
	// User is that of the command, or nil for the guard's.
	User *syscall.Credential `json:"user,omitempty"`
}

// report is a line from the guard to the starter; one of its fields is set.
type report struct {
	Started  int        `json:"started,omitempty"`  // process id of the command, and of its group
	Failed   string     `json:"failed,omitempty"`   // why the command could not be started
	Accepted *Deadlines `json:"accepted,omitempty"` // which the guard keeps from now on
	Overdue  bool       `json:"overdue,omitempty"`  // the command was told to end, or is killed, at its deadline
	Ended    *int       `json:"ended,omitempty"`    // the tree is dead; the command's exit code
}

package profile

import (
	"context"
	"time"
)

// Machine is what a member reads of its own DRP machine.
type Machine struct {
	UUID     string
	Name     string
	Address  string
	Profiles []string
	Workflow string
	// Complete is WorkflowComplete, or, where the endpoint has no such field,
	// that all tasks of a workflow are done.
	Complete bool
	Runnable bool
	Task     int    // CurrentTask: index into the tasks, -1 before the first
	Job      string // CurrentJob, or ""
	JobState string // of the current job; "" when it cannot be read
	Leader   bool   // the machine's own cluster/leader param
	Manager  bool   // the machine's own cluster/manager param
	Version  string // ETag, or ""
}

// Idle reports whether the machine has no workflow, or is done with the one it has.
func (m Machine) Idle() bool { return m.Workflow == "" || m.Complete }

// MachineStore reads and marks one's own DRP machine, with the machine's own
// token. Errors and concurrency are as those of Store.
type MachineStore interface {
	// Read returns the machine.
	Read(ctx context.Context) (Machine, error)
	// Changed is as Store.Changed.
	Changed(ctx context.Context, since string, wait time.Duration) (string, error)
	// Mark sets the machine's own cluster/leader param, and its icon: an
	// anchor for a leader, else the one it had before. It mirrors the slots
	// for people and old scripts; nothing is decided by it.
	Mark(ctx context.Context, leader bool) error
}

// Icons that Mark deals in, and where it keeps the machine's own icon.
const (
	LeaderIcon   = "anchor"
	KeptIconMeta = "muster-icon"
)

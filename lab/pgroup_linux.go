package lab

import "syscall"

// groupLeader makes a process the leader of a group, and ends it with this one
// even if this one is killed.
func groupLeader() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

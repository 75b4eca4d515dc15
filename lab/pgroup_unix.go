//go:build unix && !linux

package lab

import "syscall"

// groupLeader makes a process the leader of a group. It outlives this one if
// this one is killed.
func groupLeader() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

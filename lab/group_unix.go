//go:build unix

package lab

import (
	"os"
	"os/signal"
	"syscall"
)

// endGroup terminates what tasks have left running, if this process leads its
// process group and they are therefore certain to be its own. The process itself
// ignores SIGTERM from then on.
func endGroup() {
	if syscall.Getpgrp() != os.Getpid() {
		return
	}
	signal.Ignore(syscall.SIGTERM)
	_ = syscall.Kill(0, syscall.SIGTERM) // a group that holds its leader exists
}

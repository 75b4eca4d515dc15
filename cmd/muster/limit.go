package main

import (
	"fmt"
	"io"
	"syscall"
	"time"
)

// limit ends a command that takes too long.
type limit struct {
	after  time.Duration // 0 is never
	stderr io.Writer
	timer  *time.Timer
	told   bool // the command was told to end
}

// start begins to count, and returns what stops that.
func (l *limit) start() (stop func()) {
	l.timer = time.NewTimer(l.after)
	if l.after == 0 {
		l.timer.Stop()
	}
	return func() { l.timer.Stop() }
}

// due delivers when the signal is to be sent.
func (l *limit) due() <-chan time.Time { return l.timer.C }

// signal is what is to be sent now: TERM, and KILL endFor later.
func (l *limit) signal() syscall.Signal {
	if l.told {
		return syscall.SIGKILL
	}
	l.told = true
	l.timer.Reset(endFor)
	fmt.Fprintf(l.stderr, "the command is ended: it has run for %s\n", l.after)
	return syscall.SIGTERM
}

// Command muster is the agent that runs on every machine of a cluster, and the
// command line through which people, tasks and scripts use it.
//
// Results go to stdout, progress and errors to stderr. The exit codes are
// stable: see exit.go. Tokens are read from files or the environment, never
// from arguments.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"muster/guard"
	"muster/profile/drp"
)

func main() {
	guard.Main() // a process that keeps a command of muster lead to its deadlines
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends this process at once
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	cmd := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv})
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if errors.Is(err, drp.ErrDryRun) {
		err = nil // what would be sent was shown
	}
	if text := message(err); text != "" {
		fmt.Fprintln(os.Stderr, "muster:", text)
	}
	return exitCode(err)
}

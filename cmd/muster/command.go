package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"muster/steps"
)

// command is what muster runs.
type command struct {
	path  string
	args  []string            // its name first
	env   []string            // as os.Environ has it
	user  *syscall.Credential // nil is the user of this process
	limit *limit
}

// newCommand finds the command in PATH. user is a name, or "" for the user of this
// process. Whoever it runs as, it gets no credentials of operators.
func newCommand(args []string, user string, late *limit) (command, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return command{}, fmt.Errorf("%w: %w", errUsage, err)
	}
	c := command{path: path, args: args, env: without(os.Environ(), "RS_TOKEN", "RS_KEY"), limit: late}
	if user == "" {
		return c, nil
	}
	account, err := steps.Account(user)
	if err != nil {
		return command{}, fmt.Errorf("%w: --user: %w", errUsage, err)
	}
	c.env = append(without(c.env, "HOME", "USER", "LOGNAME", "SHELL"), "HOME="+account.HomeDir, "USER="+account.Username, "LOGNAME="+account.Username)
	if account.Uid == strconv.Itoa(os.Geteuid()) {
		return c, nil
	}
	c.user, err = steps.Credential(account)
	return c, err
}

// without returns an environment without these variables.
func without(env []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name)
	})
}

// execute runs the command in a process group of its own, passes the end that
// is asked for on to all of it, and returns its exit code. As a shell says it,
// that is 128 + the signal's number if a signal ended it, and 126, with an
// error, if it could not be started. When it is late, the group is ended.
func (c command) execute(ctx context.Context) (int, error) {
	cmd := exec.CommandContext(ctx, c.path, c.args[1:]...)
	cmd.Args[0], cmd.Env = c.args[0], c.env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.user}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return 126, fmt.Errorf("run %s: %w", c.args[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer c.limit.start()()
	var err error
	for running := true; running; {
		select {
		case err = <-ended:
			running = false
		case <-c.limit.due():
			syscall.Kill(-cmd.Process.Pid, c.limit.signal()) // it may have ended
		}
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

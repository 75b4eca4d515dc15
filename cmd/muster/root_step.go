package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"muster/agent"
	"muster/guard"
	"muster/profile"
	"muster/rootstep"
)

// newRootStep returns the helper of root steps. It is hidden: muster-root@.service
// alone runs it.
func newRootStep(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "root-step",
		Short:  "Run the one step that is asked for on the connection that is standard input",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn := os.Stdin
			none, err := os.Open(os.DevNull)
			if err != nil {
				return err
			}
			os.Stdin = none // the connection is not the command's
			cfg := rootstep.Config{
				Dir: a.cfg.StepsDir, Env: without(stepEnvironment(os.Environ()), "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "REMOTE_ADDR", "REMOTE_PORT"),
				Log: hclog.New(&hclog.LoggerOptions{Output: a.stderr, Level: hclog.LevelFromString(a.cfg.LogLevel), DisableTime: true}), // the journal has it
			}
			if u, err := user.Lookup("muster"); err == nil {
				if uid, err := strconv.Atoi(u.Uid); err == nil {
					cfg.Users = append(cfg.Users, uid)
				}
			}
			return rootstep.Serve(cmd.Context(), conn, cfg)
		},
	}
}

// rootStep is a step that the helper of this host runs. On nil, which is any other
// step, open and close do nothing.
type rootStep struct {
	socket, file string
	run          *rootstep.Run // once it is open
}

// open asks the helper whether it will run the step, before the start of it is noted.
func (r *rootStep) open(ctx context.Context) (err error) {
	if r != nil {
		r.run, err = rootstep.Open(ctx, r.socket, r.file)
	}
	return err
}

func (r *rootStep) close() {
	if r != nil && r.run != nil {
		r.run.Close()
	}
}

// execute is command.execute.
func (r *rootStep) execute(ctx context.Context) (int, error) {
	if err := r.run.Start(guard.Deadlines{}, nil); err != nil {
		return r.unable(err)
	}
	defer context.AfterFunc(ctx, func() { r.run.Signal(syscall.SIGTERM) })()
	code, err := r.run.Wait()
	if err != nil {
		return exitFailed, err
	}
	return code, nil
}

func (r *rootStep) unable(err error) (int, error) {
	if errors.Is(err, guard.ErrStart) {
		return 126, fmt.Errorf("run the command of %s: %w", r.file, err)
	}
	return exitFailed, err
}

// under begins the command under a slot.
func (r *rootStep) under(granted agent.LeadLine) error {
	return r.run.Start(guard.Deadlines{Term: granted.Term, Kill: granted.Kill}, tenureOf(*granted.Tenure))
}

func tenureOf(t profile.Tenure) *rootstep.Tenure {
	return &rootstep.Tenure{Role: t.Role, Slot: t.Slot, Epoch: t.Epoch, Instance: t.Instance}
}

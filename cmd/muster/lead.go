package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/coordinator"
	"muster/profile"
)

// errSlotLost means that the command was ended because its slot was lost.
var errSlotLost = errors.New("the slot was lost, and the command was ended")

func newLead(a *app) *cobra.Command {
	var slots int
	var ttl string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "lead ROLE [--slots N] [--ttl DURATION] [--wait DURATION] -- COMMAND [ARG...]",
		Short: "Run a command on this host while it holds a slot of a role",
		Long: "Waits until this host holds a slot of ROLE, runs COMMAND and returns its exit code. While the command\n" +
			"runs nobody else holds that slot. If it is lost, or given up for another host, the command is told to\n" +
			"end (TERM), and it and all that it started is dead before another host starts the same; exit code 9.\n" +
			"When the command ends the slot is given back, if the role is on demand, as roles are that are made here.\n\n" +
			"A role that the profile does not have is made with --slots and --ttl: with a ttl the slot is a lease and\n" +
			"another host takes over when this one dies; without, it stays with a host that is dead. If the role is\n" +
			"there, they must be what it has. With a lease COMMAND is told to end after 7/12 of the ttl without a\n" +
			"renewal, and killed by 2/3; if the slot is given up earlier, at once, and killed after at most 10s. Stopping\n" +
			"the agent gives up leases, and so ends their commands; killed, it may come back and the command goes on.\n\n" +
			"COMMAND runs in a process group of its own, in the background of a terminal: signals for muster lead are\n" +
			"passed on to all of the group, as Ctrl-C is. Its environment has MUSTER_ROLE, MUSTER_SLOT, MUSTER_EPOCH\n" +
			"and MUSTER_INSTANCE, which fence what it does elsewhere, and no RS_TOKEN or RS_KEY.",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 {
				return fmt.Errorf("%w: expected one role, -- and a command; see `muster lead --help`", errUsage)
			}
			if wait < 0 {
				return fmt.Errorf("%w: --wait: expected a positive duration, or 0 for ever, found %s", errUsage, wait)
			}
			ask := agent.LeadAsk{Role: args[0]}
			if cmd.Flags().Changed("slots") {
				if slots < 1 {
					return fmt.Errorf("%w: --slots: expected 1 or more, found %d", errUsage, slots)
				}
				ask.Slots = slots
			}
			if cmd.Flags().Changed("ttl") {
				if _, err := profile.ParseTTL(ttl); err != nil {
					return fmt.Errorf("%w: --ttl: %w", errUsage, err)
				}
				ask.TTL = &ttl
			}
			command, err := newCommand(args[1:], "", &limit{})
			if err != nil {
				return err
			}
			return a.lead(cmd.Context(), wait, &lead{stderr: a.stderr, ask: ask, command: command})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&slots, "slots", 1, "slots of the role, if it is to be made")
	flags.StringVar(&ttl, "ttl", "", "how long a slot outlives its host's last sign of life, if the role is to be made")
	flags.DurationVar(&wait, "wait", 0, "give up after this time without a slot (exit 3); 0 waits for ever")
	return cmd
}

// lead runs a command through the agent, or as the member where there is none.
func (a *app) lead(ctx context.Context, wait time.Duration, l *lead) error {
	var stop func()
	l.signals, stop = catchSignals() // from now on: none is lost between waiting and running
	defer stop()
	running := context.WithoutCancel(ctx)
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, wait, coordinator.ErrTimeout)
		defer cancel()
	}
	client, member, err := a.turn(ctx, wait, true)
	if err != nil {
		return err
	}
	if client != nil {
		l.connect, l.mayReturn = client.Lead, true
		return l.run(ctx, running)
	}
	defer member.Close()
	joining, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if err := member.Join(joining, false); err != nil {
		return err
	}
	l.connect = member.Lead
	return member.Do(running, func(running context.Context) error { return l.run(ctx, running) })
}

// passedOn are the signals that muster lead passes on to its command.
var passedOn = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// catchSignals catches what a command in the background of a terminal would
// miss: all signals that people and service managers send, but for those that
// this process was told to ignore.
func catchSignals() (caught <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 16)
	for _, s := range passedOn {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	return c, func() { signal.Stop(c) }
}

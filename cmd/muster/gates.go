package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/coordinator"
	"muster/profile"
)

func newWaitLeader(a *app) *cobra.Command {
	var p agent.Passing
	gate := coordinator.Gate{Kind: coordinator.GateLeader}
	cmd := &cobra.Command{
		Use:   "leader ROLE",
		Short: "Block until slots of a role are held",
		Long: "Blocks until all slots of ROLE are held, or --count of them. A sticky slot counts as long as it is held, though\n" +
			"its holder may be dead: nobody monitors it. A lease counts once it was seen to be renewed. Whatever goes\n" +
			"wrong, the wait does not succeed; started again it goes on.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("count") && gate.Count < 1 {
				return fmt.Errorf("%w: --count: expected 1 or more, found %d", errUsage, gate.Count)
			}
			gate.Name = args[0]
			p.Gates = []coordinator.Gate{gate}
			return a.pass(cmd.Context(), p)
		},
	}
	cmd.Flags().IntVar(&gate.Count, "count", 0, "so many slots are enough; all of them else")
	timeoutFlag(cmd, &p.Timeout)
	return cmd
}

func newWaitParam(a *app) *cobra.Command {
	var p agent.Passing
	var equals string
	gate := coordinator.Gate{Kind: coordinator.GateParam}
	cmd := &cobra.Command{
		Use:   "param KEY",
		Short: "Block until a param of the cluster profile is set",
		Long: "Blocks until the cluster profile itself has KEY with a value other than null: no default of DRP counts, and\n" +
			"no answer that cannot be read. With --equals the value must be that one, with --count it must be a list or an\n" +
			"object of at least so many entries. Whatever goes wrong, the wait does not succeed; started again it goes on.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("count") && gate.Count < 1 {
				return fmt.Errorf("%w: --count: expected 1 or more, found %d", errUsage, gate.Count)
			}
			if cmd.Flags().Changed("equals") {
				if gate.Count > 0 {
					return fmt.Errorf("%w: --equals and --count: give one of them", errUsage)
				}
				gate.Equals = profile.ParseValue(equals)
			}
			gate.Name = args[0]
			p.Gates = []coordinator.Gate{gate}
			return a.pass(cmd.Context(), p)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&equals, "equals", "", "wait for this value (JSON; what is no JSON is taken as a string)")
	flags.IntVar(&gate.Count, "count", 0, "wait for a list or an object of at least so many entries")
	timeoutFlag(cmd, &p.Timeout)
	return cmd
}

func timeoutFlag(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "timeout", 0, "give up after this time (exit 3)")
}

// pass waits at gates through the agent, as the member, or as an observer where
// this host is none.
func (a *app) pass(ctx context.Context, p agent.Passing) error {
	if p.Timeout < 0 {
		return negative(p.Timeout)
	}
	if a.isMember() || reachable(a.cfg.Socket) {
		return a.local(ctx, p.Timeout, func(ctx context.Context, l agent.Local) error {
			_, err := l.Pass(ctx, p, a.waits)
			return err
		})
	}
	observer, err := a.observer()
	if err != nil {
		return err
	}
	_, err = observer.Pass(ctx, p, a.waits)
	return err
}

// waits says on stderr what is waited for.
func (a *app) waits(text string) { fmt.Fprintln(a.stderr, clean("waiting: "+text)) }

// observer returns what waits where this host is no member.
func (a *app) observer() (agent.Observer, error) {
	client, err := a.client()
	if err != nil {
		return agent.Observer{}, err
	}
	store, err := a.store()
	if err != nil {
		return agent.Observer{}, err
	}
	observer := agent.Observer{Store: store, UUID: a.cfg.UUID, Logger: a.logger()}
	if auth, err := a.operator(); err == nil && a.cfg.UUID != "" {
		observer.Machine = client.Machine(a.cfg.UUID, auth)
	}
	return observer, nil
}

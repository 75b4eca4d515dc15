package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
)

func newArrive(a *app) *cobra.Command {
	var wait bool
	var timeout time.Duration
	cmd := a.dryRunFlag(&cobra.Command{
		Use:   "arrive BARRIER",
		Short: "Say that this member has arrived at a barrier, and wait there for the others",
		Long: "Records that this member has arrived at BARRIER in the present round. With --wait it then blocks until all\n" +
			"have: the way to meet the others in the middle of a workflow, where waiting for workflows to complete would\n" +
			"be to wait for oneself. The first to arrive opens the barrier, with the criteria that it asks for; who asks\n" +
			"for other criteria after that gets exit 2. To arrive again changes nothing. A job of an earlier round is\n" +
			"refused (exit 10).",
		Args: cobra.ExactArgs(1),
	})
	flags := cmd.Flags()
	flags.BoolVar(&wait, "wait", false, "wait for the barrier's verdict, as `muster wait complete` does")
	flags.DurationVar(&timeout, "timeout", 0, "with --wait: give up waiting after this time (exit 3); the arrival stands")
	asks := criteriaFlags(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if timeout < 0 {
			return negative(timeout)
		}
		asked, err := asks.asked()
		if err != nil {
			return err
		}
		in := agent.Arrival{Barrier: args[0], Asked: asked}
		return a.local(cmd.Context(), timeout, func(ctx context.Context, l agent.Local) error {
			if a.dryRun {
				return a.preview(ctx, l, agent.Intent{Arrive: &in})
			}
			round, err := a.arrive(ctx, l, in)
			if err != nil || !wait {
				return err
			}
			outcome, err := l.Wait(ctx, agent.Waiting{Timeout: timeout, InJob: a.inJob(), Barrier: in.Barrier, Asked: asked, Round: round.N}, a.progress)
			if err == nil {
				fmt.Fprintln(a.stdout, outcome.Verdict)
			}
			return err
		})
	}
	return cmd
}

// arrive arrives, and says where.
func (a *app) arrive(ctx context.Context, l agent.Local, in agent.Arrival) (profile.Round, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	round, err := l.Arrive(ctx, in)
	if err == nil {
		fmt.Fprintf(a.stderr, "arrived at %s in round %d\n", clean(in.Barrier), round.N)
	}
	return round, err
}

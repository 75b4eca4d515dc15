package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
)

func newAgent(a *app) *cobra.Command {
	var newLife bool
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run this machine's member of the cluster",
		Long: "Joins the cluster, competes for leader slots, watches this machine's workflow and serves the local\n" +
			"socket for the other commands, until it is told to stop (SIGTERM). Slots are sticky: they are kept.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.agentConfig()
			if err != nil {
				return err
			}
			cfg.NewLife = newLife
			member, err := agent.Open(cfg)
			if err != nil {
				return err
			}
			defer member.Close()
			ctx := cmd.Context()
			if err := member.Join(ctx, true); err != nil {
				return stopped(ctx, err)
			}
			return stopped(ctx, member.Run(ctx))
		},
	}
	cmd.Flags().BoolVar(&newLife, "new-life", false, "take the machine's record over from whoever has it, and start anew")
	return cmd
}

// stopped turns the end that was asked for into success, also where it came
// while the endpoint was away.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	for _, expected := range []error{context.Cause(ctx), context.Canceled, profile.ErrUnavailable, profile.ErrUnknownOutcome} {
		if errors.Is(err, expected) {
			return nil
		}
	}
	return err
}

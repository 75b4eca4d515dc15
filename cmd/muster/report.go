package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
)

func newReport(a *app) *cobra.Command {
	return a.dryRunFlag(&cobra.Command{
		Use:   "report running|complete|failed",
		Short: "Say how this machine's workflow stands, where the agent has no machine token",
		Long: "For members without a machine token: a task at the start of the workflow reports running, one at its\n" +
			"end reports complete or failed. The result counts for the round in which running was reported.",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{profile.Running, profile.Complete, profile.Failed},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			return a.local(ctx, 0, func(ctx context.Context, l agent.Local) error {
				if a.dryRun {
					return a.preview(ctx, l, agent.Intent{Report: args[0]})
				}
				round, err := l.Report(ctx, args[0])
				if err == nil {
					fmt.Fprintf(a.stdout, "%s in round %d\n", args[0], round)
				}
				return err
			})
		},
	})
}

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"muster/agent"
)

func newResign(a *app) *cobra.Command {
	return a.dryRunFlag(&cobra.Command{
		Use:   "resign ROLE",
		Short: "Give up the slot of a role that this host holds",
		Long: "Ends whatever runs under the slot (`muster lead`), frees it, and leaves the role to other members until\n" +
			"one of them held it, or for 10 s. Exit 2 if this host holds no slot of the role.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			if a.dryRun {
				return a.local(ctx, 0, func(ctx context.Context, l agent.Local) error {
					return a.preview(ctx, l, agent.Intent{Resign: args[0]})
				})
			}
			return a.leading(ctx, 0, func(ctx context.Context, l agent.Local) error {
				t, err := l.Resign(ctx, args[0])
				if err == nil {
					fmt.Fprintf(a.stdout, "%s/%s is free\n", clean(t.Role), clean(t.Slot))
				}
				return err
			})
		},
	})
}

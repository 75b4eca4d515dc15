package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"muster/profile"
)

func newRound(a *app) *cobra.Command {
	var spec profile.RoundSpec
	var asks *criteria
	cmd := a.mutation(&cobra.Command{
		Use:   "round",
		Short: "Open the next round (before its workflows are started)",
		Long: "Opens the next round and plants its barrier, with the criteria that are given. Refused (exit 4) while a\n" +
			"barrier of the present round has no verdict, unless --force gives it up as superseded. Needs RS_TOKEN or RS_KEY.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if spec.Criteria, err = asks.criteria(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			store, d, err := a.open(ctx)
			if err != nil {
				return err
			}
			now, err := d.Round()
			if err != nil {
				return err
			}
			spec.After = now.N
			if d, err = a.write(ctx, store, spec.Plan); err != nil {
				return fmt.Errorf("open round %d: %w", now.N+1, err)
			}
			opened, err := d.Round()
			if err != nil {
				return err
			}
			return a.print(opened, func(w io.Writer) { fmt.Fprintf(w, "round %d is open\n", opened.N) })
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&spec.Workflow, "workflow", "", "what the machines are to run, for people")
	asks = criteriaFlags(flags)
	flags.BoolVar(&spec.Force, "force", false, "give the present round up though it has no verdict")
	return cmd
}

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"muster/profile"
)

func newPause(a *app) *cobra.Command {
	return a.pausing(true, &cobra.Command{
		Use:   "pause",
		Short: "Keep everybody from claiming slots; who holds one keeps it",
	}, "nobody claims a slot until `muster resume`")
}

// pausing completes a command that sets muster/paused.
func (a *app) pausing(paused bool, cmd *cobra.Command, text string) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
		defer cancel()
		store, _, err := a.open(ctx)
		if err != nil {
			return err
		}
		if _, err := a.write(ctx, store, profile.Pause(paused)); err != nil {
			return err
		}
		return a.print(map[string]bool{"paused": paused}, func(w io.Writer) { fmt.Fprintln(w, text) })
	}
	return a.mutation(cmd)
}

package main

import (
	"github.com/spf13/cobra"

	"muster/profile"
)

func newAdd(a *app) *cobra.Command {
	var asks editing
	cmd := a.mutation(&cobra.Command{
		Use:   "add KEY VALUE|-",
		Short: "Set a param of the cluster profile, only if it is not there",
		Long: "Sets KEY to VALUE, as `muster set` does, only if KEY is not set: of many that try, one succeeds. The others get\n" +
			"exit 4, with what was found.\n\n" + whoWrites,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.edit(cmd, asks, profile.Edit{Key: args[0], New: true}, args[1])
		},
	})
	asks.stringFlag(cmd)
	asks.fencedFlag(cmd)
	return cmd
}

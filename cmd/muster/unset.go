package main

import (
	"github.com/spf13/cobra"

	"muster/profile"
)

func newUnset(a *app) *cobra.Command {
	var asks editing
	cmd := a.mutation(&cobra.Command{
		Use:   "unset KEY",
		Short: "Take a param of the cluster profile away, on terms",
		Long: "Takes KEY away; what is not set stays so. With --ref OLD only if KEY is OLD (exit 4, with what was found). With\n" +
			"--fenced ROLE only while this command's tenure of ROLE lasts, as for `muster set`.\n\n" + whoWrites,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.edit(cmd, asks, profile.Edit{Key: args[0]}, "")
		},
	})
	cmd.Flags().StringVar(&asks.ref, "ref", "", "unset KEY only if it is this value, JSON or else a string")
	cmd.Flags().BoolVar(&asks.str, "string", false, "take --ref as a string, also if it looks like JSON")
	asks.fencedFlag(cmd)
	return cmd
}

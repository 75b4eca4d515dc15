package main

import "github.com/spf13/cobra"

func newResume(a *app) *cobra.Command {
	return a.pausing(false, &cobra.Command{
		Use:   "resume",
		Short: "Let slots be claimed again after a pause",
	}, "slots may be claimed")
}

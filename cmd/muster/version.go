package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"muster/profile"
)

func newVersion(a *app) *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of the profile's format",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Format  int    `json:"format"` // of the cluster profile
				Go      string `json:"go"`
			}{buildVersion(), profile.Format, runtime.Version()}
			return a.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "muster %s (profile format %d, %s)\n", v.Version, v.Format, v.Go)
			})
		},
	})
}

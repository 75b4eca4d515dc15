package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"muster/lab"
)

// newBundle makes content packs, for `make content`. It is hidden: others have drpcli.
func newBundle(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:    "bundle DIR VERSION",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			pack, err := lab.Bundle(os.DirFS(args[0]), args[1])
			if err == nil {
				_, err = fmt.Fprintln(stdout, string(pack))
			}
			return err
		},
	}
}

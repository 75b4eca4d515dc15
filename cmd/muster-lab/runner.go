package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"muster/lab"
)

// newRunner is the body of a runner process of the demo. It is hidden: DRP's
// own runner is what machines have.
func newRunner() *cobra.Command {
	var cfg lab.RunnerConfig
	var tokenFile string
	cmd := &cobra.Command{
		Use:    "runner",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := os.ReadFile(tokenFile)
			if err != nil {
				return fmt.Errorf("%w: --token-file: %w", errUsage, err)
			}
			cfg.Token, cfg.Log = strings.TrimSpace(string(token)), os.Stderr
			return lab.RunRunner(cmd.Context(), cfg)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Endpoint, "endpoint", "", "URL of the endpoint")
	flags.StringVar(&cfg.Machine, "machine", "", "UUID of the machine")
	flags.StringVar(&cfg.CAFile, "ca-file", "", "certificates that vouch for the endpoint")
	flags.StringVar(&tokenFile, "token-file", "", "file that holds the machine token")
	flags.StringVar(&cfg.Dir, "dir", "", "where tasks run")
	return cmd
}

// newNote is the gated step of the demo: it notes when it ran.
func newNote() *cobra.Command {
	return &cobra.Command{
		Use:    "note FILE",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return lab.WriteNote(args[0]) },
	}
}

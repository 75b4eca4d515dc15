package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"muster/endpoint"
)

func newEndpoint() *cobra.Command {
	cmd := &cobra.Command{Use: "endpoint", Short: "Run an embedded DRP endpoint, and work on it or on any other", Args: cobra.NoArgs, RunE: showHelp}
	var cfg endpoint.Config
	var caFile, logLevel string
	serve := &cobra.Command{
		Use:   "serve",
		Short: "Serve the DRP API over TLS, in memory or from a file, until told to stop",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := hclog.LevelFromString(logLevel)
			if level == hclog.NoLevel {
				return fmt.Errorf("%w: --log-level: expected trace, debug, info, warn, error or off, found %q", errUsage, logLevel)
			}
			cfg.Logger = hclog.New(&hclog.LoggerOptions{Name: "endpoint", Level: level, Output: cmd.ErrOrStderr()})
			if cfg.Compat != "" && cfg.Compat != "3.13" {
				return fmt.Errorf("%w: --compat: expected 3.13, found %q", errUsage, cfg.Compat)
			}
			server, err := endpoint.New(cfg)
			if err != nil {
				return err
			}
			if caFile != "" {
				if err := os.WriteFile(caFile, server.CertPEM(), 0o644); err != nil {
					return errors.Join(err, server.Close())
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "endpoint     %s\nuser         %s\npassword     %s\nfingerprint  %s\n",
				server.URL(), endpoint.DefaultUser, endpoint.DefaultPassword, server.Fingerprint())
			return server.Serve(cmd.Context())
		},
	}
	serve.Flags().StringVar(&cfg.Listen, "listen", endpoint.DefaultListen, "address to listen on; with port 0 any free one")
	serve.Flags().StringVar(&cfg.Compat, "compat", "", "3.13: behave as the last public DRP server")
	serve.Flags().StringVar(&cfg.Data, "data", "", "file to keep everything in, made if it is not there; job logs and uploads lie beside it in FILE.d")
	serve.Flags().StringVar(&cfg.Control, "control", "", "path of a Unix socket, for this user only, for the commands fault and token profile")
	serve.Flags().StringVar(&logLevel, "log-level", "info", "trace (every request), debug (refusals too), info, warn, error or off")
	serve.Flags().StringVar(&caFile, "ca-file", "", "write the endpoint's certificate to this file")
	cmd.AddCommand(serve, newMachine(), newWorkflow(), newToken(), newFault())
	return cmd
}

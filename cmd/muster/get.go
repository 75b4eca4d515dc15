package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
)

func newGet(a *app) *cobra.Command {
	var decode bool
	cmd := a.outputFlag(&cobra.Command{
		Use:   "get KEY",
		Short: "Print a param of the cluster profile",
		Long: "Prints the value of KEY: a string as it is, anything else as JSON; with -o json strings are JSON, too. A param\n" +
			"that is not set, or null, is exit 1. The value of a secure one is shown with --decode alone.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			raw, err := a.get(ctx, args[0], decode)
			if err != nil {
				return err
			}
			return a.print(raw, func(w io.Writer) {
				var text string
				if json.Unmarshal(raw, &text) != nil {
					text = string(raw)
				}
				fmt.Fprintln(w, text)
			})
		},
	})
	cmd.Flags().BoolVar(&decode, "decode", false, "show the value of a secure param, too")
	return cmd
}

// get reads one param, through the agent or directly.
func (a *app) get(ctx context.Context, key string, decode bool) (json.RawMessage, error) {
	client, err := agent.Dial(a.cfg.Socket)
	if err == nil {
		return client.Get(ctx, key, decode)
	}
	if !errors.Is(err, agent.ErrNoAgent) {
		return nil, err
	}
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	return profile.Get(ctx, store, key, decode)
}

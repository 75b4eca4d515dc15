package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
)

func newSet(a *app) *cobra.Command {
	var fenced string
	cmd := a.dryRunFlag(&cobra.Command{
		Use:   "set KEY VALUE --fenced ROLE",
		Short: "Set a param of the cluster profile, only while this command's tenure lasts",
		Long: "Sets KEY to VALUE (JSON; what is no JSON is taken as a string) in one patch that tests the slot's epoch and\n" +
			"instance: once somebody else has held the slot it is refused (exit 4) and changes nothing. The tenure is taken\n" +
			"from the environment that `muster lead` gives: MUSTER_ROLE, MUSTER_SLOT, MUSTER_EPOCH and MUSTER_INSTANCE.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := a.tenure(fenced)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			return a.local(ctx, 0, func(ctx context.Context, l agent.Local) error {
				s := agent.Setting{Key: args[0], Value: valueOf(args[1]), Tenure: t}
				if a.dryRun {
					return a.preview(ctx, l, agent.Intent{Set: &s})
				}
				return l.Set(ctx, s)
			})
		},
	})
	cmd.Flags().StringVar(&fenced, "fenced", "", "role under whose tenure KEY is set (required)")
	return cmd
}

// tenure returns the tenure that the environment names, which must be of role.
func (a *app) tenure(role string) (profile.Tenure, error) {
	if role == "" {
		return profile.Tenure{}, fmt.Errorf("%w: --fenced: name the role under whose tenure the param is set", errUsage)
	}
	t := profile.Tenure{Role: a.getenv("MUSTER_ROLE"), Slot: a.getenv("MUSTER_SLOT"), Instance: a.getenv("MUSTER_INSTANCE")}
	epoch, err := strconv.ParseInt(a.getenv("MUSTER_EPOCH"), 10, 64)
	t.Epoch = epoch
	var faults []error
	for _, v := range []struct {
		name string
		ok   bool
	}{{"MUSTER_ROLE", t.Role == role}, {"MUSTER_SLOT", t.Slot != ""}, {"MUSTER_EPOCH", err == nil && epoch > 0}, {"MUSTER_INSTANCE", t.Instance != ""}} {
		if !v.ok {
			faults = append(faults, fmt.Errorf("%s is %q", v.name, a.getenv(v.name)))
		}
	}
	if len(faults) > 0 {
		return t, fmt.Errorf("%w: --fenced %s: expected the environment of a command that `muster lead %s` runs, but %w", errUsage, role, role, errors.Join(faults...))
	}
	return t, nil
}

// valueOf is what was given on the command line: JSON, or else a string.
func valueOf(word string) json.RawMessage {
	if json.Valid([]byte(word)) {
		return json.RawMessage(word)
	}
	raw, _ := json.Marshal(word) // a string always is
	return raw
}

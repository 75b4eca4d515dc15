package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"muster/profile"
)

func newSet(a *app) *cobra.Command {
	var asks editing
	cmd := a.mutation(&cobra.Command{
		Use:   "set KEY VALUE|-",
		Short: "Set a param of the cluster profile, on terms",
		Long: "Sets KEY to VALUE: JSON, or else a string; - reads it from standard input. With --ref OLD only if KEY is OLD\n" +
			"(exit 4, with what was found). With --fenced ROLE only while this command's tenure of ROLE lasts (exit 4): it is\n" +
			"taken from the environment that `muster lead` gives, MUSTER_ROLE, MUSTER_SLOT, MUSTER_EPOCH and\n" +
			"MUSTER_INSTANCE. Without either the last writer wins. A param that is declared secure is sealed; its value is\n" +
			"taken from standard input alone.\n\n" + whoWrites,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.edit(cmd, asks, profile.Edit{Key: args[0]}, args[1])
		},
	})
	cmd.Flags().StringVar(&asks.ref, "ref", "", "set KEY only if it is this value, JSON or else a string")
	asks.stringFlag(cmd)
	asks.fencedFlag(cmd)
	return cmd
}

// tenure returns the tenure that the environment names, which must be of role.
func (a *app) tenure(role string) (profile.Tenure, error) {
	if role == "" {
		return profile.Tenure{}, fmt.Errorf("%w: --fenced: name the role under whose tenure the param is changed", errUsage)
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

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"muster/lab"
)

func newMachine() *cobra.Command {
	cmd := &cobra.Command{Use: "machine", Short: "Add, list and remove machines", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(newMachineAdd(), newMachineList(), newMachineRemove())
	return cmd
}

func newMachineAdd() *cobra.Command {
	var a access
	var output, workflow string
	var profiles, params []string
	cmd := &cobra.Command{
		Use:   "add NAME...",
		Short: "Add machines",
		Long: "Adds machines, and the profiles that they are to carry if those are not there: as those of a cluster,\n" +
			"with the param cluster/profile naming the profile itself.",
		Example: "  muster-lab endpoint machine add manager --profile k3s --param cluster/manager=true\n" +
			"  muster-lab endpoint machine add node-01 node-02 node-03 --profile k3s",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			values, err := parseParams(params)
			if err != nil {
				return err
			}
			return a.with(func(o *lab.Operator) error {
				made, err := ensureProfiles(cmd, o, profiles)
				added := 0
				if err == nil {
					err = forEach(cmd, output, names, func(ctx context.Context, name string) (lab.MachineState, error) {
						state, err := o.AddMachine(ctx, name, workflow, profiles, values)
						if err == nil {
							added++
						}
						return state, err
					})
				}
				if added > 0 {
					return err
				}
				return errors.Join(err, removeProfiles(cmd, o, made))
			})
		},
	}
	a.flags(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().StringArrayVar(&profiles, "profile", nil, "profile that the machines carry (repeatable)")
	cmd.Flags().StringVar(&workflow, "workflow", "", "workflow that the machines start with")
	cmd.Flags().StringArrayVar(&params, "param", nil, "KEY=VALUE: param of the machines; what is no JSON is a string (repeatable)")
	return cmd
}

// ensureProfiles makes the profiles that are not there, and returns those it made.
func ensureProfiles(cmd *cobra.Command, o *lab.Operator, profiles []string) (made []string, err error) {
	for _, p := range profiles {
		isNew, err := o.EnsureProfile(cmd.Context(), p)
		if err != nil {
			return made, err
		}
		if isNew {
			made = append(made, p)
			fmt.Fprintf(cmd.ErrOrStderr(), "muster-lab: made the profile %s\n", clean(p))
		}
	}
	return made, nil
}

// removeProfiles removes profiles that were made for machines that could not be
// added, also if the command was interrupted meanwhile.
func removeProfiles(cmd *cobra.Command, o *lab.Operator, profiles []string) error {
	var failed []error
	for _, p := range profiles {
		if err := o.RemoveProfile(context.WithoutCancel(cmd.Context()), p); err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "muster-lab: removed the profile %s again\n", clean(p))
	}
	return errors.Join(failed...)
}

func parseParams(words []string) (map[string]any, error) {
	params := map[string]any{}
	for _, w := range words {
		key, text, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%w: --param: expected KEY=VALUE, found %q", errUsage, w)
		}
		if json.Valid([]byte(text)) {
			params[key] = json.RawMessage(text)
		} else {
			params[key] = text
		}
	}
	return params, nil
}

func newMachineList() *cobra.Command {
	var a access
	var output string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List all machines with what their workflows have come to",
		Example: "  muster-lab endpoint machine list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(o *lab.Operator) error {
				all, err := o.Machines(cmd.Context())
				if err != nil {
					return err
				}
				return printMachines(cmd.OutOrStdout(), output, all)
			})
		},
	}
	a.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func newMachineRemove() *cobra.Command {
	var a access
	var output string
	cmd := &cobra.Command{
		Use:     "remove MACHINE...",
		Short:   "Remove machines, by name or UUID",
		Long:    "Removes machines. As on DRP, their tokens stay good until they expire.",
		Example: "  muster-lab endpoint machine remove node-03",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, machines []string) error {
			return a.with(func(o *lab.Operator) error {
				return forEach(cmd, output, machines, o.RemoveMachine)
			})
		},
	}
	a.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

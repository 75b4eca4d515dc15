package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"muster/profile"
)

// replaced is what the command prints.
type replaced struct {
	Old   said     `json:"old"`
	New   said     `json:"new"`
	Slots []string `json:"slots"` // that were freed and are kept for New, as ROLE/NUMBER
}

func newReplace(a *app) *cobra.Command {
	var force bool
	cmd := a.mutation(&cobra.Command{
		Use:   "replace OLD NEW",
		Short: "Put a machine in the place of a member that is gone",
		Long: "Forgets the member OLD and puts NEW, by its machine UUID, in its place: among the expected members, in their\n" +
			"roles and in the priorities. The slots that OLD held are freed and kept for NEW for 10s. Refused (exit 4) while\n" +
			"OLD holds slots, unless --force is given: whatever its host runs under them may go on. Needs RS_TOKEN or RS_KEY.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.replace(cmd.Context(), args[0], args[1], force)
		},
	})
	cmd.Flags().BoolVar(&force, "force", false, "also if OLD holds slots, though its host may still run something under them")
	return cmd
}

func (a *app) replace(ctx context.Context, old, next string, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	store, d, err := a.open(ctx)
	if err != nil {
		return err
	}
	var result replaced
	if result.Old, err = find(d, old); err != nil {
		return err
	}
	if result.New, err = find(d, next); err != nil {
		if !machineUUID.MatchString(next) {
			return fmt.Errorf("%w; a machine that is no member yet is named by its UUID", err)
		}
		result.New = said{UUID: next, Name: next}
	}
	held, err := d.Held(result.Old.UUID)
	if err != nil {
		return err
	}
	plan := profile.Replace{Old: result.Old.UUID, New: result.New.UUID, Force: force}.Plan
	if _, err := a.write(ctx, store, plan); err != nil {
		return err
	}
	a.lookFor(ctx, result.New)
	result.Slots = names(held)
	a.mayGoOn(forgotten{Member: result.Old, Slots: result.Slots})
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s has the place of %s\n", clean(result.New.Name), clean(result.Old.Name))
	})
}

// lookFor says so if the endpoint shows no machine of this UUID: a round would
// wait for it for ever. The credentials may be too narrow to see it.
func (a *app) lookFor(ctx context.Context, machine said) {
	client, auth, err := a.operate()
	if err == nil {
		_, err = client.Machine(machine.UUID, auth).Read(ctx)
	}
	if err != nil {
		a.notice("machine %s cannot be looked at (%v); every round waits for it: make sure that the UUID is right", machine.UUID, err)
	}
}

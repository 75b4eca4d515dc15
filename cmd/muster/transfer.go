package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"muster/profile"
)

func newTransfer(a *app) *cobra.Command {
	var to string
	cmd := a.mutation(&cobra.Command{
		Use:   "transfer ROLE[/SLOT] --to MEMBER",
		Short: "Ask the holder of a slot to hand it to another member",
		Long: "Asks the holder of a slot to end what runs under it and to hand it to another member, and waits up to\n" +
			"30s until that member holds it (exit 3 if it does not by then; the request stays). A free slot is kept for\n" +
			"the member for 10s. The number may be left out if the role has one slot. Needs RS_TOKEN or RS_KEY.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return fmt.Errorf("%w: --to: name the member that is to have the slot; see `%s --help`", errUsage, cmd.CommandPath())
			}
			return a.transfer(cmd.Context(), args[0], to)
		},
	})
	cmd.Flags().StringVar(&to, "to", "", "name or UUID of the member")
	return cmd
}

func (a *app) transfer(ctx context.Context, word, to string) error {
	short, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	store, d, err := a.open(short)
	if err != nil {
		return err
	}
	role, slot, err := d.FindSlot(word)
	if err != nil {
		return err
	}
	member, err := find(d, to)
	if err != nil {
		return err
	}
	if d, err = a.write(short, store, profile.Transfer{Role: role, Slot: slot, To: member.UUID}.Plan); err != nil {
		return err
	}
	var s profile.Slot
	done := func(all allSlots) (bool, error) {
		s = all[role][slot]
		if s.Holder != member.UUID && s.Wanted != member.UUID {
			return false, fmt.Errorf("%w: slot %s/%s %s, and is not kept for %s any more", profile.ErrLost, role, slot, holding(d, s), member.Name)
		}
		return s.Holder == member.UUID, nil
	}
	known := func(all allSlots) string {
		return fmt.Sprintf("slot %s/%s %s, and %s does not hold it yet", role, slot, holding(d, all[role][slot]), member.Name)
	}
	if err := a.handover(ctx, store, done, known); err != nil {
		return err
	}
	return a.print(rowOf(d, role, slot, s), func(w io.Writer) {
		fmt.Fprintf(w, "%s/%s is held by %s\n", clean(role), slot, clean(member.Name))
	})
}

// holding says who holds the slot s.
func holding(d *profile.Document, s profile.Slot) string {
	if s.Free() {
		return "is free"
	}
	return "is held by " + d.NameOf(s.Holder)
}

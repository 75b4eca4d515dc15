package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"muster/profile"
)

// allowed is what the command prints.
type allowed struct {
	Member said   `json:"member"`
	Role   string `json:"role"`
}

func newAllow(a *app) *cobra.Command {
	return a.mutation(&cobra.Command{
		Use:   "allow MEMBER ROLE",
		Short: "Let a member that was evicted claim the role again",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			store, d, err := a.open(ctx)
			if err != nil {
				return err
			}
			member, err := find(d, args[0])
			if err != nil {
				return err
			}
			slots, err := d.Slots()
			if err != nil {
				return err
			}
			if _, ok := slots[args[1]]; !ok {
				return fmt.Errorf("%w: role %q: expected one of %s", profile.ErrNoSuch, args[1], some(sortedKeys(slots)))
			}
			if _, err := a.write(ctx, store, profile.Allow{Member: member.UUID, Role: args[1]}.Plan); err != nil {
				return err
			}
			return a.print(allowed{Member: member, Role: args[1]}, func(w io.Writer) {
				fmt.Fprintf(w, "%s may claim role %s\n", clean(member.Name), clean(args[1]))
			})
		},
	})
}

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"muster/profile"
)

// scaled is what the command prints.
type scaled struct {
	Role     string   `json:"role"`
	Slots    int      `json:"slots"`
	Draining []string `json:"draining"` // slots above the count that are held still, as ROLE/NUMBER
}

func newScale(a *app) *cobra.Command {
	return a.mutation(&cobra.Command{
		Use:   "scale ROLE N",
		Short: "Change how many slots a role has",
		Long: "Changes how many slots a role has, while the cluster runs. New slots are free for everybody. When there are\n" +
			"fewer, the holders of the highest numbers end what runs under them and give them up. Needs RS_TOKEN or RS_KEY.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return fmt.Errorf("%w: N: expected a number of slots, found %q", errUsage, args[1])
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			store, _, err := a.open(ctx)
			if err != nil {
				return err
			}
			d, err := a.write(ctx, store, profile.Scale{Role: args[0], Slots: n}.Plan)
			if err != nil {
				return err
			}
			slots, err := d.Slots()
			if err != nil {
				return err
			}
			result := scaled{Role: args[0], Slots: n, Draining: above(args[0], slots[args[0]], n)}
			return a.print(result, func(w io.Writer) {
				fmt.Fprintf(w, "role %s has %d slots%s\n", clean(result.Role), n, suffix("; draining: ", clean(strings.Join(result.Draining, ", ")), ""))
			})
		},
	})
}

// above lists the slots above the count that somebody holds.
func above(role string, slots map[string]profile.Slot, count int) []string {
	list := []string{}
	for _, number := range profile.SlotNumbers(slots) {
		if i, err := strconv.Atoi(number); err == nil && i > count && !slots[number].Free() {
			list = append(list, role+"/"+number)
		}
	}
	return list
}

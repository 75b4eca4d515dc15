package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"muster/profile"
)

// forgotten is what the command prints.
type forgotten struct {
	Member said     `json:"member"`
	Slots  []string `json:"slots"` // that were freed, as ROLE/NUMBER
}

func newForget(a *app) *cobra.Command {
	var force bool
	cmd := a.mutation(&cobra.Command{
		Use:   "forget MEMBER",
		Short: "Take a member out of the cluster for good",
		Long: "Takes a member out: nobody waits for it any more, its facts are removed and its record is emptied. Its agent,\n" +
			"should it still run, stops by itself when it next writes; it joins again only with --new-life. Refused (exit 4)\n" +
			"while it holds slots, unless --force frees them: whatever its host runs under them may go on. Needs RS_TOKEN\n" +
			"or RS_KEY.",
		Args: cobra.ExactArgs(1),
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
			held, err := d.Held(member.UUID)
			if err != nil {
				return err
			}
			if _, err := a.write(ctx, store, profile.Forget{Member: member.UUID, Force: force}.Plan); err != nil {
				return err
			}
			result := forgotten{Member: member, Slots: names(held)}
			a.mayGoOn(result)
			return a.print(result, func(w io.Writer) { fmt.Fprintf(w, "%s is forgotten\n", clean(member.Name)) })
		},
	})
	cmd.Flags().BoolVar(&force, "force", false, "also if it holds slots, though its host may still run something under them")
	return cmd
}

// mayGoOn says what a forgotten host may still do.
func (a *app) mayGoOn(f forgotten) {
	if len(f.Slots) > 0 {
		a.notice("what runs on %s under %s may go on until its host sees that it is forgotten", f.Member.Name, strings.Join(f.Slots, ", "))
	}
}

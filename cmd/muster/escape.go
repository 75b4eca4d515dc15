package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"muster/profile"
)

func newEscape(a *app) *cobra.Command {
	var clear bool
	cmd := a.mutation(&cobra.Command{
		Use:   "escape [0..4]",
		Short: "Break every wait at the cluster (exit 7), until it is cleared",
		Long: "Sets cluster/escape, whose presence ends every wait with exit 7, whatever its value (default 1): none of them\n" +
			"succeeds. New waits end at once, too. --clear takes it away: from then on members wait again. Verdicts that\n" +
			"become due meanwhile are recorded all the same. Needs RS_TOKEN or RS_KEY.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			escape := profile.Escape{Code: 1, Clear: clear}
			if len(args) > 0 {
				n, err := strconv.Atoi(args[0])
				if err != nil || clear {
					return fmt.Errorf("%w: escape: expected a code of 0 to 4, or --clear, found %q", errUsage, args[0])
				}
				escape.Code = n
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			store, _, err := a.open(ctx)
			if err != nil {
				return err
			}
			d, err := a.write(ctx, store, escape.Plan)
			if err != nil {
				return err
			}
			result := struct {
				Escape bool `json:"escape"`
			}{d.Escaped()}
			return a.print(result, func(w io.Writer) {
				if result.Escape {
					fmt.Fprintf(w, "every wait at profile %s is broken; `muster escape --clear` re-arms\n", clean(d.Name))
				} else {
					fmt.Fprintf(w, "members of profile %s wait again\n", clean(d.Name))
				}
			})
		},
	})
	cmd.Flags().BoolVar(&clear, "clear", false, "let members wait again")
	return cmd
}

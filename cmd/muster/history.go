package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"muster/profile"
)

// eventRow is one change of hands as the command shows it.
type eventRow struct {
	Role   string `json:"role"`
	Slot   string `json:"slot"`
	Event  string `json:"event"`
	Holder string `json:"holder"` // name, or the UUID of a member that has none any more
	UUID   string `json:"uuid"`
	Epoch  int64  `json:"epoch"`
	At     int64  `json:"at"` // Unix seconds of the endpoint's clock
	Reason string `json:"reason"`
}

func newHistory(a *app) *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "history [ROLE]",
		Short: "List the last changes of hands of each slot, newest last",
		Long: "Lists the last changes of hands of each slot (the profile keeps 8 of a slot), of one role or of all, newest\n" +
			"last. The ages are those of the endpoint's clock at the time.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.read(cmd.Context())
			if err != nil {
				return err
			}
			rows, err := eventRows(d, args)
			if err != nil {
				return err
			}
			return a.print(rows, func(w io.Writer) {
				var cells [][]string
				for _, r := range rows {
					cells = append(cells, []string{r.Role + "/" + r.Slot, r.Event, r.Holder, fmt.Sprint(r.Epoch), age(r.At), r.Reason})
				}
				table(w, "SLOT\tEVENT\tHOLDER\tEPOCH\tAGE\tREASON", cells)
			})
		},
	})
}

// eventRows lists the histories of the slots of these roles, or of all.
func eventRows(d *profile.Document, only []string) ([]eventRow, error) {
	slots, err := d.Slots()
	if err != nil {
		return nil, err
	}
	roles := sortedKeys(slots)
	if len(only) > 0 {
		if _, ok := slots[only[0]]; !ok {
			return nil, fmt.Errorf("%w: role %q: expected one of %s", profile.ErrNoSuch, only[0], some(roles))
		}
		roles = only
	}
	rows := []eventRow{}
	for _, role := range roles {
		for _, n := range profile.SlotNumbers(slots[role]) {
			for _, t := range slots[role][n].History {
				rows = append(rows, eventRow{Role: role, Slot: n, Event: t.Event, Holder: d.NameOf(t.Holder), UUID: t.Holder, Epoch: t.Epoch, At: t.At, Reason: t.Reason})
			}
		}
	}
	slices.SortStableFunc(rows, func(x, y eventRow) int { return cmp.Compare(x.At, y.At) })
	return rows, nil
}

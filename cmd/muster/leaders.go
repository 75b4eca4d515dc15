package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"muster/profile"
)

// slotRow is one slot as the commands show it.
type slotRow struct {
	Role   string `json:"role"`
	Slot   string `json:"slot"`
	Holder string `json:"holder"` // name; "" is free
	UUID   string `json:"uuid"`
	Epoch  int64  `json:"epoch"`
	TTL    string `json:"ttl"`   // of the lease; "" is sticky
	Since  int64  `json:"since"` // Unix seconds of the endpoint's clock; 0 is unknown
}

func newLeaders(a *app) *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "leaders",
		Short: "List the slots of all roles and who holds them",
		Long:  "Lists the slots of all roles. Slots are sticky: a holder is not monitored, and keeps its slot also when it is dead.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.read(cmd.Context())
			if err != nil {
				return err
			}
			rows, err := slotRows(d)
			if err != nil {
				return err
			}
			return a.print(rows, func(w io.Writer) {
				var cells [][]string
				for _, r := range rows {
					cells = append(cells, []string{r.Role + "/" + r.Slot, r.Holder, r.UUID, fmt.Sprint(r.Epoch), age(r.Since)})
				}
				table(w, "SLOT\tHOLDER\tUUID\tEPOCH\tHELD FOR", cells)
			})
		},
	})
}

func slotRows(d *profile.Document) ([]slotRow, error) {
	slots, err := d.Slots()
	if err != nil {
		return nil, err
	}
	rows := []slotRow{}
	for _, role := range sortedKeys(slots) {
		for _, n := range profile.SlotNumbers(slots[role]) {
			rows = append(rows, rowOf(d, role, n, slots[role][n]))
		}
	}
	return rows, nil
}

func rowOf(d *profile.Document, role, number string, s profile.Slot) slotRow {
	row := slotRow{Role: role, Slot: number, UUID: s.Holder, Epoch: s.Epoch, TTL: s.TTL}
	if !s.Free() {
		row.Holder = d.NameOf(s.Holder)
		if last := len(s.History) - 1; last >= 0 && s.History[last].Epoch == s.Epoch {
			row.Since = s.History[last].At
		}
	}
	return row
}

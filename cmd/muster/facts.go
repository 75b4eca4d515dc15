package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"muster/facts"
)

// factsRow is one member's published sheet.
type factsRow struct {
	Name  string          `json:"name"`
	UUID  string          `json:"uuid"`
	Facts json.RawMessage `json:"facts"`
}

func newFacts(a *app) *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "facts [MEMBER]",
		Short: "Show the published fact sheets, of all members or of one (name or UUID)",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.read(cmd.Context())
			if err != nil {
				return err
			}
			sheets, err := d.Facts()
			if err != nil {
				return err
			}
			rows := []factsRow{}
			for _, uuid := range sortedKeys(sheets) {
				name := d.NameOf(uuid)
				if len(args) == 0 || args[0] == name || args[0] == uuid {
					rows = append(rows, factsRow{Name: name, UUID: uuid, Facts: sheets[uuid]})
				}
			}
			if len(args) == 1 && len(rows) == 0 {
				return fmt.Errorf("%w: no facts of %q: expected the name or UUID of a member that has joined; see `muster members`", errUsage, args[0])
			}
			return a.print(rows, func(w io.Writer) {
				var cells [][]string
				for _, r := range rows {
					cells = append(cells, append([]string{r.Name}, summary(r.Facts)...))
				}
				table(w, "NAME\tOS\tKERNEL\tARCH\tCPUS\tMEMORY", cells)
			})
		},
	})
}

// summary picks the columns of a table out of a sheet; what a sheet lacks stays
// empty, and so does a sheet that somebody gave another shape.
func summary(raw json.RawMessage) []string {
	var s facts.Sheet
	cells := make([]string, 5)
	if json.Unmarshal(raw, &s) != nil {
		return cells
	}
	cells[0], cells[1], cells[2] = s.OS.Name, s.OS.Kernel, s.OS.Architecture
	if s.CPU.Threads > 0 {
		cells[3] = fmt.Sprint(s.CPU.Threads)
	}
	if s.Memory.TotalBytes > 0 {
		cells[4] = fmt.Sprintf("%.1f GiB", float64(s.Memory.TotalBytes)/(1<<30))
	}
	return cells
}

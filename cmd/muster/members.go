package main

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
)

// memberRow is one member as the commands show it.
type memberRow struct {
	Name     string   `json:"name"`
	UUID     string   `json:"uuid"`
	Address  string   `json:"address"`
	Expected bool     `json:"expected"` // the present round waits for it
	Joined   bool     `json:"joined"`
	Slots    []string `json:"slots"`  // held, as ROLE/NUMBER
	Result   string   `json:"result"` // in the present round; "" is none yet
	Version  string   `json:"version"`
	// Steps are the last results of gated steps, by their names.
	Steps map[string]profile.Step `json:"steps"`
}

func newMembers(a *app) *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "members",
		Short: "List the members of the cluster",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.read(cmd.Context())
			if err != nil {
				return err
			}
			rows, err := memberRows(d)
			if err != nil {
				return err
			}
			return a.print(rows, func(w io.Writer) {
				var cells [][]string
				for _, r := range rows {
					cells = append(cells, []string{r.Name, r.UUID, r.Address, joined(r), strings.Join(r.Slots, ","), r.Result, r.Version})
				}
				table(w, "NAME\tUUID\tADDRESS\tSTATE\tSLOTS\tRESULT\tVERSION", cells)
			})
		},
	})
}

func joined(r memberRow) string {
	switch {
	case r.Joined && r.Expected:
		return "joined"
	case r.Joined:
		return "joined, not expected"
	}
	return "expected"
}

// memberRows lists the members by name, those without one last.
func memberRows(d *profile.Document) ([]memberRow, error) {
	records, err := d.Members()
	if err != nil {
		return nil, err
	}
	expected, err := d.Expected()
	if err != nil {
		return nil, err
	}
	round, err := d.Round()
	if err != nil {
		return nil, err
	}
	rows := []memberRow{}
	for _, uuid := range sortedKeys(records) {
		r := records[uuid]
		if !r.Joined() && !slices.Contains(expected.Members, uuid) {
			continue // forgotten: what is left keeps late writes of its old process out
		}
		rows = append(rows, memberRow{
			Name: r.Name, UUID: uuid, Address: r.Address, Joined: r.Joined(), Version: r.Version,
			Expected: slices.Contains(expected.Members, uuid), Slots: agent.Held(d, uuid),
			Result: r.Results[strconv.Itoa(round.N)], Steps: maps.Collect(maps.All(r.Steps)),
		})
	}
	slices.SortStableFunc(rows, func(x, y memberRow) int {
		if (x.Name == "") != (y.Name == "") {
			return strings.Compare(y.Name, x.Name)
		}
		return strings.Compare(x.Name, y.Name)
	})
	return rows, nil
}

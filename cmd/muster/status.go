package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/coordinator"
	"muster/profile"
)

// status is what `muster status` prints.
type status struct {
	Profile  string              `json:"profile"`
	Round    profile.Round       `json:"round"`
	Barrier  coordinator.Outcome `json:"barrier"`
	Expected int                 `json:"expected"`
	Joined   int                 `json:"joined"` // of all members, expected or not
	Slots    []slotRow           `json:"slots"`
	Paused   bool                `json:"paused"`
	Escaped  bool                `json:"escaped"` // cluster/escape is present: every wait ends
	Agent    *agent.Status       `json:"agent"`   // of this host; null if none is running
}

func newStatus(a *app) *cobra.Command {
	var why bool
	cmd := a.outputFlag(&cobra.Command{
		Use:   "status",
		Short: "Show how the cluster and this host stand",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.read(cmd.Context())
			if err != nil {
				return err
			}
			s, err := statusOf(d)
			if err != nil {
				return err
			}
			if s.Agent, err = a.agentStatus(cmd.Context()); err != nil {
				return err
			}
			return a.print(s, func(w io.Writer) {
				s.table(w)
				if why {
					s.why(w)
				}
			})
		},
	})
	cmd.Flags().BoolVar(&why, "why", false, "also say, for each role, why this host holds no slot of it")
	return cmd
}

func statusOf(d *profile.Document) (status, error) {
	s := status{Profile: d.Name, Escaped: d.Escaped()}
	var err error
	if s.Round, err = d.Round(); err != nil {
		return s, err
	}
	barrier, _, err := d.Barrier(profile.BarrierComplete, s.Round.N)
	if err != nil {
		return s, err
	}
	if s.Barrier, err = coordinator.Standing(d, profile.BarrierComplete, s.Round.N, barrier); err != nil {
		return s, err
	}
	if s.Slots, err = slotRows(d); err != nil {
		return s, err
	}
	if s.Paused, err = d.Paused(); err != nil {
		return s, err
	}
	records, err := d.Members()
	if err != nil {
		return s, err
	}
	for _, r := range records {
		if r.Joined() {
			s.Joined++
		}
	}
	s.Expected = s.Barrier.Total
	return s, nil
}

// agentStatus asks this host's agent; nil if none is running.
func (a *app) agentStatus(ctx context.Context) (*agent.Status, error) {
	client, err := agent.Dial(a.cfg.Socket)
	if errors.Is(err, agent.ErrNoAgent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	s, err := client.Status(ctx)
	return &s, err
}

func (s status) table(w io.Writer) {
	verdict := s.Barrier.Verdict
	if verdict == "" {
		verdict = "open"
	}
	fmt.Fprintf(w, "Cluster    %s, round %d%s\n", clean(s.Profile), s.Round.N, suffix(" (", clean(s.Round.Workflow), ")"))
	fmt.Fprintf(w, "Barrier    %s: %d of %d complete%s%s%s\n", verdict, s.Barrier.Done, s.Barrier.Total,
		suffix("; waiting for ", clean(some(s.Barrier.Missing)), ""), suffix("; failed: ", clean(some(s.Barrier.Failed)), ""), suffix("; stopped: ", clean(some(s.Barrier.Stopped)), ""))
	fmt.Fprintf(w, "Members    %d joined, %d expected\n", s.Joined, s.Expected)
	for _, r := range s.Slots {
		if r.UUID == "" {
			fmt.Fprintf(w, "%-10s free\n", clean(r.Role+"/"+r.Slot))
			continue
		}
		fmt.Fprintf(w, "%-10s %s%s, %s\n", clean(r.Role+"/"+r.Slot), clean(r.Holder), suffix(", held for ", age(r.Since), ""), r.kind())
	}
	if s.Paused {
		fmt.Fprintln(w, "Paused     nobody claims a slot")
	}
	if s.Escaped {
		fmt.Fprintf(w, "Escape     %s is present: every wait ends without success\n", profile.ParamEscape)
	}
	switch {
	case s.Agent == nil:
		fmt.Fprintln(w, "This host  no agent is running")
	case s.Agent.Trouble != "":
		fmt.Fprintf(w, "This host  %s, gates stay shut: %s\n", clean(s.Agent.UUID), clean(s.Agent.Trouble))
	default:
		fmt.Fprintf(w, "This host  %s%s\n", clean(s.Agent.UUID), suffix(", holds ", clean(strings.Join(s.Agent.Slots, ", ")), ""))
	}
}

// kind says what holding the slot means.
func (r slotRow) kind() string {
	if r.TTL != "" {
		return "a lease of " + clean(r.TTL)
	}
	return "sticky: not monitored, no failover"
}

// why says how this host stands in each role.
func (s status) why(w io.Writer) {
	if s.Agent == nil {
		fmt.Fprintln(w, "Why        no agent competes on this host")
		return
	}
	for _, r := range s.Agent.Roles {
		switch {
		case r.Slot != "" && r.Why == "":
			fmt.Fprintf(w, "Why        %s: slot %s is held in epoch %d\n", clean(r.Role), clean(r.Slot), r.Epoch)
		case r.Why != "":
			fmt.Fprintf(w, "Why        %s: %s\n", clean(r.Role), clean(r.Why))
		}
	}
}

func suffix(before, text, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

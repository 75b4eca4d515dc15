package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"muster/lab/bench"
)

func newBench() *cobra.Command {
	cfg := bench.Config{}
	var output string
	cmd := &cobra.Command{
		Use:   "bench " + strings.Join(bench.Kinds, "|"),
		Short: "Measure what a cluster costs its endpoint and its machines",
		Long: "Starts an embedded endpoint in a process of its own, and the members in this one, each with its own\n" +
			"connection, and measures:\n" +
			"  form      all start at once, until each has itself seen all members and the leaders\n" +
			"  barrier   all start at once and wait, until the workflows of all are complete and each is released\n" +
			"  idle      nothing happens\n" +
			"  failover  a leader is cut off from the endpoint, until another member leads\n" +
			"What is counted is counted by the endpoint. All share the cores of this host: measure on an idle one.",
		Example:   "  muster-lab bench form --members 100 --leaders 3",
		Args:      cobra.ExactArgs(1),
		ValidArgs: bench.Kinds,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg.Kind = args[0]
			if cfg.Program, err = os.Executable(); err != nil {
				return err
			}
			begin := time.Now()
			cfg.Say = func(format string, args ...any) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%6.1f s  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
			}
			res, err := bench.Run(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(res)
			}
			return tabulate(cmd.OutOrStdout(), res)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&cfg.Members, "members", 10, "machines beside the manager")
	flags.IntVar(&cfg.Leaders, "leaders", 3, "leader slots")
	flags.StringVar(&cfg.Compat, "compat", "", "3.13: the endpoint behaves as the last public DRP server")
	flags.StringVar(&cfg.Facts, "facts", bench.FactsBrief, "size of the fact sheets: full (2 KiB), brief (what the seed grants so many members) or off")
	flags.StringVar(&cfg.TTL, "ttl", "", "makes the slots leases of this length, such as 15s; needed for failover")
	flags.DurationVar(&cfg.Within, "within", 10*time.Second, "barrier: the completions are spread over this time")
	flags.DurationVar(&cfg.Settle, "settle", 10*time.Second, "idle, failover: leave the cluster alone for this time first")
	flags.DurationVar(&cfg.For, "for", 2*time.Minute, "idle: how long to watch")
	outputFlag(cmd, &output)
	return cmd
}

// tabulate prints a result for people: what members cost is for each.
func tabulate(w io.Writer, r bench.Result) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(what, format string, args ...any) { fmt.Fprintf(t, what+"\t"+format+"\n", args...) }
	each := func(n int64) float64 { return float64(n) / float64(r.Members) }
	row("bench", "%s: %d members, %d leaders%s%s, facts %s", r.Kind, r.Members, r.Leaders, option(", ttl ", r.TTL), option(", compat ", r.Compat), r.Facts)
	row("host", "%d CPUs, load %s", r.CPUs, r.Load)
	switch r.Kind {
	case bench.Form:
		row("formed", "%.2f s after the last start", r.Seconds)
	case bench.Barrier:
		row("released", "p50 %.0f ms, p99 %.0f ms, max %.0f ms after the last report, which was sent %.0f ms after the last workflow", r.Release.P50, r.Release.P99, r.Release.Max, r.Notice)
		row("waited", "%.1f s on average", r.Waited)
	case bench.Failover:
		row("failover", "another member leads %.1f s after the cut, the lost one ceased after %.1f s", r.Gap/1000, r.Lost/1000)
	}
	row("counted for", "%.1f s", r.Seconds)
	row("requests", "%.2f a member, %.2f a member and minute", each(r.Requests), each(r.Requests)*60/r.Seconds)
	row("profile", "%.2f reads, %.2f polls, %.2f writes a member; %d conflicts", each(r.ProfileReads), each(r.ProfilePolls), each(r.ProfileWrites), r.Conflicts)
	row("machine", "%.2f reads, %.2f polls, %.2f writes a member", each(r.MachineReads), each(r.MachinePolls), each(r.MachineWrites))
	row("bytes", "%.2f MB to clients (floor of forming %.2f MB), %.2f MB from them", mb(r.BytesToClients), mb(r.Floor()), mb(r.BytesFromClients))
	row("profile's size", "%d bytes before, %d after", r.ProfileBytes[0], r.ProfileBytes[1])
	row("endpoint", "%.2f s of CPU, %.1f ms a member, %.0f MB at most", r.EndpointCPU, r.EndpointCPU*1000/float64(r.Members), mb(r.EndpointRSS))
	row("agents", "%.2f s of CPU, %.1f ms a member, %.0f MB, %.2f MB a member", r.AgentsCPU, r.AgentsCPU*1000/float64(r.Members), mb(r.AgentsRSS), mb(r.AgentsRSS)/float64(r.Members))
	return t.Flush()
}

func mb(n int64) float64 { return float64(n) / 1e6 }

func option(name, value string) string {
	if value == "" {
		return ""
	}
	return name + value
}

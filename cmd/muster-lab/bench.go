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

	"muster/lab"
	"muster/lab/bench"
)

func newBench() *cobra.Command {
	cfg := bench.Config{}
	var output string
	var foreign lab.OperatorConfig
	cmd := &cobra.Command{
		Use:   "bench " + strings.Join(bench.Kinds, "|"),
		Short: "Measure what a cluster costs its endpoint and its machines",
		Long: "Starts an embedded endpoint in a process of its own, and the members in this one or in processes of their\n" +
			"own, each with its own connection, and measures:\n" +
			"  form      all start at once, until each has itself seen all members and the leaders\n" +
			"  barrier   all start at once and wait, until the workflows of all are complete and each is released\n" +
			"  idle      nothing happens\n" +
			"  failover  a leader is cut off from the endpoint, until another member leads\n" +
			"What is counted is counted by the endpoint. All share the cores of this host: measure on an idle one.\n\n" +
			"With --endpoint it is any DRP endpoint, with the credentials of RS_TOKEN or RS_KEY (USER:PASSWORD). All that is\n" +
			"made there has a name with muster-bench, and is removed again. Then the members count, and only what they can.",
		Example:   "  muster-lab bench form --members 100 --leaders 3",
		Args:      cobra.ExactArgs(1),
		ValidArgs: bench.Kinds,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg.Kind = args[0]
			if cfg.Program, err = os.Executable(); err != nil {
				return err
			}
			if cfg.Processes {
				if cfg.Muster, _, err = programs(); err != nil {
					return err
				}
			}
			if foreign.Endpoint != "" {
				if foreign, err = withEnv(foreign); err != nil {
					return err
				}
				cfg.Foreign = &foreign
			} else if foreign.CAFile != "" {
				return fmt.Errorf("%w: --ca-file: expected --endpoint as well", errUsage)
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
	flags.BoolVar(&cfg.Processes, "processes", false, "make each member a process of its own, of the muster beside this program")
	flags.StringVar(&foreign.Endpoint, "endpoint", "", "URL of a DRP endpoint to measure on")
	flags.StringVar(&foreign.CAFile, "ca-file", "", "certificates that vouch for that endpoint (RS_CA_CERT)")
	outputFlag(cmd, &output)
	return cmd
}

// tabulate prints a result for people: what members cost is for each.
func tabulate(w io.Writer, r bench.Result) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(what, format string, args ...any) { fmt.Fprintf(t, what+"\t"+format+"\n", args...) }
	each := func(n int64) float64 { return float64(n) / float64(r.Members) }
	row("bench", "%s: %d members%s, %d leaders%s%s, facts %s%s", r.Kind, r.Members, word(r.Processes, " in processes"), r.Leaders, option(", ttl ", r.TTL), option(", compat ", r.Compat), r.Facts, option(", on ", r.Endpoint))
	row("host", "%d CPUs, load %s", r.CPUs, r.Load)
	switch r.Kind {
	case bench.Form:
		row("formed", "%.2f s after the last start", r.Seconds)
	case bench.Barrier:
		row("released", "p50 %.0f ms, p99 %.0f ms, max %.0f ms after %s", r.Release.P50, r.Release.P99, r.Release.Max, since(r))
		row("waited", "%.1f s on average", r.Waited)
	case bench.Failover:
		row("failover", "another member leads %.1f s after the cut%s", r.Gap/1000, word(r.Lost > 0, fmt.Sprintf(", the lost one ceased after %.1f s", r.Lost/1000)))
	}
	row("counted for", "%.1f s, by the %s", r.Seconds, r.CountedBy)
	row("requests", "%.2f a member, %.2f a member and minute; %d conflicts", each(r.Requests), each(r.Requests)*60/r.Seconds, r.Conflicts)
	if e := r.ByEndpoint; e != nil {
		row("profile", "%.2f reads, %.2f polls, %.2f writes a member; %d conflicts", each(e.ProfileReads), each(e.ProfilePolls), each(e.ProfileWrites), r.Conflicts)
		row("machine", "%.2f reads, %.2f polls, %.2f writes a member", each(e.MachineReads), each(e.MachinePolls), each(e.MachineWrites))
	}
	row("bytes", "%.2f MB to clients (floor of forming %.2f MB), %.2f MB from them%s", mb(r.BytesToClients), mb(r.Floor()), mb(r.BytesFromClients), word(r.ByEndpoint == nil, "; bodies alone"))
	row("profile's size", "%d bytes before, %d after", r.ProfileBytes[0], r.ProfileBytes[1])
	if e := r.ByEndpoint; e != nil {
		row("endpoint", "%.2f s of CPU, %.1f ms a member, %.0f MB at most", e.EndpointCPU, e.EndpointCPU*1000/float64(r.Members), mb(e.EndpointRSS))
	} else {
		row("endpoint", "CPU and memory unknown")
	}
	row("agents", "%.2f s of CPU, %.1f ms a member, %.0f MB, %.2f MB a member", r.AgentsCPU, r.AgentsCPU*1000/float64(r.Members), mb(r.AgentsRSS), mb(r.AgentsRSS)/float64(r.Members))
	if p := r.EachProcess; p != nil {
		row("a process", "%.1f MB (max %.1f), of it %.1f MB not of files; CPU %.3f %% of a core (max %.3f)", p.RSS.P50, p.RSS.Max, p.Anon.P50, p.CPU.P50, p.CPU.Max)
	}
	return t.Flush()
}

// since is from when on the times of a release count.
func since(r bench.Result) string {
	if r.Processes {
		return "the last workflow"
	}
	return fmt.Sprintf("the last report, which was sent %.0f ms after the last workflow", r.Notice)
}

func word(said bool, text string) string {
	if said {
		return text
	}
	return ""
}

func mb(n int64) float64 { return float64(n) / 1e6 }

func option(name, value string) string { return word(value != "", name+value) }

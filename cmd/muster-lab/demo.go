package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"muster/lab"
)

func newDemo() *cobra.Command {
	cfg := lab.DemoConfig{}
	var output string
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Form a cluster of real processes on this host, and take it down again",
		Long: "Starts an embedded endpoint, seeds a cluster profile, and starts for each machine a muster agent, DRP's\n" +
			"own runner working through a workflow, and a step that is gated on everybody's completion.\n" +
			"Exit codes: 0 every step ran after the last completion, 8 a workflow failed, 1 anything else.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("%w: -o: expected table or json, found %q", errUsage, output)
			}
			if cfg.Compat != "" && cfg.Compat != "3.13" {
				return fmt.Errorf("%w: --compat: expected 3.13, found %q", errUsage, cfg.Compat)
			}
			var err error
			if cfg.Muster, cfg.Lab, err = programs(); err != nil {
				return err
			}
			cfg.Told = newScreen(cmd.ErrOrStderr(), cfg.Members, terminalRows(cmd.ErrOrStderr())).show
			var printed error
			cfg.Formed = func(ctx context.Context, a lab.Access, result lab.Result) {
				printed = summarize(cmd.OutOrStdout(), output, result)
				if keep {
					linger(ctx, cmd.ErrOrStderr(), cfg.Muster, a)
				}
			}
			result, err := lab.Demo(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return errors.Join(printed, judge(cfg, result))
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&cfg.Members, "members", 5, "machines beside the manager")
	flags.IntVar(&cfg.Leaders, "leaders", 2, "leader slots")
	flags.Uint64Var(&cfg.Seed, "seed", 1, "decides how long the workflows take")
	flags.StringVar(&cfg.Compat, "compat", "", "3.13: the endpoint behaves as the last public DRP server")
	flags.StringVar(&cfg.Fail, "fail", "", "name of the machine whose workflow fails")
	flags.BoolVar(&keep, "keep", false, "leave the cluster running until interrupted, and say how to look at it")
	flags.StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// programs finds this program and muster beside it.
func programs() (muster, lab string, err error) {
	if lab, err = os.Executable(); err != nil {
		return "", "", err
	}
	muster = filepath.Join(filepath.Dir(lab), "muster")
	if _, err := os.Stat(muster); errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("%w: expected the muster program at %s; build both with `make build`", errUsage, muster)
	}
	return muster, lab, nil
}

// judge says whether the cluster did what a demo promises.
func judge(cfg lab.DemoConfig, r lab.Result) error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	wanted := r.Members
	if cfg.Fail != "" {
		wanted = 0
		check(r.Verdict == "failed", "verdict %q, expected failed", r.Verdict)
		check(slices.Equal(r.Failed, []string{cfg.Fail}), "failed: %q, expected %s", r.Failed, cfg.Fail)
	} else {
		check(r.Verdict == "complete", "verdict %q, expected complete", r.Verdict)
	}
	check(len(r.Leaders) == min(cfg.Leaders, r.Members), "%d leaders, expected %d", len(r.Leaders), min(cfg.Leaders, r.Members))
	check(len(r.Facts) == r.Members, "%d fact sheets, expected %d", len(r.Facts), r.Members)
	check(r.StepsRun == wanted, "%d steps run, expected %d", r.StepsRun, wanted)
	check(r.StepsEarly == 0, "%d steps ran early", r.StepsEarly)
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if cfg.Fail != "" {
		return fmt.Errorf("%w: %s", errPeerFailed, strings.Join(r.Failed, ", "))
	}
	return nil
}

func summarize(w io.Writer, output string, r lab.Result) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(what, format string, args ...any) { fmt.Fprintf(t, what+"\t"+format+"\n", args...) }
	row("members", "%d", r.Members)
	row("leaders", "%d: %s", len(r.Leaders), strings.Join(r.Leaders, ", "))
	row("fact sheets", "%d", len(r.Facts))
	row("verdict", "%s", r.Verdict)
	if len(r.Failed) > 0 {
		row("failed", "%s", strings.Join(r.Failed, ", "))
	}
	if len(r.Missing) > 0 {
		row("missing", "%s", strings.Join(r.Missing, ", "))
	}
	row("steps", "%d run, %d early", r.StepsRun, r.StepsEarly)
	row("release", "p50 %.0f ms, p99 %.0f ms, max %.0f ms after the last completion", r.ReleaseMS.P50, r.ReleaseMS.P99, r.ReleaseMS.Max)
	row("endpoint", "%d requests, %d profile writes (%.2f a member), %d conflicts, %.1f MB to clients", r.Requests, r.Writes, float64(r.Writes)/float64(r.Members), r.Conflicts, float64(r.Bytes)/1e6)
	row("time", "%.1f s", r.Seconds)
	return t.Flush()
}

// linger says how to look at the cluster, and waits to be interrupted.
func linger(ctx context.Context, w io.Writer, muster string, a lab.Access) {
	fmt.Fprintf(w, `
The cluster is running. To look at it:
  export RS_ENDPOINT=%[1]s RS_KEY=%[2]s:%[3]s
  drpcli profiles show %[4]s
  drpcli machines list cluster/leader Eq true
  MUSTER_CONFIG=%[5]s/node-01/muster.yaml %[6]s status
Logs are in %[5]s/node-*/. Interrupt (Ctrl-C) to take it down.
`, a.Endpoint, a.User, a.Password, a.Profile, a.Dir, muster)
	<-ctx.Done()
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"muster/lab/scenario"
)

// errExpectation means that something was not as a scenario expects it.
var errExpectation = errors.New("not everything is as expected")

func newScenario() *cobra.Command {
	cfg := scenario.Config{}
	var a access
	var output, junit string
	cmd := &cobra.Command{
		Use:   "run SCENARIO.yaml",
		Short: "Run a coordination test: members, what happens to them, and what is expected",
		Long: "Starts an embedded endpoint and a muster agent for each member of the scenario, does what its timeline says\n" +
			"and watches whether what it expects is seen. docs/scenarios.md has the format, docs/scenarios/ examples.\n" +
			"With --endpoint the members work on that DRP endpoint, with machines that are made for them and removed at the\n" +
			"end; credentials are RS_TOKEN or RS_KEY (USER:PASSWORD), by default those of every fresh DRP endpoint.\n" +
			"Exit codes: 0 everything is as expected, 1 something is not, 2 the scenario cannot be run as it is.",
		Example: "  muster-lab run docs/scenarios/01-three-leaders.yaml --junit report.xml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if cfg.Compat != "" && cfg.Compat != "3.13" {
				return fmt.Errorf("%w: --compat: expected 3.13, found %q", errUsage, cfg.Compat)
			}
			if cfg.Scenario, err = scenario.Read(args[0]); err != nil {
				return err
			}
			if a.cfg.Endpoint != "" {
				if cfg.Compat != "" {
					return fmt.Errorf("%w: --compat: expected none with --endpoint, which is as it is", errUsage)
				}
				if cfg.Operator, err = a.operator(); err != nil {
					return err
				}
				defer cfg.Operator.Close()
			}
			if cfg.Muster, cfg.Lab, err = programs(); err != nil {
				return err
			}
			cfg.Say = func(at time.Duration, kind, text string) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%7.2f s  %-6s  %s\n", at.Seconds(), kind, clean(text))
			}
			report, err := scenario.Run(cmd.Context(), cfg)
			if errors.Is(err, scenario.ErrInvalid) {
				return err
			}
			return errors.Join(writeReport(cmd.OutOrStdout(), output, junit, report), verdict(report), err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&a.cfg.Endpoint, "endpoint", "", "URL of the endpoint to use in the place of an embedded one; RS_ENDPOINT does not count")
	flags.StringVar(&a.cfg.CAFile, "ca-file", "", "certificates that vouch for that endpoint (RS_CA_CERT)")
	flags.StringVar(&cfg.Compat, "compat", "", "3.13: the embedded endpoint behaves as the last public DRP server")
	flags.BoolVar(&cfg.Invert, "invert", false, "expect the opposite of everything: shows that every expectation can fail")
	flags.StringVar(&junit, "junit", "", "write the report to this file too, as JUnit's XML")
	outputFlag(cmd, &output)
	return cmd
}

// writeReport prints the report, and writes it to the file junit, if there is to be one.
func writeReport(w io.Writer, output, junit string, r scenario.Report) error {
	if junit != "" {
		f, err := os.Create(junit)
		if err != nil {
			return err
		}
		if err := errors.Join(r.WriteJUnit(f), f.Close()); err != nil {
			return err
		}
	}
	if output == "json" {
		return printJSON(w, r)
	}
	var rows [][]string
	for _, f := range r.Expectations {
		rows = append(rows, []string{fmt.Sprint(f.Line), f.Result, fmt.Sprintf("%.1f s", f.Seconds), f.Expected, f.Seen})
	}
	return table(w, "LINE\tRESULT\tTOOK\tEXPECTED\tSEEN", rows)
}

// verdict is the error of a run in which something was not as expected.
func verdict(r scenario.Report) error {
	var faults []error
	for _, f := range r.Failures() {
		faults = append(faults, fmt.Errorf("%w: %s:%d: expected %s; seen %s", errExpectation, r.File, f.Line, f.Expected, f.Seen))
	}
	if r.Error != "" {
		faults = append(faults, errors.New(r.Error))
	}
	return errors.Join(faults...)
}

// newBody is the command of a step of a scenario.
func newBody() *cobra.Command {
	var socket, step, member string
	var takes time.Duration
	var exit int
	cmd := &cobra.Command{
		Use:    "body",
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			code, err := scenario.Body(socket, step, member, takes, exit, args)
			if code != 0 {
				os.Exit(code)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&socket, "socket", "", "where the scenario listens")
	flags.StringVar(&step, "step", "", "name of the step")
	flags.StringVar(&member, "member", "", "name of the member")
	flags.DurationVar(&takes, "takes", 0, "how long it takes")
	flags.IntVar(&exit, "exit", 0, "its exit code")
	return cmd
}

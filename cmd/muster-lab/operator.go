package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"muster/lab"
)

// accessHelp tells how the commands find the endpoint.
const accessHelp = `The endpoint is --endpoint or RS_ENDPOINT, by default https://127.0.0.1:8092, and may be any DRP endpoint.
Credentials are RS_TOKEN or RS_KEY (USER:PASSWORD), by default those of every fresh DRP endpoint. The endpoint's
certificate is verified by --ca-file or RS_CA_CERT or else by the system's authorities; only with the default
credentials, which are no secret, it is not on a loopback address.`

// access is how a command reaches an endpoint.
type access struct{ cfg lab.OperatorConfig }

func (a *access) flags(cmd *cobra.Command) {
	cmd.Long = strings.TrimSpace(cmd.Long + "\n\n" + accessHelp)
	cmd.Flags().StringVar(&a.cfg.Endpoint, "endpoint", "", "URL of the endpoint (RS_ENDPOINT)")
	cmd.Flags().StringVar(&a.cfg.CAFile, "ca-file", "", "certificates that vouch for the endpoint (RS_CA_CERT)")
}

// operator opens the endpoint.
func (a *access) operator() (*lab.Operator, error) {
	cfg := a.cfg
	if cfg.Endpoint == "" {
		cfg.Endpoint = os.Getenv("RS_ENDPOINT")
	}
	cfg, err := withEnv(cfg)
	if err != nil {
		return nil, err
	}
	return lab.NewOperator(cfg)
}

// withEnv adds what the environment says. Credentials come from there only: who
// lists processes sees their arguments.
func withEnv(cfg lab.OperatorConfig) (lab.OperatorConfig, error) {
	if cfg.CAFile == "" {
		cfg.CAFile = os.Getenv("RS_CA_CERT")
	}
	if cfg.Token = os.Getenv("RS_TOKEN"); cfg.Token == "" {
		if key := os.Getenv("RS_KEY"); key != "" {
			var ok bool
			if cfg.User, cfg.Password, ok = strings.Cut(key, ":"); !ok || cfg.User == "" {
				return cfg, fmt.Errorf("%w: RS_KEY: expected USER:PASSWORD", errUsage)
			}
		}
	}
	return cfg, nil
}

// with runs fn with an operator.
func (a *access) with(fn func(o *lab.Operator) error) error {
	o, err := a.operator()
	if err != nil {
		return err
	}
	defer o.Close()
	return fn(o)
}

// outputFlag adds -o, and has it checked before the command runs.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "table", "table or json")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if *output != "table" && *output != "json" {
			return fmt.Errorf("%w: -o: expected table or json, found %q", errUsage, *output)
		}
		return nil
	}
}

// someOrAll is the error of a command that was given neither n things nor --all, or
// both.
func someOrAll(cmd *cobra.Command, things string, n int, all bool) error {
	switch {
	case all && n > 0:
		return fmt.Errorf("%w: give %s or --all, not both; see `%s --help`", errUsage, things, cmd.CommandPath())
	case !all && n == 0:
		return fmt.Errorf("%w: expected %s or --all; see `%s --help`", errUsage, things, cmd.CommandPath())
	}
	return nil
}

// forEach prints what fn makes of each machine. It goes on after an error: the
// machines do not depend on one another.
func forEach(cmd *cobra.Command, output string, machines []string, fn func(ctx context.Context, machine string) (lab.MachineState, error)) error {
	var done []lab.MachineState
	var failed []error
	for _, machine := range machines {
		state, err := fn(cmd.Context(), machine)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		done = append(done, state)
	}
	return errors.Join(append(failed, printMachines(cmd.OutOrStdout(), output, done))...)
}

func printMachines(w io.Writer, output string, machines []lab.MachineState) error {
	if output == "json" {
		if machines == nil {
			machines = []lab.MachineState{}
		}
		return printJSON(w, machines)
	}
	var rows [][]string
	for _, m := range machines {
		tasks := fmt.Sprintf("%d/%d", m.Task, m.Tasks)
		rows = append(rows, []string{m.Name, m.UUID, m.Workflow, tasks, m.State, strings.Join(m.Profiles, ",")})
	}
	return table(w, "MACHINE\tUUID\tWORKFLOW\tTASK\tSTATE\tPROFILES", rows)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows in columns, if there are any. Cells come from the endpoint:
// control characters are shown, not obeyed.
func table(w io.Writer, header string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, header)
	for _, row := range rows {
		for i := range row {
			if row[i] = clean(row[i]); row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

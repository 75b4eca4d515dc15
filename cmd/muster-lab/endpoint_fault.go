package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"muster/endpoint"
)

// controlEnv names the control socket for all commands of a shell.
const controlEnv = "MUSTER_LAB_CONTROL"

// controlFlag is how a command reaches the control socket.
type controlFlag struct{ path string }

func (c *controlFlag) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.path, "control", "", "control socket of the endpoint, as given to serve --control ("+controlEnv+")")
}

func (c *controlFlag) control() (endpoint.Control, error) {
	path := c.path
	if path == "" {
		path = os.Getenv(controlEnv)
	}
	if path == "" {
		return endpoint.Control{}, fmt.Errorf("%w: expected the endpoint's control socket in --control or %s; serve it by `muster-lab endpoint serve --control PATH`", errUsage, controlEnv)
	}
	return endpoint.Control{Path: path}, nil
}

func newFault() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "Make the endpoint fail, over its control socket",
		Args:  cobra.NoArgs,
		RunE:  showHelp,
	}
	cmd.AddCommand(newFaultAdd(), newFaultList(), newFaultClear(), newFaultExpire(), newFaultRestart())
	return cmd
}

func newFaultAdd() *cobra.Command {
	var c controlFlag
	var f endpoint.Fault
	var output string
	cmd := &cobra.Command{
		Use:   "add KIND",
		Short: "Make requests fail, and print the fault's id",
		Long: "KIND is one of\n" +
			"  delay        requests are handled after --delay, even if their clients have gone\n" +
			"  drop-before  the connection is cut, and nothing has happened\n" +
			"  drop-after   the request is handled, and then the connection is cut instead of an answer\n" +
			"  refuse       the answer is --status, and nothing has happened\n" +
			"  stall        half of the answer comes, and the rest when the fault is cleared; websockets fall silent\n" +
			"The fault applies to requests that match --method, --path and --principal, until it is cleared or --times is used up.\n" +
			"A principal that is not there is warned of, and the fault waits for it.",
		Example: "  muster-lab endpoint fault add drop-after --method PATCH --path '/profiles/*' --times 1\n" +
			"  muster-lab endpoint fault add refuse --status 503 --principal machine:node-02\n" +
			"  muster-lab endpoint fault add delay --delay 2s --path /ws",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			control, err := c.control()
			if err != nil {
				return err
			}
			f.Kind = endpoint.FaultKind(args[0])
			if f.ID, err = control.Inject(cmd.Context(), f); err != nil {
				return err
			}
			if f.Principal != "" && errors.Is(control.Known(cmd.Context(), f.Principal), endpoint.ErrFault) {
				fmt.Fprintf(cmd.ErrOrStderr(), "muster-lab: warning: there is no %s; fault %d waits for one\n", clean(f.Principal), f.ID)
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), shownFault(f))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), f.ID)
			return err
		},
	}
	c.flag(cmd)
	outputFlag(cmd, &output)
	flags := cmd.Flags()
	flags.StringVar(&f.Method, "method", "", "method, or a comma list; by default any")
	flags.StringVar(&f.Path, "path", "", "path below /api/v3, in which * is anything; by default any")
	flags.StringVar(&f.Principal, "principal", "", "whose requests: user:NAME, machine:NAME, machine:UUID or profile:NAME; by default anybody's")
	flags.IntVar(&f.Times, "times", 0, "how many requests; 0 is until it is cleared")
	flags.DurationVar(&f.Delay, "delay", 0, "how long to delay")
	flags.IntVar(&f.Status, "status", 0, "status of the refusal, 400 to 599")
	flags.StringVar(&f.Message, "message", "", "message of the refusal")
	return cmd
}

// faultView is a fault as people write it.
type faultView struct {
	endpoint.Fault
	Delay string `json:"delay,omitempty"` // in place of Fault's
}

func shownFault(f endpoint.Fault) faultView {
	v := faultView{Fault: f}
	if f.Delay > 0 {
		v.Delay = f.Delay.String()
	}
	return v
}

func newFaultList() *cobra.Command {
	var c controlFlag
	var output string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the faults with how many requests they have hit",
		Example: "  muster-lab endpoint fault list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			control, err := c.control()
			if err != nil {
				return err
			}
			list, err := control.Faults(cmd.Context())
			if err != nil {
				return err
			}
			views, rows := []faultView{}, [][]string{}
			for _, f := range list {
				v := shownFault(f)
				how := v.Delay
				if f.Kind == endpoint.FaultRefuse {
					how = strconv.Itoa(f.Status)
				}
				left := "until cleared"
				if f.Times > 0 {
					left = strconv.Itoa(f.Times)
				}
				views = append(views, v)
				rows = append(rows, []string{strconv.Itoa(f.ID), string(f.Kind), how, f.Method, f.Path, f.Principal, left, strconv.Itoa(f.Hits)})
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), views)
			}
			return table(cmd.OutOrStdout(), "ID\tKIND\tHOW\tMETHOD\tPATH\tPRINCIPAL\tTIMES\tHITS", rows)
		},
	}
	c.flag(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func newFaultClear() *cobra.Command {
	var c controlFlag
	var all bool
	cmd := &cobra.Command{
		Use:     "clear ID...",
		Short:   "End faults: what they delay or stall goes on",
		Example: "  muster-lab endpoint fault clear 3\n  muster-lab endpoint fault clear --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := someOrAll(cmd, "ids of faults", len(args), all); err != nil {
				return err
			}
			ids := make([]int, len(args))
			for i, arg := range args {
				var err error
				if ids[i], err = strconv.Atoi(arg); err != nil {
					return fmt.Errorf("%w: expected the id of a fault, a number, found %q", errUsage, arg)
				}
			}
			control, err := c.control()
			if err != nil {
				return err
			}
			if all {
				return control.ClearAll(cmd.Context())
			}
			for _, id := range ids {
				if err := control.Clear(cmd.Context(), id); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.flag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all faults")
	return cmd
}

func newFaultExpire() *cobra.Command {
	var c controlFlag
	var all bool
	cmd := &cobra.Command{
		Use:   "expire PRINCIPAL",
		Short: "Make tokens that were made until now be refused as expired",
		Long: "PRINCIPAL is user:NAME, profile:NAME, or machine:NAME or machine:UUID for every token made for a machine.\n" +
			"Tokens that are made later are good, and passwords still work.",
		Example: "  muster-lab endpoint fault expire profile:k3s\n  muster-lab endpoint fault expire --all",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] == "" { // which would be everybody
				args = nil
			}
			if err := someOrAll(cmd, "a principal", len(args), all); err != nil {
				return err
			}
			control, err := c.control()
			if err != nil {
				return err
			}
			who := ""
			if !all {
				who = args[0]
			}
			return control.ExpireTokens(cmd.Context(), who)
		},
	}
	c.flag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "everybody's tokens")
	return cmd
}

func newFaultRestart() *cobra.Command {
	var c controlFlag
	var down time.Duration
	cmd := &cobra.Command{
		Use:     "restart",
		Short:   "Cut all connections, refuse new ones for a while, and serve on; returns then",
		Example: "  muster-lab endpoint fault restart --down 10s",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if down < 0 {
				return fmt.Errorf("%w: --down: expected 0 or more, found %s", errUsage, down)
			}
			control, err := c.control()
			if err != nil {
				return err
			}
			return control.Restart(cmd.Context(), down)
		},
	}
	c.flag(cmd)
	cmd.Flags().DurationVar(&down, "down", time.Second, "how long connections are refused")
	return cmd
}

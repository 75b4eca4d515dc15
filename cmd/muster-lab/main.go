// Command muster-lab is for those who develop and test the coordination of a
// cluster: an embedded DRP endpoint, a demo cluster of real processes on this
// host, and measurements of what a cluster costs. It is not needed on the
// machines of a cluster.
//
// Results go to stdout, progress and errors to stderr.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"muster/endpoint"
	"muster/lab"
	"muster/lab/bench"
	"muster/lab/scenario"
)

// version is set by the linker.
var version string

// Exit codes, as those of muster.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitPeerFailed = 8
)

var (
	errUsage      = errors.New("usage")
	errPeerFailed = errors.New("a machine's workflow failed")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), ends()...)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := newRoot(os.Stdout, os.Stderr).ExecuteContext(ctx); err != nil {
		complain(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

// ends are the signals that ask for the end: also that the terminal is gone,
// unless that is to be ignored, as under nohup.
func ends() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// complain writes an error. Several errors have a line each, like those of one.
func complain(w io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(w, "muster-lab:", strings.TrimSuffix(line, "\n"))
	}
}

func exitCode(err error) int {
	switch {
	case errors.Is(err, errUsage), errors.Is(err, lab.ErrConfig), errors.Is(err, bench.ErrConfig), errors.Is(err, scenario.ErrInvalid), errors.Is(err, lab.ErrAccess), errors.Is(err, endpoint.ErrFault):
		return exitUsage
	case errors.Is(err, errPeerFailed):
		return exitPeerFailed
	}
	return exitFailed
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "muster-lab",
		Short:         "Try and test decentralized coordination without a DRP server",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          showHelp,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; see `%s --help`", errUsage, err, cmd.CommandPath())
	})
	root.AddCommand(newDemo(), newEndpoint(), newBench(), newScenario(), newRunner(), newNote(), newBody(), newBundle(stdout))
	usageErrors(root)
	return root
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// usageErrors makes a wrong number of arguments a usage error.
func usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return fmt.Errorf("%w: %w; see `%s --help`", errUsage, err, c.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

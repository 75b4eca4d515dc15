package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/coordinator"
)

func newWait(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "wait", Short: "Block until a condition of the cluster holds", Args: cobra.NoArgs}
	var timeout time.Duration
	complete := a.outputFlag(&cobra.Command{
		Use:   "complete",
		Short: "Block until the present round has a verdict",
		Long: "Blocks until every expected member has completed its workflow in the present round, or the round\n" +
			"has failed (exit 8), was superseded (10) or broken out of (7). The verdict is recorded in the profile\n" +
			"and is the same for everybody. Whatever goes wrong, the wait does not succeed.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout < 0 {
				return negative(timeout)
			}
			outcome, err := a.wait(cmd.Context(), timeout)
			if err != nil {
				return err
			}
			return a.print(outcome, func(w io.Writer) { fmt.Fprintln(w, outcome.Verdict) })
		},
	})
	complete.Flags().DurationVar(&timeout, "timeout", 0, "give up after this time (exit 3); the round goes on")
	cmd.AddCommand(complete)
	return cmd
}

// wait waits for the round through the agent, as the member, or as an observer
// where this host is none.
func (a *app) wait(ctx context.Context, timeout time.Duration) (coordinator.Outcome, error) {
	waiting := agent.Waiting{Timeout: timeout, InJob: a.inJob()}
	if a.isMember() || reachable(a.cfg.Socket) {
		var outcome coordinator.Outcome
		err := a.local(ctx, timeout, func(ctx context.Context, l agent.Local) (err error) {
			outcome, err = l.Wait(ctx, waiting, a.progress)
			return err
		})
		return outcome, err
	}
	store, err := a.store()
	if err != nil {
		return coordinator.Outcome{}, err
	}
	return agent.Observe(ctx, store, a.cfg.UUID, waiting, a.progress, a.logger())
}

func negative(timeout time.Duration) error {
	return fmt.Errorf("%w: --timeout: expected a positive duration, or 0 for none, found %s", errUsage, timeout)
}

func reachable(socket string) bool {
	_, err := agent.Dial(socket)
	return !errors.Is(err, agent.ErrNoAgent)
}

// inJob reports whether this process was started by a job of DRP's runner.
func (a *app) inJob() bool { return a.getenv("RS_JOB_UUID") != "" }

// progress says on stderr how far the round has come.
func (a *app) progress(o coordinator.Outcome) {
	text := fmt.Sprintf("round %d: %d of %d complete", o.Round, o.Done, o.Total)
	for _, l := range []struct {
		what  string
		names []string
	}{{"waiting for", o.Missing}, {"failed", o.Failed}, {"stopped", o.Stopped}} {
		if len(l.names) > 0 {
			text += fmt.Sprintf("; %s: %s", l.what, some(l.names))
		}
	}
	fmt.Fprintln(a.stderr, clean(text))
}

// some lists names, but not hundreds of them.
func some(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

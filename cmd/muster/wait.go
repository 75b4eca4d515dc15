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
	"muster/profile"
)

func newWait(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "wait", Short: "Block until a condition of the cluster holds", Args: cobra.NoArgs}
	cmd.AddCommand(newWaitComplete(a), newWaitLeader(a), newWaitParam(a))
	return cmd
}

func newWaitComplete(a *app) *cobra.Command {
	var w agent.Waiting
	cmd := a.outputFlag(&cobra.Command{
		Use:   "complete",
		Short: "Block until a round, or a barrier in it, has a verdict",
		Long: "Blocks until every expected member has completed its workflow in the present round, or the round\n" +
			"has failed (exit 8), expired (3), was superseded (10) or broken out of (7). The verdict is recorded in the\n" +
			"profile and is the same for everybody. Whatever goes wrong, the wait does not succeed.\n\n" +
			"Whom a barrier waits for, and how long, is fixed in its record: for that of the round by `muster seed` and\n" +
			"`muster round`, for one of another name by whoever waits there first. Criteria that are asked for and are\n" +
			"not those of the record are refused (exit 2).",
		Args: cobra.NoArgs,
	})
	flags := cmd.Flags()
	asks := criteriaFlags(flags)
	flags.StringVar(&w.Barrier, "barrier", profile.BarrierComplete, "name of the barrier; one of another name is opened if need be")
	flags.IntVar(&w.Round, "round", 0, "wait for this round: a later one is waited for, the last eight can be asked for")
	flags.StringVar(&w.Workflow, "workflow", "", "wait for the present or the next round that was opened for this workflow")
	timeoutFlag(cmd, &w.Timeout)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if w.Timeout < 0 {
			return negative(w.Timeout)
		}
		if w.Round < 0 {
			return fmt.Errorf("%w: --round: expected a number above 0, found %d", errUsage, w.Round)
		}
		if w.Asked, err = asks.asked(); err != nil {
			return err
		}
		w.InJob = a.inJob()
		outcome, err := a.wait(cmd.Context(), w)
		if err != nil {
			return err
		}
		return a.print(outcome, func(out io.Writer) { fmt.Fprintln(out, outcome.Verdict) })
	}
	return cmd
}

// wait waits through the agent, as the member, or as an observer where this
// host is none.
func (a *app) wait(ctx context.Context, w agent.Waiting) (coordinator.Outcome, error) {
	if a.isMember() || reachable(a.cfg.Socket) {
		var outcome coordinator.Outcome
		err := a.local(ctx, w.Timeout, func(ctx context.Context, l agent.Local) (err error) {
			outcome, err = l.Wait(ctx, w, a.progress)
			return err
		})
		return outcome, err
	}
	observer, err := a.observer()
	if err != nil {
		return coordinator.Outcome{}, err
	}
	return observer.Wait(ctx, w, a.progress)
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

// progress says on stderr how far a barrier has come.
func (a *app) progress(o coordinator.Outcome) {
	at := fmt.Sprintf("round %d", o.Round)
	if o.Barrier != profile.BarrierComplete {
		at = fmt.Sprintf("barrier %s, round %d", o.Barrier, o.Round)
	}
	if o.Awaits != "" {
		fmt.Fprintln(a.stderr, clean(fmt.Sprintf("it is %s; waiting for %s", at, o.Awaits)))
		return
	}
	text := fmt.Sprintf("%s: %d of %d complete", at, o.Done, o.Total)
	for _, l := range []struct {
		what  string
		names []string
	}{
		{"waiting for", standpoints(o.Waits)}, {"failed", o.Failed}, {"not waited for", o.Late},
		{"departed", o.Departed}, {"provisioned anew", o.Renewed},
	} {
		if len(l.names) > 0 {
			text += fmt.Sprintf("; %s: %s", l.what, some(l.names))
		}
	}
	fmt.Fprintln(a.stderr, clean(text))
}

// standpoints says of each who is waited for what it does, and since when.
func standpoints(waits []coordinator.Standpoint) []string {
	list := make([]string, len(waits))
	for i, p := range waits {
		if list[i] = fmt.Sprintf("%s (%s)", p.Name, p.State); p.Since > 0 {
			list[i] = fmt.Sprintf("%s (%s since %s)", p.Name, p.State, time.Unix(p.Since, 0).UTC().Format(time.RFC3339))
		}
	}
	return list
}

// some lists names, but not hundreds of them.
func some(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

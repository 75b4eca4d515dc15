package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
	"muster/profile/drp"
)

// target is the cluster profile as an operator's command changes it: for real,
// or for --dry-run.
type target interface {
	profile.Store
	Create(ctx context.Context, description string, params profile.Params) error
}

// mutation adds the flags of a command that changes the profile.
func (a *app) mutation(cmd *cobra.Command) *cobra.Command {
	return a.outputFlag(a.dryRunFlag(cmd))
}

// target returns the profile of this name, reached with auth.
func (a *app) target(client *drp.Client, auth drp.Auth) target {
	store := client.Profile(a.cfg.Profile, auth)
	if a.dryRun {
		return drp.DryRun{Store: store, Show: a.show}
	}
	return store
}

// open returns the profile for an operator's change, and as it is now.
func (a *app) open(ctx context.Context) (target, *profile.Document, error) {
	client, auth, err := a.operate()
	if err != nil {
		return nil, nil, err
	}
	store := a.target(client, auth)
	d, err := store.Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	return store, d, d.Check()
}

// write carries plan out, and returns the profile right after. A dry run ends
// with drp.ErrDryRun, and has shown an empty patch if there is nothing to do.
func (a *app) write(ctx context.Context, store target, plan profile.Plan) (*profile.Document, error) {
	d, err := profile.NewOperator(store).Write(ctx, plan)
	if err != nil || !a.dryRun {
		return d, err
	}
	if err := a.show(json.RawMessage("[]")); err != nil {
		return nil, err
	}
	return nil, drp.ErrDryRun
}

// dryRunFlag adds --dry-run to a command that works through this host's member.
func (a *app) dryRunFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "print the JSON Patch that would be sent, and change nothing")
	return cmd
}

// preview shows what a member would send.
func (a *app) preview(ctx context.Context, l agent.Local, in agent.Intent) error {
	ops, err := l.Preview(ctx, in)
	if err != nil {
		return err
	}
	if len(ops) == 0 {
		return a.show(json.RawMessage("[]"))
	}
	patch, err := drp.Patch(ops)
	if err != nil {
		return err
	}
	return a.show(patch)
}

// show prints the body of a request that a dry run does not send.
func (a *app) show(body json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.stdout, b.String())
	return err
}

// said is a member as the operators' commands print it.
type said struct {
	UUID string `json:"uuid"`
	Name string `json:"name"` // its UUID where it has none
}

// find returns the member that a word of the command line means.
func find(d *profile.Document, word string) (said, error) {
	uuid, err := d.FindMember(word)
	return said{UUID: uuid, Name: d.NameOf(uuid)}, err
}

// notice says something on stderr.
func (a *app) notice(format string, args ...any) {
	fmt.Fprintf(a.stderr, "muster: %s\n", clean(fmt.Sprintf(format, args...)))
}

// machineUUID is what a machine is called that is no member yet.
var machineUUID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

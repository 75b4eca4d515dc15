package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"muster/agent"
	"muster/config"
	"muster/install"
	"muster/internal/metrics"
	"muster/profile"
	"muster/profile/drp"
)

// version is set by the linker; see buildVersion.
var version string

// app is what the commands share.
type app struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	cfg            config.Config
	load           func() (config.Config, error) // reads cfg again
	broken         error                         // what is wrong with cfg, for doctor
	settings       []string                      // of cfg that were given, as flags
	format         string                        // table or json
	dryRun         bool                          // show changes, and make none
	metrics        metrics.Set
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "muster",
		Short: "Coordinate the machines of a Digital Rebar cluster through their shared profile",
		Long: "Muster lets the machines of a Digital Rebar cluster elect leaders, publish facts and wait for\n" +
			"one another through nothing but guarded writes to one shared profile.\n\n" +
			"Exit codes: 0 ok, 1 failed, 2 usage, configuration or identity, 3 timed out, 4 lost the race or guard,\n" +
			"5 endpoint unreachable, 6 token refused, 7 broken out, 8 a peer failed, 9 slot lost, 10 superseded round.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; see `%s --help`", errUsage, err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	file := flags.String("config", "", "configuration file (default "+config.DefaultFile+", or $MUSTER_CONFIG)")
	for _, key := range config.Keys() {
		name := strings.ReplaceAll(key, "_", "-")
		if key == "insecure" {
			flags.Bool(name, false, "do not verify the endpoint's certificate")
			continue
		}
		flags.String(name, "", flagUsage[key])
	}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if a.format != "" && a.format != "table" && a.format != "json" {
			return fmt.Errorf("%w: -o: expected table or json, found %q", errUsage, a.format)
		}
		if slices.Contains([]string{"version", "help", "completion", "uninstall", "start", "stop", "restart", cobra.ShellCompRequestCmd}, topmost(cmd).Name()) {
			return nil // these work whatever the configuration is
		}
		if *file == "" {
			*file = a.getenv("MUSTER_CONFIG")
		}
		given := map[string]string{}
		if *file != "" {
			a.settings = append(a.settings, "--config="+*file)
		}
		// A command's own flag may have the name of a setting: it is none.
		cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
			if f.Changed {
				given[strings.ReplaceAll(f.Name, "-", "_")] = f.Value.String()
				if f.Name != "config" {
					a.settings = append(a.settings, "--"+f.Name+"="+f.Value.String())
				}
			}
		})
		a.load = func() (config.Config, error) { return config.Load(*file, a.getenv, given) }
		cfg, err := a.load()
		a.cfg = cfg
		if topmost(cmd).Name() == "doctor" { // which says so beside the rest
			a.broken, err = err, nil
		}
		return err
	}
	root.AddCommand(
		newAgent(a), newSeed(a), newRound(a), newStatus(a), newMembers(a), newLeaders(a), newFacts(a),
		newTransfer(a), newEvict(a), newAllow(a), newForget(a), newReplace(a), newPause(a), newResume(a), newScale(a), newHistory(a),
		newWait(a), newArrive(a), newEscape(a), newStep(a), newReport(a), newRun(a), newLead(a), newResign(a), newGet(a), newSet(a), newAdd(a), newUnset(a), newVersion(a),
		newDoctor(a), newRootStep(a), newInstall(a), newUninstall(a),
		newService("start", "Start the agent's service", install.Service.Start),
		newService("stop", "Stop the agent's service; sticky slots are kept", install.Service.Stop),
		newService("restart", "Restart the agent's service; sticky slots are kept", install.Service.Restart),
	)
	root.InitDefaultCompletionCmd()
	usageErrors(root)
	return root
}

// topmost is the command below the root that cmd belongs to.
func topmost(cmd *cobra.Command) *cobra.Command {
	for cmd.HasParent() && cmd.Parent().HasParent() {
		cmd = cmd.Parent()
	}
	return cmd
}

var flagUsage = map[string]string{
	"endpoint":           "URL of the DRP endpoint, https://HOST:8092",
	"profile":            "name of the cluster profile",
	"uuid":               "UUID of this host's DRP machine",
	"name":               "name of this member, where the machine cannot be read",
	"ca_file":            "PEM file of the certificates that vouch for the endpoint",
	"fingerprint":        "SHA-256 of the endpoint's certificate, instead of a CA",
	"profile_token_file": "file that holds the profile token",
	"machine_token_file": "file that holds the machine token",
	"state_dir":          "directory in which the member keeps its identity",
	"socket":             "path of the agent's local socket",
	"root_socket":        "path of the socket of the helper that runs root steps",
	"allow_workflows":    "workflows that the profile may have this host start, separated by commas",
	"steps_dir":          "directory of the steps that the agent runs (default " + config.DefaultStepsDir + ")",
	"log_level":          "trace, debug, info, warn or error",
}

// usageErrors makes wrong arguments usage errors. Where cobra would answer a
// slip of the pen with the help and success, a gate would open.
func usageErrors(cmd *cobra.Command) {
	if !cmd.Runnable() {
		cmd.RunE = func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("%w: say what is meant; see `%s --help`", errUsage, c.CommandPath())
		}
	}
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

// outputFlag adds -o to a command that prints a result.
func (a *app) outputFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&a.format, "output", "o", "table", "table or json")
	return cmd
}

// print writes v as JSON, or lets table write it.
func (a *app) print(v any, table func(io.Writer)) error {
	if a.format != "json" {
		table(a.stdout)
		return nil
	}
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (a *app) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "muster", Output: a.stderr, Level: hclog.LevelFromString(a.cfg.LogLevel)})
}

// client returns a client of the endpoint.
func (a *app) client() (*drp.Client, error) {
	if err := a.cfg.Require("endpoint", "profile"); err != nil {
		return nil, err
	}
	c := drp.Config{Endpoint: a.cfg.Endpoint, Fingerprint: a.cfg.Fingerprint, Insecure: a.cfg.Insecure, Metrics: &a.metrics}
	if a.cfg.CAFile != "" {
		pem, err := os.ReadFile(a.cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%w: ca_file (%s): %w", config.ErrInvalid, a.cfg.Origin("ca_file"), err)
		}
		c.CA = pem
	}
	if a.cfg.Insecure {
		a.logger().Warn("the endpoint's certificate is not verified", "because", a.cfg.Origin("insecure"))
	}
	client, err := drp.New(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrInvalid, err)
	}
	return client, nil
}

// operator returns the credentials of whoever runs the cluster: RS_TOKEN, or
// RS_KEY as drpcli has it.
func (a *app) operator() (drp.Auth, error) {
	if token := a.getenv("RS_TOKEN"); token != "" {
		return drp.Token(token), nil
	}
	if user, password, ok := strings.Cut(a.getenv("RS_KEY"), ":"); ok {
		return drp.Basic(user, password), nil
	}
	return nil, fmt.Errorf("%w: no credentials: set RS_TOKEN, or RS_KEY=USER:PASSWORD", config.ErrInvalid)
}

// operate returns what an operator's command needs.
func (a *app) operate() (*drp.Client, drp.Auth, error) {
	client, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	auth, err := a.operator()
	return client, auth, err
}

// isMember reports whether this host has what a member needs.
func (a *app) isMember() bool {
	_, err := os.Stat(a.cfg.ProfileTokenFile)
	return a.cfg.UUID != "" && !errors.Is(err, fs.ErrNotExist)
}

// store returns the cluster profile for reading, with the member's own token
// where there is one, else with the operator's credentials.
func (a *app) store() (*drp.Store, error) {
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	if a.isMember() {
		return client.Profile(a.cfg.Profile, drp.TokenFile(a.cfg.ProfileTokenFile)), nil
	}
	auth, err := a.operator()
	if err != nil {
		return nil, a.noMember(err)
	}
	return client.Profile(a.cfg.Profile, auth), nil
}

// noMember adds to the error of missing credentials why this host's own are not
// taken.
func (a *app) noMember(err error) error {
	if a.cfg.UUID == "" {
		return fmt.Errorf("%w; this host is no member: no uuid is set", err)
	}
	return fmt.Errorf("%w; this host is no member: profile_token_file (%s): %s does not exist", err, a.cfg.Origin("profile_token_file"), a.cfg.ProfileTokenFile)
}

// read returns the profile as it is now: through the agent, or directly.
func (a *app) read(ctx context.Context) (*profile.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	agentClient, err := agent.Dial(a.cfg.Socket)
	if err == nil {
		d, err := agentClient.Read(ctx)
		if err != nil {
			return nil, err
		}
		return d, d.Check()
	}
	if !errors.Is(err, agent.ErrNoAgent) {
		return nil, err
	}
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	d, err := store.Read(ctx)
	if err != nil {
		return nil, err
	}
	return d, d.Check()
}

// commandTimeout bounds commands that do not wait for anybody.
const commandTimeout = 30 * time.Second

// agentConfig is the configuration of this host's member.
func (a *app) agentConfig() (agent.Config, error) {
	if err := a.cfg.Require("endpoint", "profile", "uuid"); err != nil {
		return agent.Config{}, err
	}
	client, err := a.client()
	if err != nil {
		return agent.Config{}, err
	}
	cfg := agent.Config{
		Profile: a.cfg.Profile, UUID: a.cfg.UUID, Name: a.cfg.Name,
		Store:    client.Profile(a.cfg.Profile, drp.TokenFile(a.cfg.ProfileTokenFile)),
		StateDir: a.cfg.StateDir, Socket: a.cfg.Socket, Version: buildVersion(), Logger: a.logger(), Metrics: &a.metrics,
	}
	if a.hasMachineToken() {
		machine := client.Machine(a.cfg.UUID, drp.TokenFile(a.cfg.MachineTokenFile))
		cfg.Machine, cfg.Tokens, cfg.MachineToken = machine, machine, a.cfg.MachineTokenFile
	}
	return cfg, nil
}

// hasMachineToken reports whether this host has a token of its machine, or is to
// have one.
func (a *app) hasMachineToken() bool {
	_, err := os.Stat(a.cfg.MachineTokenFile)
	return err == nil || a.cfg.Origin("machine_token_file") != "default"
}

// buildVersion is the version that the linker set, else what the build
// information says.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

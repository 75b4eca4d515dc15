package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"muster/agent"
	"muster/config"
	"muster/profile"
	"muster/steps"
)

func newAgent(a *app) *cobra.Command {
	var newLife bool
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run this machine's member of the cluster",
		Long: "Joins the cluster, competes for leader slots, watches this machine's workflow and serves the local\n" +
			"socket for the other commands, until it is told to stop (SIGTERM). Slots are sticky: they are kept.\n" +
			"SIGHUP makes it read log_level again, and say which other settings take a restart; tokens are read all the time.\n\n" +
			"In every round it runs the steps of steps_dir (" + config.DefaultStepsDir + "/*.yaml), one after the other, as\n" +
			"`muster run` does. They are read when it starts; with a file that is no step it does not start (exit 2).",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// A panic, and the SIGABRT of a watchdog, would be exit code 2, after which the unit is not
			// started again; so they end it by a signal, after the stacks are printed.
			debug.SetTraceback("crash")
			thrift(a.getenv)
			cfg, err := a.agentConfig()
			if err != nil {
				return err
			}
			cfg.NewLife = newLife
			cfg.Notify = func(state string) {
				if _, err := daemon.SdNotify(false, state); err != nil {
					cfg.Logger.Debug("the service manager was not told", "err", err)
				}
			}
			if cfg.Watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
				return fmt.Errorf("%w: watchdog of the service manager: %w", errUsage, err)
			}
			if cfg.Steps, err = a.readSteps(); err != nil {
				return err
			}
			cfg.AllowWorkflows = a.cfg.Workflows()
			runner := &stepRunner{settings: a.settings, stderr: a.stderr, outputs: map[*os.File]bool{}}
			defer runner.close()
			cfg.RunStep = runner.run
			member, err := agent.Open(cfg)
			if err != nil {
				return err
			}
			defer member.Close()
			ctx := cmd.Context()
			defer a.onHangup(func() { member.Reload(func() { a.reload(cfg.Logger, cfg.Steps) }) })()
			if err := member.Join(ctx, true); err != nil {
				return stopped(ctx, err)
			}
			return stopped(ctx, member.Run(ctx))
		},
	}
	cmd.Flags().BoolVar(&newLife, "new-life", false, "take the machine's record over from whoever has it, and start anew")
	return cmd
}

// Settings of the runtime for a process that rests (ADR 0020).
const (
	agentGCPercent = 50
	agentCores     = 2
)

// thrift trades speed that an agent has no use for against memory. What the
// environment says (GOGC, GOMAXPROCS) goes first.
func thrift(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(agentGCPercent)
	}
	if getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(agentCores, runtime.GOMAXPROCS(0)))
	}
}

// stopped turns the end that was asked for into success, also where it came
// while the endpoint was away.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	for _, expected := range []error{context.Cause(ctx), context.Canceled, profile.ErrUnavailable, profile.ErrUnknownOutcome} {
		if errors.Is(err, expected) {
			return nil
		}
	}
	return err
}

// onHangup calls do at every SIGHUP, until stop is called, which returns when the
// last call has.
func (a *app) onHangup(do func()) (stop func()) {
	hangups, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer close(ended)
		for range hangups {
			do()
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-ended
	}
}

// reload reads the configuration again, and the steps, which were these when the
// agent started. What is wrong leaves it as it is.
func (a *app) reload(log hclog.Logger, started []steps.Step) {
	cfg, err := a.load()
	if err != nil {
		log.Error("the configuration was not read again", "err", err)
		return
	}
	log.SetLevel(hclog.LevelFromString(cfg.LogLevel))
	changed := slices.DeleteFunc(a.cfg.Differ(cfg), func(key string) bool { return key == "log_level" })
	log.Info("the configuration was read again", "log_level", cfg.LogLevel)
	if len(changed) > 0 {
		log.Warn("restart the agent for what else has changed", "keys", strings.Join(changed, ", "))
	}
	if now, err := a.readSteps(); err != nil {
		log.Error("the agent would not start again with the steps as they are", "err", err)
	} else if !reflect.DeepEqual(now, started) {
		log.Warn("restart the agent for the steps, which have changed", "steps_dir", a.cfg.StepsDir)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"muster/agent"
	"muster/profile"
	"muster/profile/drp"
)

// finding is what doctor has found of one thing.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"` // ok, warn or fail
	Says  string `json:"says"`

	err error // of what fails
}

// exam is one run of doctor.
type exam struct {
	*app
	findings []finding
	profile  *profile.Document // as it was read, or nil
}

func (e *exam) add(check, state, format string, args ...any) {
	e.findings = append(e.findings, finding{Check: check, State: state, Says: clean(fmt.Sprintf(format, args...))})
}

func (e *exam) ok(check, format string, args ...any)   { e.add(check, "ok", format, args...) }
func (e *exam) warn(check, format string, args ...any) { e.add(check, "warn", format, args...) }

func (e *exam) fail(check string, err error) {
	e.add(check, "fail", "%v", err)
	e.findings[len(e.findings)-1].err = err
}

func newDoctor(a *app) *cobra.Command {
	var probe bool
	cmd := a.outputFlag(&cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with this host's configuration, tokens, endpoint, profile and service",
		Long: "Looks at everything that a member needs, one line each, and changes nothing; with --probe it writes muster/probe.\n" +
			"The exit code is that of the first thing that fails, as a command that met it would have returned.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e := &exam{app: a}
			e.run(cmd.Context(), probe)
			if err := a.print(e.findings, e.table); err != nil {
				return err
			}
			if i := slices.IndexFunc(e.findings, func(f finding) bool { return f.err != nil }); i >= 0 {
				return childExit(exitCode(e.findings[i].err)) // it has been said
			}
			return nil
		},
	})
	cmd.Flags().BoolVar(&probe, "probe", false, "also race guarded writes, to see that the endpoint lets only one of them win")
	return cmd
}

func (e *exam) table(w io.Writer) {
	var cells [][]string
	for _, f := range e.findings {
		cells = append(cells, []string{f.State, f.Check, f.Says})
	}
	table(w, "STATE\tCHECK\tFOUND", cells)
}

// run makes all checks that make sense after those before.
func (e *exam) run(ctx context.Context, probe bool) {
	if !e.configuration() {
		return
	}
	e.stateDir()
	profileToken := e.token("profile token", e.cfg.ProfileTokenFile, true)
	machineToken := e.token("machine token", e.cfg.MachineTokenFile, e.cfg.Origin("machine_token_file") != "default")
	if e.endpoint(ctx) && profileToken {
		e.readProfile(ctx)
	}
	if e.profile != nil {
		e.seeded()
		e.member()
		e.clock(time.Now())
		e.versions()
		if probe {
			e.atomicity(ctx)
		}
	}
	if e.profile != nil && machineToken {
		e.machine(ctx)
	}
	e.service(ctx)
	e.steps()
}

func (e *exam) configuration() bool {
	err := e.broken
	if err == nil {
		err = e.cfg.Require("endpoint", "profile", "uuid")
	}
	if err != nil {
		e.fail("configuration", err)
		return false
	}
	e.ok("configuration", "member %s of profile %s at %s", e.cfg.UUID, e.cfg.Profile, e.cfg.Endpoint)
	return true
}

// stateDir is for the agent alone: it holds tokens.
func (e *exam) stateDir() {
	info, err := os.Stat(e.cfg.StateDir)
	if err != nil {
		e.warn("state directory", "%v: the agent makes it", err)
		return
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		e.fail("state directory", fmt.Errorf("%w: %s can be entered by others (mode %04o): chmod 700 it", agent.ErrState, e.cfg.StateDir, mode))
		return
	}
	if err := e.owned(owner(info)); err != nil {
		e.fail("state directory", err)
		return
	}
	e.ok("state directory", "%s", e.cfg.StateDir)
}

// owned checks that what the agent needs is of the owner of its directory, as whom it
// runs. For root, who can read all, that is no matter; where the unit then has another
// user, systemd gives him the directory with all that is in it.
func (e *exam) owned(uid uint32) error {
	entries, err := os.ReadDir(e.cfg.StateDir)
	if err != nil || uid == 0 {
		return nil // who may not read it is told so of the tokens
	}
	paths := []string{e.cfg.ProfileTokenFile, e.cfg.MachineTokenFile}
	for _, entry := range entries {
		if entry.Name() != "lost+found" {
			paths = append(paths, filepath.Join(e.cfg.StateDir, entry.Name()))
		}
	}
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || owner(info) == uid { // whether it is needed is said elsewhere
			continue
		}
		mend := "chown " + userName(uid) + ": " + path
		if strings.HasPrefix(path, e.cfg.StateDir+"/") {
			mend = "chown -R " + userName(uid) + ": " + e.cfg.StateDir
		}
		return fmt.Errorf("%w: %s belongs to %s, and the agent's directory %s to %s: %s", agent.ErrState, path, userName(owner(info)), e.cfg.StateDir, userName(uid), mend)
	}
	return nil
}

func owner(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// userName is the name of a user, or his number where he has none.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// token reports whether there is one that can be tried.
func (e *exam) token(check, file string, needed bool) bool {
	info, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) && !needed {
		e.ok(check, "none: tasks say how the workflow stands (muster report)")
		return false
	}
	raw, errRead := os.ReadFile(file)
	if err = errors.Join(err, errRead); err == nil {
		err = drp.CheckToken(string(raw))
	}
	if err != nil {
		e.fail(check, fmt.Errorf("%w: %s: %w", profile.ErrRefused, file, err))
		return false
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		e.fail(check, fmt.Errorf("%w: %s can be read by others (mode %04o): chmod 600 it, and replace the token if they have", agent.ErrState, file, mode))
		return true
	}
	e.age(check, file, info.ModTime())
	return true
}

// ageMost is the share of a token's life after which doctor warns.
const ageMost = 0.8

func (e *exam) age(check, file string, written time.Time) {
	issued, life, err := agent.TokenLife(file)
	age := func(since time.Time) time.Duration { return time.Since(since).Truncate(time.Minute) }
	switch {
	case err != nil:
		e.fail(check, err)
	case life == 0:
		e.ok(check, "%s, written %s ago; how long it lives is not noted", file, age(written))
	case time.Since(issued) > time.Duration(ageMost*float64(life)):
		e.warn(check, "%s is %s old and lives %s: have a new one written", file, age(issued), life)
	default:
		e.ok(check, "%s, %s old, lives %s", file, age(issued), life)
	}
}

// expiresSoon is when doctor warns of the endpoint's certificate.
const expiresSoon = 14 * 24 * time.Hour

// endpoint reports whether it can be reached.
func (e *exam) endpoint(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	shown, err := drp.Shown(ctx, e.cfg.Endpoint)
	left := time.Until(shown.Until).Truncate(time.Hour)
	switch {
	case err != nil:
		e.fail("endpoint", err)
		return false
	case e.cfg.Insecure:
		e.warn("endpoint", "it answers, and insecure (%s) keeps its certificate from being verified: give ca_file or fingerprint", e.cfg.Origin("insecure"))
	case e.cfg.Fingerprint == "" && left < expiresSoon:
		e.warn("endpoint", "it answers; its certificate expires in %s", left)
	default:
		e.ok("endpoint", "it answers; its certificate expires in %s", left)
	}
	return true
}

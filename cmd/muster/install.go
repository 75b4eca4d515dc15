package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"muster/config"
	"muster/install"
	"muster/packaging"
	"muster/profile"
	"muster/profile/drp"
)

func newInstall(a *app) *cobra.Command {
	var tokenFile string
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Make this host run the agent as a service, where no package does",
		Long: "Checks that the endpoint takes the tokens and has the machine, writes /etc/muster/muster.yaml and the\n" +
			"credentials, and registers and starts the service. The settings are those of the file, the environment and the\n" +
			"flags, as for every command; the machine token is RS_TOKEN, if that is set. If nothing else vouches for the\n" +
			"endpoint, the certificate that it shows now is pinned. What is as it has to be already stays so.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			content, err := a.content(cmd.Context(), cmd.InOrStdin(), tokenFile)
			if err != nil {
				return err
			}
			host, err := a.host()
			if err != nil {
				return err
			}
			changed, err := host.Install(cmd.Context(), content)
			if err != nil {
				return err
			}
			for _, path := range changed {
				fmt.Fprintln(a.stdout, "wrote", path)
			}
			fmt.Fprintln(a.stdout, "the agent is started: see `muster doctor`, and `journalctl -u muster`")
			return nil
		},
	}
	cmd.Flags().StringVar(&tokenFile, "profile-token", "", "file that holds the profile token, or - for stdin (default: the one that is installed)")
	return cmd
}

func newUninstall(a *app) *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take away what `muster install` put onto this host",
		Long: "Stops the agent and takes its service and program away. The member stays one of the cluster: see `muster forget`.\n" +
			"Where a package was installed over it, what they share stays, and --purge is left to the package.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := a.host()
			if err != nil {
				return err
			}
			units := slices.Sorted(maps.Keys(packaging.RootUnits(install.Program)))
			if err := host.Uninstall(cmd.Context(), units, purge); err != nil {
				return err
			}
			if host.Check() != nil {
				fmt.Fprintln(a.stdout, "the package stays, and with it /etc/muster, /var/lib/muster and the user: `systemctl enable --now muster` starts its agent")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "also the configuration, the tokens, the identity of this member and the user")
	return cmd
}

// newService returns a command that hands one word to the service manager.
func newService(word, short string, do func(install.Service) error) *cobra.Command {
	return &cobra.Command{
		Use:   word,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			service, err := install.Systemd("")
			if err != nil {
				return err
			}
			return do(service)
		},
	}
}

// host is the one that this process runs on.
func (a *app) host() (*install.Host, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: expected to be run by root, who alone registers services", errUsage)
	}
	return &install.Host{Service: install.Systemd, Users: install.Sysusers}, nil
}

// fixed are settings that the unit decides.
var fixed = []string{"state_dir", "socket", "profile_token_file", "machine_token_file"}

// content collects what a host is given, and checks it at the endpoint.
func (a *app) content(ctx context.Context, stdin io.Reader, tokenFile string) (c install.Content, err error) {
	for _, key := range fixed {
		if origin := a.cfg.Origin(key); origin != "default" {
			return c, fmt.Errorf("%w: %s (%s): the service has a place of its own for it: leave it out", config.ErrInvalid, key, origin)
		}
	}
	if err := a.cfg.Require("endpoint", "profile", "uuid"); err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if c.CA, err = a.voucher(ctx); err != nil {
		return c, err
	}
	if c.Tokens, err = a.tokens(stdin, tokenFile); err != nil {
		return c, err
	}
	if err := a.admitted(ctx, c.Tokens); err != nil {
		return c, err
	}
	own, err := os.Executable()
	if err == nil {
		c.Program, err = os.ReadFile(own)
	}
	if len(c.CA) > 0 && err == nil {
		err = a.cfg.Set("ca_file", install.CAFile, "muster install")
	}
	c.Settings = append([]byte("# Written by `muster install`; see `muster install --help`.\n"), a.cfg.File(fixed...)...)
	c.Unit, c.Units, c.Sysusers = packaging.Unit(install.Program), packaging.RootUnits(install.Program), packaging.Sysusers
	return c, err
}

// voucher returns the certificates of ca_file; without any, and with no other
// means, it pins the endpoint's own.
func (a *app) voucher(ctx context.Context) (ca []byte, err error) {
	if a.cfg.CAFile != "" {
		if ca, err = os.ReadFile(a.cfg.CAFile); err != nil {
			err = fmt.Errorf("%w: ca_file (%s): %w", config.ErrInvalid, a.cfg.Origin("ca_file"), err)
		}
		return ca, err
	}
	if a.cfg.Fingerprint != "" || a.cfg.Insecure {
		return nil, nil
	}
	shown, err := drp.Shown(ctx, a.cfg.Endpoint)
	if err != nil || shown.Trusted {
		return nil, err
	}
	fmt.Fprintf(a.stderr, "pinned the certificate that %s shows now, of SHA-256 %s: compare it, or give --ca-file\n", a.cfg.Endpoint, shown.Fingerprint)
	return nil, a.cfg.Set("fingerprint", shown.Fingerprint, "muster install")
}

// tokens returns those that are to be installed, by the names of their files.
func (a *app) tokens(stdin io.Reader, tokenFile string) (map[string][]byte, error) {
	tokens := map[string][]byte{}
	if machine := a.getenv("RS_TOKEN"); machine != "" {
		tokens[filepath.Base(a.cfg.MachineTokenFile)] = []byte(machine + "\n")
	}
	raw, err := readToken(stdin, tokenFile)
	if tokenFile != "" {
		tokens[filepath.Base(a.cfg.ProfileTokenFile)] = raw
	} else if _, missing := os.Stat(a.cfg.ProfileTokenFile); missing != nil {
		err = fmt.Errorf("%w: no profile token: give --profile-token FILE, or - for stdin; only a template that DRP renders can make one", errUsage)
	}
	return tokens, err
}

// tokenMost bounds what is read of a token, in bytes.
const tokenMost = 64 << 10

func readToken(stdin io.Reader, file string) ([]byte, error) {
	switch file {
	case "":
		return nil, nil
	case "-":
		return io.ReadAll(io.LimitReader(stdin, tokenMost))
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("%w: --profile-token: %w", errUsage, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: --profile-token: %s can be read by others (mode %04o): chmod 600 it, and replace the token if they have", errUsage, file, mode)
	}
	return os.ReadFile(file)
}

// admitted checks that the endpoint takes the tokens, that the profile is of a
// cluster, and that there is such a machine.
func (a *app) admitted(ctx context.Context, tokens map[string][]byte) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	auth := func(file string) drp.Auth {
		if token, given := tokens[filepath.Base(file)]; given {
			return drp.Token(strings.TrimSpace(string(token)))
		}
		return drp.TokenFile(file)
	}
	d, err := client.Profile(a.cfg.Profile, auth(a.cfg.ProfileTokenFile)).Read(ctx)
	if err == nil {
		err = d.Check()
	}
	if err != nil && !errors.Is(err, profile.ErrNotSeeded) { // for that the agent waits
		return fmt.Errorf("profile token: %w", err)
	}
	if _, given := tokens[filepath.Base(a.cfg.MachineTokenFile)]; given {
		if _, err := client.Machine(a.cfg.UUID, auth(a.cfg.MachineTokenFile)).Read(ctx); err != nil {
			return fmt.Errorf("machine token (RS_TOKEN): uuid (%s) %s: %w", a.cfg.Origin("uuid"), a.cfg.UUID, err)
		}
		return nil
	}
	expected, err := d.Expected()
	if err == nil && len(expected.Members) >= expected.Count && !slices.Contains(expected.Members, a.cfg.UUID) {
		return fmt.Errorf("%w: uuid (%s): no expected member of %s is %s: is it the UUID of this host's DRP machine? `muster seed --update` adds machines", profile.ErrNoSuch, a.cfg.Origin("uuid"), a.cfg.Profile, a.cfg.UUID)
	}
	return nil
}

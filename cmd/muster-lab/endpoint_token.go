package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"muster/endpoint"
	"muster/lab"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make tokens of users, machines and profiles",
		Long:  "Prints a token and nothing else, or writes it to a file with mode 0600.",
		Args:  cobra.NoArgs,
		RunE:  showHelp,
	}
	cmd.AddCommand(
		newAPIToken("user", "Make a token with the powers of a user", "rocketskates", (*lab.Operator).UserToken),
		newAPIToken("machine", "Make a token of a machine (not with --compat 3.13, which has no API for it)", "node-01", (*lab.Operator).MachineToken),
		newProfileToken(),
	)
	return cmd
}

// tokenFlags are those of all tokens.
type tokenFlags struct {
	ttl time.Duration
	out string
}

func (f *tokenFlags) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.ttl, "ttl", 24*time.Hour, "how long the token is good, such as 90m")
	cmd.Flags().StringVar(&f.out, "out", "", "write the token to this file, 0600, instead of printing it")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if f.ttl < time.Second {
			return fmt.Errorf("%w: --ttl: expected a second or more, found %s", errUsage, f.ttl)
		}
		return nil
	}
}

// deliver prints the token, or replaces the file by one that holds it.
func (f *tokenFlags) deliver(cmd *cobra.Command, token string) error {
	if f.out == "" {
		fmt.Fprintln(cmd.OutOrStdout(), token)
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(f.out), ".token")
	if err != nil {
		return err
	}
	_, err = file.WriteString(token + "\n")
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), f.out)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

func newAPIToken(kind, short, example string, mint func(o *lab.Operator, ctx context.Context, name string, ttl time.Duration) (string, error)) *cobra.Command {
	var a access
	var f tokenFlags
	cmd := &cobra.Command{
		Use:     kind + " NAME",
		Short:   short,
		Example: fmt.Sprintf("  muster-lab endpoint token %s %s --ttl 2h --out %[1]s.token", kind, example),
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(o *lab.Operator) error {
				token, err := mint(o, cmd.Context(), args[0], f.ttl)
				if err != nil {
					return err
				}
				return f.deliver(cmd, token)
			})
		},
	}
	a.flags(cmd)
	f.add(cmd)
	return cmd
}

func newProfileToken() *cobra.Command {
	var c controlFlag
	var f tokenFlags
	var machine string
	cmd := &cobra.Command{
		Use:   "profile NAME",
		Short: "Make a token of a profile, over the control socket",
		Long: "DRP has no API for profile tokens: there, they come from templates that are rendered for a machine which\n" +
			"carries the profile. So this works only with an endpoint of muster-lab, and needs such a machine, too.",
		Example: "  muster-lab endpoint token profile k3s --control lab.sock --out profile.token",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			control, err := c.control()
			if err != nil {
				return err
			}
			token, err := control.ProfileToken(cmd.Context(), machine, args[0], f.ttl)
			if errors.Is(err, endpoint.ErrTokenNotAllowed) && machine == "" {
				return fmt.Errorf("%w; `muster-lab endpoint machine add NAME --profile %s` adds a machine that carries it, and makes it if need be", err, args[0])
			}
			if err != nil {
				return err
			}
			return f.deliver(cmd, token)
		},
	}
	c.flag(cmd)
	f.add(cmd)
	cmd.Flags().StringVar(&machine, "machine", "", "machine that carries the profile; by default any that does")
	return cmd
}

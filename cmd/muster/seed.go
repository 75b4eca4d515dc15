package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"muster/profile"
	"muster/profile/drp"
)

func newSeed(a *app) *cobra.Command {
	var filter string
	var roles []string
	var leaderTTL string
	var acceptComplete bool
	var asks *criteria
	var seed profile.Seed
	cmd := a.mutation(&cobra.Command{
		Use:   "seed",
		Short: "Plant what the members need into the cluster profile (on the cluster manager)",
		Long: "Creates the profile if need be, lists the machines that the filter selects, leaves out the manager\n" +
			"(the one with cluster/manager: true), and plants the expected members, the slots and round 1. What is there already is left alone, so\n" +
			"seeding again changes nothing. Members that old content left in cluster/leaders become the holders of the first\n" +
			"leader slots. Needs RS_TOKEN or RS_KEY with the right to list machines.\n\n" +
			"Priorities (default 100, 0 never claims) are set afterwards, by UUID, in the param muster/roles, as with\n" +
			"  drpcli profiles get PROFILE param muster/roles >roles.json   # add \"priority\": {UUID: N} to the role\n" +
			"  drpcli profiles set PROFILE param muster/roles to - <roles.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			seed.Profile, seed.Filter = a.cfg.Profile, filter
			var err error
			if seed.Roles, seed.Options, err = parseRoles(roles); err != nil {
				return err
			}
			if leaderTTL != "" {
				seed.Options[profile.Leader] = profile.RoleOptions{TTL: leaderTTL}
			}
			if seed.Criteria, err = asks.criteria(); err != nil {
				return err
			}
			seed.Criteria.AcceptComplete = acceptComplete
			seed.MoreLeaders = !cmd.Flags().Changed("leaders")
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			return a.seed(ctx, seed)
		},
	})
	flags := cmd.Flags()
	asks = lengthFlags(flags)
	flags.StringVar(&filter, "filter", "Profiles Eq $CLUSTER_PROFILE", "drpcli filter words that select the members")
	flags.IntVar(&seed.Leaders, "leaders", 1, "slots of role leader; if not given, as many more as cluster/leaders names members")
	flags.StringVar(&leaderTTL, "leader-ttl", "", "make the leader slots leases of this TTL, such as 30s; they are sticky otherwise")
	flags.StringArrayVar(&roles, "role", nil, "NAME=N[,ttl=30s][,on-demand]: another role with N slots, which are leases of that TTL, and\nclaimed only where a command asks for one (repeatable)")
	flags.StringVar(&seed.Workflow, "workflow", "", "what the machines are to run in round 1, for people")
	flags.BoolVar(&acceptComplete, "accept-complete", false, "a machine that was complete before its agent ever ran counts in round 1")
	return cmd
}

// parseRoles reads words of the form NAME=N[,ttl=30s][,on-demand].
func parseRoles(words []string) (map[string]int, map[string]profile.RoleOptions, error) {
	roles, options := map[string]int{}, map[string]profile.RoleOptions{}
	for _, w := range words {
		parts := strings.Split(w, ",")
		name, count, ok := strings.Cut(parts[0], "=")
		n, err := strconv.Atoi(count)
		var o profile.RoleOptions
		for _, part := range parts[1:] {
			key, value, given := strings.Cut(part, "=")
			switch {
			case key == "ttl" && given:
				o.TTL = value
			case part == "on-demand":
				o.OnDemand = true
			default:
				ok = false
			}
		}
		if !ok || err != nil || name == "" {
			return nil, nil, fmt.Errorf("%w: --role: expected NAME=N[,ttl=30s][,on-demand], found %q", errUsage, w)
		}
		roles[name], options[name] = n, o
	}
	return roles, options, nil
}

// seeded is what the command prints.
type seeded struct {
	Profile string   `json:"profile"`
	Created bool     `json:"created"`
	Members []string `json:"members"` // UUIDs
	Round   int      `json:"round"`
}

func (a *app) seed(ctx context.Context, seed profile.Seed) error {
	client, auth, err := a.operate()
	if err != nil {
		return err
	}
	if seed.Members, err = a.selectMembers(ctx, client, seed.Filter, auth); err != nil {
		return err
	}
	d, created, err := a.plant(ctx, a.target(client, auth), seed)
	if err != nil {
		return err
	}
	expected, err := d.Expected()
	if err != nil {
		return err
	}
	round, err := d.Round()
	if err != nil {
		return err
	}
	result := seeded{Profile: d.Name, Created: created, Members: expected.Members, Round: round.N}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "profile %s is seeded: %d members expected, round %d\n", result.Profile, len(result.Members), result.Round)
	})
}

// selectMembers lists the machines of the filter, without the manager: the one
// that carries cluster/manager: true. The machine on which this runs is left out
// for no other reason: left out by mistake, nobody would ever wait for it.
func (a *app) selectMembers(ctx context.Context, client *drp.Client, words string, auth drp.Auth) ([]string, error) {
	filter, err := drp.Filter(words, a.cfg.Profile)
	if err != nil {
		return nil, err
	}
	machines, err := client.Machines(ctx, filter, auth)
	if err != nil {
		return nil, fmt.Errorf("list the members: %w", err)
	}
	var members []string
	for _, m := range machines {
		if m.Manager {
			continue
		}
		members = append(members, m.UUID)
		if m.UUID == a.cfg.UUID {
			fmt.Fprintf(a.stderr, "muster: this machine, %s, is expected as a member; if it is the manager, set its param cluster/manager to true before seeding\n", clean(m.Name))
		}
	}
	if len(members) == 0 {
		return nil, fmt.Errorf("no member: filter %q selects no machine besides the manager; add the profile to the machines first, and check that the credentials may list them (DRP shows an empty list otherwise)", words)
	}
	slices.Sort(members)
	return members, nil
}

// plant creates the profile, or adds what it lacks.
func (a *app) plant(ctx context.Context, store target, seed profile.Seed) (*profile.Document, bool, error) {
	params, err := seed.Params()
	if err != nil {
		return nil, false, err
	}
	found, err := store.Read(ctx)
	if errors.Is(err, profile.ErrNotFound) {
		err := store.Create(ctx, "Shared profile of cluster "+seed.Profile, params)
		if err != nil && !errors.Is(err, profile.ErrConflict) && !errors.Is(err, profile.ErrUnknownOutcome) {
			return nil, false, fmt.Errorf("create profile %q: %w", seed.Profile, err)
		}
		if err == nil {
			d, err := store.Read(ctx)
			return d, true, err
		}
	} else if err != nil {
		return nil, false, err
	} else if err := a.strangers(found, seed.Members); err != nil {
		return nil, false, err
	}
	d, err := a.write(ctx, store, seed.Plan)
	return d, false, err
}

// strangers names the entries of cluster/leaders that the first seed cannot
// give a slot to.
func (a *app) strangers(d *profile.Document, members []string) error {
	if _, planted := d.Params[profile.ParamSlots]; planted {
		return nil
	}
	_, others, err := profile.Adoptable(d, members)
	for _, entry := range others {
		a.notice("%s names %s, which is no expected member: it stays in the list, and gets no slot", profile.ParamLeaders, entry)
	}
	return err
}

package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"muster/profile"
)

// seedFlags are the flags of `muster seed` as they are given.
type seedFlags struct {
	filter, leaderTTL                     string
	roles, params, memberRoles, workflows []string
	secret                                string
	acceptComplete                        bool
	asks                                  *criteria
}

func newSeed(a *app) *cobra.Command {
	s := &sowing{app: a, seed: profile.Seed{Leaders: 1}}
	var given seedFlags
	cmd := a.mutation(&cobra.Command{
		Use:   "seed",
		Short: "Plant what the members need into the cluster profile (on the cluster manager)",
		Long: "Creates the profile if need be, lists the machines that the filter selects, leaves out the manager\n" +
			"(the one with cluster/manager: true), and plants the expected members, the slots and round 1. Then it adds the profile\n" +
			"to the members' machines, and sets cluster/manager on the machine that it runs on (RS_UUID) if that is no member.\n" +
			"What is there already is left alone, so seeding again changes nothing; with the same flags and --update it adds the\n" +
			"machines that the filter selects by now, and forgets those that it does not. Members that old content left in\n" +
			"cluster/leaders become the holders of the first leader slots. Needs RS_TOKEN or RS_KEY with the right to list and\n" +
			"update machines.\n\n" +
			"With --self-seed no machine is listed nor changed: the profile token of this host is enough, the profile exists, and\n" +
			"the first --expect machines whose agents join are the members.\n\n" +
			"Priorities (default 100, 0 never claims) are set afterwards, by UUID, in the param muster/roles, as with\n" +
			"  drpcli profiles get PROFILE param muster/roles >roles.json   # add \"priority\": {UUID: N} to the role\n" +
			"  drpcli profiles set PROFILE param muster/roles to - <roles.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.parse(cmd, given); err != nil {
				return err
			}
			if err := s.readSecret(cmd.InOrStdin(), given.secret); err != nil {
				return err
			}
			return s.run(cmd.Context())
		},
	})
	flags := cmd.Flags()
	given.asks = lengthFlags(flags)
	flags.StringVar(&given.filter, "filter", "", "drpcli filter words that select the members (default those of cluster/filter, else\n\"Profiles Eq $CLUSTER_PROFILE\")")
	flags.IntVar(&s.seed.Leaders, "leaders", 1, "slots of role leader; if not given, as many more as cluster/leaders names members")
	flags.StringVar(&given.leaderTTL, "leader-ttl", "", "make the leader slots leases of this TTL, such as 30s; they are sticky otherwise")
	flags.StringArrayVar(&given.roles, "role", nil, "NAME=N[,ttl=30s][,on-demand]: another role with N slots, which are leases of that TTL, and\nclaimed only where a command asks for one (repeatable)")
	flags.StringArrayVar(&given.memberRoles, "member-role", nil, "NAME=FILTER: the members that these filter words select are a role that barriers can wait for (repeatable)")
	flags.StringArrayVar(&given.workflows, "workflow", nil, "ROLE=W: what members of the role start on themselves (repeatable); or W: what the machines are to run in\nround 1, for people")
	flags.StringArrayVar(&given.params, "param", nil, "KEY=VALUE: plant this param of your own too, if it is absent; JSON, or else a string (repeatable)")
	flags.StringVar(&given.secret, "secret", "", "KEY=-: plant this secure param of your own too, if it is absent; its value is read from stdin, and sealed")
	flags.BoolVar(&given.acceptComplete, "accept-complete", false, "a machine that was complete before its agent ever ran counts in round 1")
	flags.BoolVar(&s.update, "update", false, "bring a seeded profile up to date: add and remove members, set --member-role, ROLE=W and the filter")
	flags.BoolVar(&s.force, "force", false, "with --update: also remove members that hold slots, though their hosts may still run something under them")
	flags.BoolVar(&s.self, "self-seed", false, "with this host's profile token alone, and no machine listed; needs --expect")
	flags.IntVar(&s.seed.Expect, "expect", 0, "with --self-seed: so many members, whoever joins first")
	return cmd
}

// parse checks the flags and makes the seed of them, but for the members.
func (s *sowing) parse(cmd *cobra.Command, given seedFlags) error {
	if err := s.parseWay(cmd); err != nil {
		return err
	}
	s.seed.Profile, s.seed.Filter = s.cfg.Profile, given.filter
	s.seed.MoreLeaders = !cmd.Flags().Changed("leaders")
	var err error
	if s.seed.Roles, s.seed.Options, err = parseRoles(given.roles); err != nil {
		return err
	}
	if given.leaderTTL != "" {
		s.seed.Options[profile.Leader] = profile.RoleOptions{TTL: given.leaderTTL}
	}
	if s.seed.Criteria, err = given.asks.criteria(); err != nil {
		return err
	}
	s.seed.Criteria.AcceptComplete = given.acceptComplete
	if s.roleFilters, err = parsePairs("member-role", "NAME=FILTER", given.memberRoles); err != nil {
		return err
	}
	if err := s.parseParams(given.params); err != nil {
		return err
	}
	return s.parseWorkflows(given.workflows)
}

// parseWay checks how the profile is to be seeded.
func (s *sowing) parseWay(cmd *cobra.Command) error {
	changed := cmd.Flags().Changed
	for _, flag := range []string{"filter", "member-role", "update"} {
		if s.self && changed(flag) {
			return fmt.Errorf("%w: --%s needs to list machines, which --self-seed does not", errUsage, flag)
		}
	}
	switch {
	case s.self != changed("expect"):
		return fmt.Errorf("%w: --self-seed and --expect N go together", errUsage)
	case s.self && s.seed.Expect < 1:
		return fmt.Errorf("%w: --expect: expected 1 or more, found %d", errUsage, s.seed.Expect)
	case s.force && !s.update:
		return fmt.Errorf("%w: --force removes members, which --update asks for", errUsage)
	}
	return nil
}

func (s *sowing) parseParams(words []string) error {
	params, err := parsePairs("param", "KEY=VALUE", words)
	if err != nil {
		return err
	}
	s.seed.Others = profile.Params{}
	for key, value := range params {
		if s.seed.Others[key], err = valueOf(value, false); err != nil {
			return fmt.Errorf("%w: --param %s: %w", errUsage, key, err)
		}
	}
	return nil
}

// readSecret reads the value of the secure param from stdin.
func (s *sowing) readSecret(stdin io.Reader, word string) error {
	if word == "" {
		return nil
	}
	key, dash, _ := strings.Cut(word, "=")
	if _, twice := s.seed.Others[key]; dash != "-" || key == "" || twice {
		return fmt.Errorf("%w: --secret: expected KEY=-, and the value on stdin, of a key that is not given by --param, found %s=…", errUsage, key)
	}
	value, _, err := given(stdin, "-", false)
	if err != nil {
		return fmt.Errorf("%w: --secret %s: %w", errUsage, key, err)
	}
	s.secret = profile.Edit{Key: key, Value: value}
	return nil
}

// parseWorkflows reads words of the form ROLE=W, or, once, W.
func (s *sowing) parseWorkflows(words []string) error {
	byRole := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !strings.Contains(w, "=") })
	ofRound := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return strings.Contains(w, "=") })
	if len(ofRound) > 1 {
		return fmt.Errorf("%w: --workflow: a round has one workflow, found %s; those of roles are given as ROLE=W", errUsage, strings.Join(ofRound, " and "))
	}
	s.seed.Workflow = strings.Join(ofRound, "")
	var err error
	s.seed.Workflows, err = parsePairs("workflow", "ROLE=W", byRole)
	return err
}

// parsePairs reads words of the form A=B.
func parsePairs(flag, want string, words []string) (map[string]string, error) {
	pairs := map[string]string{}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if _, twice := pairs[key]; !ok || key == "" || value == "" || twice {
			return nil, fmt.Errorf("%w: --%s: expected %s, each once, found %q", errUsage, flag, want, w)
		}
		pairs[key] = value
	}
	return pairs, nil
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

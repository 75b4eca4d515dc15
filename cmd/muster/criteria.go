package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"muster/profile"
)

// criteria are the flags that say whom a barrier waits for, and how long.
type criteria struct {
	role, allowMissing string
	deadline           time.Duration
	failFast           bool
	flags              *pflag.FlagSet
}

// criteriaFlags adds the flags. Those that are not given ask for nothing.
func criteriaFlags(flags *pflag.FlagSet) *criteria {
	c := lengthFlags(flags)
	flags.StringVar(&c.role, "role", "", "wait for the members of this role only: one of muster/expected, one with slots, or worker")
	return c
}

// lengthFlags adds those that say how long a barrier waits.
func lengthFlags(flags *pflag.FlagSet) *criteria {
	c := &criteria{flags: flags}
	flags.StringVar(&c.allowMissing, "allow-missing", "", "N or P%: so many may be missing at the deadline")
	flags.DurationVar(&c.deadline, "deadline", 0, "the barrier expires after this time, for everybody")
	flags.BoolVar(&c.failFast, "fail-fast", false, "the first member that fails ends it")
	return c
}

// asked returns what the flags ask for.
func (c *criteria) asked() (profile.Asked, error) {
	var a profile.Asked
	if c.flags.Changed("role") {
		a.Role = &c.role
	}
	if c.flags.Changed("allow-missing") {
		a.AllowMissing = &c.allowMissing
	}
	if c.flags.Changed("deadline") {
		text := c.deadline.String()
		a.Deadline = &text
	}
	if c.flags.Changed("fail-fast") {
		a.FailFast = &c.failFast
	}
	if c.deadline < 0 {
		return a, fmt.Errorf("%w: --deadline: expected a positive duration, or 0 for none, found %s", errUsage, c.deadline)
	}
	return a, nil
}

// criteria returns those of a barrier that is planted with a round.
func (c *criteria) criteria() (profile.Criteria, error) {
	asked, err := c.asked()
	return asked.Criteria(profile.OfComplete), err
}

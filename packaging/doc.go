// Package packaging is data: its folder holds the unit, the configuration and the
// scripts of the packages. ../nfpm.yaml says what goes where, and `make packages`
// makes them; `muster install` gives hosts without packages the same unit.
package packaging

import (
	_ "embed"
	"strings"
)

//go:embed systemd/muster.service
var unit string

// Sysusers is the snippet of systemd-sysusers that makes the agent's user.
//
//go:embed systemd/sysusers.conf
var Sysusers string

// Unit returns the agent's unit, of a program that lies at this path.
func Unit(program string) string { return strings.ReplaceAll(unit, "/usr/bin/muster", program) }

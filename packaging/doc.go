// Package packaging is data: its folder holds the unit, the configuration and the
// scripts of the packages. ../nfpm.yaml says what goes where, and `make packages`
// makes them; `muster install` gives hosts without packages the same unit.
package packaging

import (
	"embed"
	"strings"
)

//go:embed systemd/muster.service systemd/muster-root.socket systemd/muster-root@.service
var units embed.FS

// Sysusers is the snippet of systemd-sysusers that makes the agent's user.
//
//go:embed systemd/sysusers.conf
var Sysusers string

// Unit returns the agent's unit, of a program that lies at this path.
func Unit(program string) string { return unit("muster.service", program) }

// RootUnits returns the units of the helper of root steps, by the names of their
// files, of a program that lies at this path.
func RootUnits(program string) map[string]string {
	all := map[string]string{}
	for _, name := range []string{"muster-root.socket", "muster-root@.service"} {
		all[name] = unit(name, program)
	}
	return all
}

func unit(name, program string) string {
	raw, err := units.ReadFile("systemd/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	return strings.ReplaceAll(string(raw), "/usr/bin/muster", program)
}

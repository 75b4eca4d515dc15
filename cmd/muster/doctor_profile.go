package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"

	"muster/profile"
	"muster/profile/drp"
)

func (e *exam) readProfile(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	client, err := e.client()
	if err == nil {
		e.profile, err = client.Profile(e.cfg.Profile, drp.TokenFile(e.cfg.ProfileTokenFile)).Read(ctx)
	}
	if err != nil {
		e.fail("profile", err)
		return
	}
	e.ok("profile", "%s can be read", e.cfg.Profile)
}

// seeded looks at what the cluster manager plants.
func (e *exam) seeded() {
	if err := e.profile.Check(); err != nil {
		e.fail("seed", err)
		return
	}
	round, err := e.profile.Round()
	expected, errExpected := e.profile.Expected()
	if err := errors.Join(err, errExpected); err != nil {
		e.fail("seed", err)
		return
	}
	e.ok("seed", "%d members expected, round %d", max(expected.Count, len(expected.Members)), round.N)
}

func (e *exam) member() {
	record, exists, err := e.profile.Record(e.cfg.UUID)
	expected, errExpected := e.profile.Expected()
	switch {
	case errors.Join(err, errExpected) != nil:
		e.fail("member", errors.Join(err, errExpected))
	case !exists && len(expected.Members) >= expected.Count:
		e.fail("member", fmt.Errorf("%w: %s is not expected: is it the UUID of this host's DRP machine? `muster seed --update` adds machines", profile.ErrNoSuch, e.cfg.UUID))
	case !record.Joined():
		e.warn("member", "%s has not joined yet", e.cfg.UUID)
	default:
		e.ok("member", "%s has joined as %s", e.cfg.UUID, record.Name)
	}
}

// clockMost is how far the clocks may be apart before doctor warns. Nothing
// depends on it but the order of epochs after a restore.
const clockMost = 5 * time.Second

func (e *exam) clock(now time.Time) {
	if e.profile.Date.IsZero() {
		e.warn("clock", "the endpoint's answer has no date")
		return
	}
	apart := now.Sub(e.profile.Date).Truncate(time.Second)
	if apart.Abs() > clockMost {
		e.warn("clock", "this host's clock is %s off the endpoint's: let both follow a time server", apart)
		return
	}
	e.ok("clock", "within %s of the endpoint's", clockMost)
}

// versions are those of the programs that have joined.
func (e *exam) versions() {
	records, err := e.profile.Members()
	if err != nil {
		e.fail("versions", err)
		return
	}
	found := map[string]int{buildVersion(): 0}
	for _, r := range records {
		if r.Joined() {
			found[r.Version]++
		}
	}
	if len(found) == 1 {
		e.ok("versions", "everybody runs %s", buildVersion())
		return
	}
	var list []string
	for _, v := range slices.Sorted(maps.Keys(found)) {
		list = append(list, fmt.Sprintf("%s on %d", v, found[v]))
	}
	e.warn("versions", "this is %s; the members run %s", buildVersion(), strings.Join(list, ", "))
}

// The probe of DESIGN, "Trust and limits".
const (
	probeWriters = 16
	probeRounds  = 20
)

func (e *exam) atomicity(ctx context.Context) {
	var stores []profile.Store
	for range probeWriters {
		client, err := e.client() // each has a connection of its own
		if err != nil {
			e.fail("atomicity", err)
			return
		}
		defer client.Close()
		stores = append(stores, client.Profile(e.cfg.Profile, drp.TokenFile(e.cfg.ProfileTokenFile)))
	}
	if err := profile.Probe(ctx, stores, probeRounds); err != nil {
		e.fail("atomicity", err)
		return
	}
	e.ok("atomicity", "of %d guarded writes at once never two won, in %d rounds", probeWriters, probeRounds)
}

func (e *exam) machine(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	client, err := e.client()
	if err != nil {
		e.fail("machine", err)
		return
	}
	m, err := client.Machine(e.cfg.UUID, drp.TokenFile(e.cfg.MachineTokenFile)).Read(ctx)
	if err != nil {
		e.fail("machine", err)
		return
	}
	e.ok("machine", "%s, workflow %q", m.Name, m.Workflow)
}

func (e *exam) service(ctx context.Context) {
	status, err := e.agentStatus(ctx)
	switch {
	case err != nil:
		e.fail("service", err)
	case status == nil:
		e.silent(ctx)
	default:
		e.ok("service", "the agent answers on %s", e.cfg.Socket)
	}
}

// silent is what is said of an agent that does not answer: it is none, or one that is to
// run. A socket of another place than the unit's is of neither.
func (e *exam) silent(ctx context.Context) {
	show, err := exec.CommandContext(ctx, "systemctl", "show", "--property=UnitFileState", "--property=ActiveState", "muster").Output()
	unit := string(show)
	if err != nil || !strings.Contains(unit, "UnitFileState=enabled\n") || e.cfg.Origin("socket") != "default" {
		e.warn("service", "no agent answers on %s: `systemctl status muster` says why", e.cfg.Socket)
		return
	}
	_, active, _ := strings.Cut(unit, "ActiveState=")
	active, _, _ = strings.Cut(active, "\n")
	e.fail("service", fmt.Errorf("the service is enabled and %s, and no agent answers on %s: `systemctl status muster` and `journalctl -u muster` say why", active, e.cfg.Socket))
}

func (e *exam) steps() {
	all, err := e.readSteps()
	if err != nil {
		e.fail("steps", err)
		return
	}
	e.ok("steps", "%d in %s", len(all), e.cfg.StepsDir)
}

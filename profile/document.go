package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"muster/internal/rawjson"
)

// Check refuses a profile that is not seeded, not self-referential or newer
// than this code: ErrNotSeeded or ErrMalformed, with what to do.
func (d *Document) Check() error {
	var self string
	raw, ok := d.Params[ParamProfile]
	switch {
	case !ok:
		return fmt.Errorf("%w: profile %q has no %s; run `muster seed --profile %s` on the cluster manager", ErrNotSeeded, d.Name, ParamProfile, d.Name)
	case json.Unmarshal(raw, &self) != nil || self != d.Name:
		return fmt.Errorf("%w: %s of profile %q is %s, but must be the profile's own name %q; correct it, or name the right profile", ErrMalformed, ParamProfile, d.Name, clip(raw), d.Name)
	}
	if _, ok := d.Params[ParamFormat]; !ok {
		return fmt.Errorf("%w: profile %q has no %s; run `muster seed --profile %s` on the cluster manager", ErrNotSeeded, d.Name, ParamFormat, d.Name)
	}
	format, err := decode[int](d, ParamFormat, "an integer")
	if err != nil {
		return err
	}
	if format > Format {
		return fmt.Errorf("%w: %s is %d, but this version understands up to %d; upgrade muster on this host", ErrMalformed, ParamFormat, format, Format)
	}
	return nil
}

// Round returns the present round.
func (d *Document) Round() (Round, error) {
	return decode[Round](d, ParamRound, `{"n": integer, "id": string, "workflow": string}`)
}

// Expected returns whom the barrier waits for.
func (d *Document) Expected() (Expected, error) {
	return decode[Expected](d, ParamExpected, `{"version": integer, "round": integer, "count": integer, "members": [UUID], "roles": {NAME: [UUID]}}`)
}

// Slots returns all slots: role → slot number → slot.
func (d *Document) Slots() (map[string]map[string]Slot, error) {
	return decode[map[string]map[string]Slot](d, ParamSlots, `{ROLE: {NUMBER: {"holder": string, "instance": string, "epoch": integer, …}}}`)
}

// Barrier returns one round of a named barrier, and whether it is planted.
func (d *Document) Barrier(name string, round int) (Barrier, bool, error) {
	var b Barrier
	barriers, err := decode[map[string]map[string]json.RawMessage](d, ParamBarriers, `{NAME: {ROUND: {"criteria": {…}, "verdict": string, …}}}`)
	raw, ok := barriers[name][strconv.Itoa(round)]
	if err != nil || !ok {
		return b, false, err
	}
	if err := unmarshal(raw, &b); err != nil {
		return b, true, fmt.Errorf("%w: round %d of barrier %q in %s: expected {\"criteria\": {…}, \"verdict\": string, …}, found %s (%v)", ErrMalformed, round, name, ParamBarriers, clip(raw), err)
	}
	return b, true, nil
}

// BarrierNames returns the names of the barriers of one round, sorted.
func (d *Document) BarrierNames(round int) ([]string, error) {
	barriers, err := decode[map[string]map[string]json.RawMessage](d, ParamBarriers, `{NAME: {ROUND: {"criteria": {…}, "verdict": string, …}}}`)
	names := sorted(barriers)
	return slices.DeleteFunc(names, func(name string) bool { return barriers[name][strconv.Itoa(round)] == nil }), err
}

// Barriers returns all barriers: name → round → barrier.
func (d *Document) Barriers() (map[string]map[string]Barrier, error) {
	return decode[map[string]map[string]Barrier](d, ParamBarriers, `{NAME: {ROUND: {"criteria": {…}, "verdict": string, …}}}`)
}

// Mirrors returns the entries of cluster/leaders.
func (d *Document) Mirrors() ([]Mirror, error) {
	return decode[[]Mirror](d, ParamLeaders, `[{"Address": string, "Name": string, "Uuid": string}]`)
}

// Facts returns the fact sheets by UUID.
func (d *Document) Facts() (map[string]json.RawMessage, error) {
	return decode[map[string]json.RawMessage](d, ParamFacts, "{UUID: fact sheet}")
}

// FactsBudget returns how many bytes a fact sheet may take.
func (d *Document) FactsBudget() (int, error) {
	return decode[int](d, ParamFactsBudget, "an integer")
}

// Ops returns the operators' sequence.
func (d *Document) Ops() (Ops, error) {
	return decode[Ops](d, ParamOps, `{"n": integer, "write": string}`)
}

// Paused reports whether claims are suspended.
func (d *Document) Paused() (bool, error) {
	return decode[bool](d, ParamPaused, "true or false")
}

// Escaped reports whether the presence of cluster/escape breaks every wait.
func (d *Document) Escaped() bool {
	_, ok := d.Params[ParamEscape]
	return ok
}

// SlotCount returns how many slots a role has, and the place where that is
// said, for a claim to test.
func (d *Document) SlotCount(role string) (int, Pointer, error) {
	if role == Leader {
		n, err := decode[int](d, ParamLeaderCount, "an integer")
		return n, At(ParamLeaderCount), err
	}
	options, err := d.RoleOptions(role)
	return options.Slots, At(ParamRoles, role, "slots"), err
}

// RoleOptions returns the options of a role; the zero value if it has none.
func (d *Document) RoleOptions(role string) (RoleOptions, error) {
	roles, err := decode[map[string]RoleOptions](d, ParamRoles, `{ROLE: {"slots": integer, "ttl": duration, "priority": {UUID: integer}, "on_demand": boolean}}`)
	return roles[role], err
}

// Workflows returns what the members of roles start on themselves, by role; none
// if that is not said.
func (d *Document) Workflows() (map[string]string, error) {
	if _, said := d.Params[ParamWorkflows]; !said {
		return nil, nil
	}
	return decode[map[string]string](d, ParamWorkflows, "{ROLE: workflow}")
}

func decode[T any](d *Document, param, want string) (T, error) {
	var v T
	raw, ok := d.Params[param]
	if !ok {
		return v, fmt.Errorf("%w: %s is absent, expected %s; %s", ErrMalformed, param, want, remedy(param))
	}
	if v, known := recall[T](d.memo, param, raw); known {
		return v, nil
	}
	if err := unmarshal(raw, &v); err != nil {
		return v, unexpected(param, want, raw, err)
	}
	keep(d.memo, param, raw, v)
	return v, nil
}

func unexpected(param, want string, raw json.RawMessage, err error) error {
	return fmt.Errorf("%w: %s: expected %s, found %s (%v)", ErrMalformed, param, want, clip(raw), err)
}

// unmarshal refuses null, which encoding/json takes for any zero value and
// which DRP stores when a param is posted without a body.
func unmarshal(raw json.RawMessage, v any) error {
	if string(bytes.TrimSpace(raw)) == "null" {
		return errors.New("it is null")
	}
	if members, ok := v.(*map[string]json.RawMessage); ok { // of the largest params
		var err error
		*members, err = rawjson.Object(raw)
		return err
	}
	return json.Unmarshal(raw, v)
}

func clip(raw json.RawMessage) string {
	const most = 80
	if len(raw) > most {
		return strings.ToValidUTF8(string(raw[:most]), "") + "…"
	}
	return string(raw)
}

// remedy says how a param that is missing can be had again.
func remedy(param string) string {
	if live(param) {
		return "restore the profile from a backup, or remove all its muster/ params and run `muster seed`"
	}
	return "run `muster seed` again to mend it"
}

// live reports whether a param holds what has happened since the seed. Planted
// anew by itself it would contradict the others: an old barrier would open a new
// round, or held slots would look free.
func live(param string) bool {
	return slices.Contains([]string{ParamRound, ParamExpected, ParamSlots, ParamMembers, ParamBarriers, ParamSteps}, param)
}

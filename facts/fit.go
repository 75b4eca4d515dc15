package facts

import (
	"encoding/json"
	"fmt"
	"slices"
)

// minBudget is the least budget that a sheet is made for; the seed plants 0 instead of anything smaller.
const minBudget = 128

// step is one thing to leave out. cut returns whether there was anything; it replaces slices and never writes
// into them, because the sheet's owner shares them. Once the step named by within is taken, that one says it all.
type step struct {
	name   string
	within string
	cut    func(*Sheet) bool
}

// steps go from the least useful to the most: first what is long and rarely asked for, then what the member's
// record in the profile also says (its address, the agent's version), then what only describes.
var steps = [...]step{
	{"filesystems", "", func(s *Sheet) bool { return clearSlice(&s.Filesystems) }},
	{"disks", "", func(s *Sheet) bool { return clearSlice(&s.Disks) }},
	{"addresses", "interfaces", cutAddresses},
	{"interfaces", "", func(s *Sheet) bool { return clearSlice(&s.Interfaces) }},
	{"agent", "", func(s *Sheet) bool { return clearValue(&s.Agent) }},
	{"details", "identity", cutDetails},
	{"errors", "", func(s *Sheet) bool { had := len(s.Errors) > 0; s.Errors = nil; return had }},
	{"boot", "", func(s *Sheet) bool { return clearValue(&s.Boot) }},
	{"virtualization", "", func(s *Sheet) bool { return clearValue(&s.Virtualization) }},
	{"memory", "", func(s *Sheet) bool { return clearValue(&s.Memory) }},
	{"cpu", "", func(s *Sheet) bool { return clearValue(&s.CPU) }},
	{"os", "", func(s *Sheet) bool { return clearValue(&s.OS) }},
	{"identity", "", func(s *Sheet) bool { return clearValue(&s.Identity) }},
}

// Fit encodes the sheet in at most budget bytes. What does not fit is left out, in the order filesystems, disks,
// addresses (of all interfaces but the primary one), interfaces, agent, details (machine id hash, OS name, CPU
// model), errors, boot, virtualization, memory, cpu, os, identity, and named under "cut". A budget under 128,
// 0 included, means that the cluster is too large for sheets: the result is nil.
//
// The encoding is stable, and it stays within the budget inside another document: encoding/json does not escape
// it any further.
func (s Sheet) Fit(budget int) (json.RawMessage, error) {
	if budget < minBudget {
		return nil, nil
	}
	s.Cut = nil
	whole := s
	for taken := 0; ; taken++ {
		encoded, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("encode fact sheet: %w", err)
		}
		// With every step taken only the schema and the marks are left, which fit in minBudget.
		if len(encoded) <= budget || taken == len(steps) {
			return encoded, nil
		}
		steps[taken].cut(&s)
		s.Cut = marks(whole, steps[:taken+1])
	}
}

// marks names the steps that took something out of the whole sheet.
func marks(whole Sheet, taken []step) []string {
	var names []string
	for _, st := range taken {
		included := slices.ContainsFunc(taken, func(other step) bool { return other.name == st.within })
		if s := whole; !included && st.cut(&s) {
			names = append(names, st.name)
		}
	}
	return names
}

func clearSlice[T any](s *[]T) bool {
	had := len(*s) > 0
	*s = nil
	return had
}

func clearValue[T comparable](v *T) bool {
	var zero T
	had := *v != zero
	*v = zero
	return had
}

func cutAddresses(s *Sheet) bool {
	keep, _ := primary(s.Interfaces)
	s.Interfaces = slices.Clone(s.Interfaces)
	had := false
	for i := range s.Interfaces {
		if i != keep {
			had = clearSlice(&s.Interfaces[i].Addresses) || had
		}
	}
	return had
}

func cutDetails(s *Sheet) bool {
	hash, name, model := clearValue(&s.Identity.MachineIDHash), clearValue(&s.OS.Name), clearValue(&s.CPU.Model)
	return hash || name || model
}

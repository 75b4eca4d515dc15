package scenario

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"muster/profile"
)

// world is what has been seen so far, and who judges it. Whatever changes it has every
// open expectation looked at before anything else changes.
type world struct {
	start time.Time                        // of the timeline; set before anybody else looks
	told  func(format string, args ...any) // of what happens to the cluster

	mu     sync.Mutex
	now    state
	names  map[string]string // UUID → member
	judges []*judge
}

func newWorld(told func(string, ...any)) *world {
	return &world{told: told, start: time.Now()}
}

// since is the time after the start of the timeline.
func (w *world) since() time.Duration { return time.Since(w.start) }

// do changes or reads the state, and then has it judged.
func (w *world) do(fn func(s *state)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn(&w.now)
	for _, j := range w.judges {
		j.take(&w.now, w.since())
	}
}

// watch has an expectation judged from now on.
func (w *world) watch(j *judge) {
	w.do(func(*state) {
		j.result.At = w.since().Seconds()
		w.judges = append(w.judges, j)
	})
}

// takeProfile takes in how the cluster profile is now. One that cannot be read is no
// change: what is expected will not be seen.
func (w *world) takeProfile(d *profile.Document) {
	next, err := readState(d, w.names)
	if err != nil {
		w.told("the profile cannot be read: %v", err)
		return
	}
	w.do(func(s *state) {
		w.tell(s, &next)
		next.runs = s.runs
		*s = next
	})
}

// tell tells what is new.
func (w *world) tell(was, is *state) {
	for _, m := range is.joined {
		if !slices.Contains(was.joined, m) {
			w.told("%s has joined", m)
		}
	}
	if is.round > was.round && was.round > 0 {
		w.told("round %d is open", is.round)
	}
	for _, role := range slices.Sorted(maps.Keys(is.holders)) {
		for _, slot := range slices.Sorted(maps.Keys(is.holders[role])) {
			if m := is.holders[role][slot]; was.holders[role][slot] != m {
				w.told("%s holds %s/%s", m, role, slot)
			}
		}
		for slot, m := range was.holders[role] {
			if is.holders[role][slot] == "" {
				w.told("%s holds %s/%s no more", m, role, slot)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is.barrier)) {
		for round, b := range is.barrier[name] {
			if b.Verdict != was.barrier[name][round].Verdict {
				w.told("barrier %s of round %d is %s", name, round, verdictWord(b.Verdict))
			}
		}
	}
}

// readState reads what expectations are about, but for the runs.
func readState(d *profile.Document, names map[string]string) (state, error) {
	s := state{results: map[string]string{}, holders: map[string]map[string]string{}, barrier: map[string]map[int]profile.Barrier{}}
	round, err := d.Round()
	if err != nil {
		return s, err
	}
	s.round, s.id = round.N, round.ID
	records, err := d.Members()
	if err != nil {
		return s, err
	}
	for uuid, r := range records {
		if m := names[uuid]; m != "" && r.Joined() {
			s.joined = append(s.joined, m)
			s.results[m] = r.Results[fmt.Sprint(s.round)]
		}
	}
	slices.Sort(s.joined)
	slots, err := d.Slots()
	if err != nil {
		return s, err
	}
	for role, of := range slots {
		s.holders[role] = map[string]string{}
		for number, slot := range of {
			if !slot.Free() {
				s.holders[role][number] = named(names, slot.Holder)
			}
		}
	}
	return s, s.readBarriers(d, names)
}

func (s *state) readBarriers(d *profile.Document, names map[string]string) error {
	barriers, err := d.Barriers()
	if err != nil {
		return err
	}
	for name, rounds := range barriers {
		s.barrier[name] = map[int]profile.Barrier{}
		for number, b := range rounds {
			var n int
			if _, err := fmt.Sscan(number, &n); err != nil {
				return fmt.Errorf("round of barrier %s: expected a number, found %q", name, number)
			}
			b.Failed, b.Missing = namesOf(names, b.Failed), namesOf(names, b.Missing)
			s.barrier[name][n] = b
		}
	}
	return nil
}

// named is who a UUID is: a member, or one that the scenario does not know.
func named(names map[string]string, uuid string) string {
	if m := names[uuid]; m != "" {
		return m
	}
	return uuid
}

func namesOf(names map[string]string, uuids []string) []string {
	all := make([]string, len(uuids))
	for i, uuid := range uuids {
		all[i] = named(names, uuid)
	}
	slices.Sort(all)
	return all
}

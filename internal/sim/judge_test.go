package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"muster/internal/lincheck"
	"muster/profile"
)

// Params by which the simulation tells the judge what it does to the profile.
const (
	paramRestored = "sim/restored" // integer: how often it was restored
	paramAssigned = "sim/assigned" // the tenure of a slot that was assigned by hand
	paramActs     = "site/acts/"   // + ROLE/SLOT: the tenure of the last fenced write
)

// violationsMost bounds what one seed reports.
const violationsMost = 5

// judge holds every commit of a history to what Muster promises.
type judge struct {
	world      *world
	operations atomic.Int64
	editing    atomic.Bool

	mu         sync.Mutex // guards what follows
	violations []string
	slots      map[string]map[string]profile.Slot // as last read
	used       map[profile.Tenure]bool
	touched    map[string]time.Time        // slot → when its leaves changed last
	seqs       map[string]map[int64]string // member → seq → write
	verdicts   map[string]string           // id of a round → verdict
	rounds     []string                    // ids of the rounds that were, in order
	begun      map[string]int              // member → which of them was when its run began
	complete   map[string]map[string]int   // id of a round → member → disks of its machine when that completed in it, from 1
	lives      map[string]string           // member → life
	disks      map[string]int              // member → the disk that its life was born on
	gathering  string                      // id of the last round that everybody completed
	told       map[string]string           // member → id of the last round whose verdict it heard
	met        met
	restores   int
	assigned   map[profile.Tenure]bool // by hand: a member may hold another slot beside it
	back       map[profile.Tenure]bool // brought back by a restore: likewise
	history    []lincheck.Op           // of the slots
	unknown    map[profile.Pointer]json.RawMessage
}

func newJudge(w *world) *judge {
	return &judge{
		world: w, met: newMet(w.plan), used: map[profile.Tenure]bool{}, touched: map[string]time.Time{}, seqs: map[string]map[int64]string{},
		verdicts: map[string]string{}, begun: map[string]int{}, complete: map[string]map[string]int{}, lives: map[string]string{}, disks: map[string]int{}, told: map[string]string{}, assigned: map[profile.Tenure]bool{}, back: map[profile.Tenure]bool{},
	}
}

func (j *judge) violation(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.violationLocked(format, args...)
}

func (j *judge) violationLocked(format string, args ...any) {
	if len(j.violations) < violationsMost {
		at := time.Since(j.world.began).Round(time.Millisecond)
		j.violations = append(j.violations, fmt.Sprintf("at %s: %s", at, fmt.Sprintf(format, args...)))
	}
}

func (j *judge) found() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.violations
}

// restoredAgain reports whether the profile was restored more than once. A newer
// backup after an older one can know more of a member than the member itself,
// which then takes it for a twin's work and stays away until an operator says
// otherwise: that is safe, and not live.
func (j *judge) restoredAgain() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.restores > 1
}

// restored reports whether the profile ever was.
func (j *judge) restored() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.restores > 0
}

// commit sees every commit, in order.
func (j *judge) commit(before, after *profile.Document) {
	j.mu.Lock()
	defer j.mu.Unlock()
	restored := changed(before, after, paramRestored)
	for _, name := range slices.Sorted(maps.Keys(after.Params)) {
		if changed(before, after, name) {
			j.world.happens("commit", name)
			if *flagTrace {
				j.world.trace("commit %s: %s", name, after.Params[name])
			}
			if strings.HasPrefix(name, paramActs) {
				j.fenced(before, after, name)
			}
		}
	}
	if restored {
		j.restores++
		j.world.stage.restored()
		j.verdicts = map[string]string{}
	}
	if changed(before, after, profile.ParamRound) {
		if round, err := after.Round(); err == nil && (len(j.rounds) == 0 || j.rounds[len(j.rounds)-1] != round.ID) {
			j.rounds = append(j.rounds, round.ID)
		}
	}
	if changed(before, after, paramAssigned) {
		var t profile.Tenure
		json.Unmarshal(after.Params[paramAssigned], &t)
		j.assigned[t] = true
	}
	if changed(before, after, profile.ParamSlots) {
		j.judgeSlots(before, after, restored)
	}
	if changed(before, after, profile.ParamMembers) {
		j.judgeMembers(after)
	}
	if changed(before, after, profile.ParamBarriers) {
		j.judgeBarriers(after)
	}
}

// changed compares by identity: what a patch does not touch stays as it is.
func changed(before, after *profile.Document, name string) bool {
	a, b := before.Params[name], after.Params[name]
	return len(a) != len(b) || len(a) > 0 && &a[0] != &b[0]
}

// broughtBack notes the tenures that a restore brings back. A member whose claim
// of another slot was on its way then has both until it gives the old one back.
func (j *judge) broughtBack(old, now map[string]map[string]profile.Slot) {
	for role, slots := range now {
		for n, s := range slots {
			if was := old[role][n]; !s.Free() && (was.Instance != s.Instance || was.Epoch != s.Epoch) {
				j.back[profile.Tenure{Role: role, Slot: n, Instance: s.Instance, Epoch: s.Epoch}] = true
			}
		}
	}
}

// judgeSlots: no member in two slots of a role, no slot taken from its holder,
// no tenure twice, epochs that only rise.
func (j *judge) judgeSlots(before, after *profile.Document, restored bool) {
	now, err := after.Slots()
	if err != nil {
		return // edited by hand
	}
	if j.slots == nil || restored {
		j.replaced(after)
	}
	old := j.slots
	j.slots = now
	defer j.touch(old, now)
	if restored {
		j.broughtBack(old, now)
	}
	if old == nil || restored {
		return
	}
	for role, slots := range now {
		holders := map[string]string{}
		for _, n := range profile.SlotNumbers(slots) {
			s, was := slots[n], old[role][n]
			t := profile.Tenure{Role: role, Slot: n, Instance: s.Instance, Epoch: s.Epoch}
			notClaimed := j.assigned[t] || j.back[t]
			if other := holders[s.Holder]; s.Holder != "" && other != "" && !notClaimed {
				j.violationLocked("%s holds slots %s and %s of %s", s.Holder, other, n, role)
			}
			if !notClaimed {
				holders[s.Holder] = n
			}
			if s.Epoch < was.Epoch {
				j.violationLocked("slot %s/%s: epoch %d after %d", role, n, s.Epoch, was.Epoch)
			}
			if s.Holder != was.Holder || s.Instance != was.Instance || s.Epoch != was.Epoch {
				j.world.happens(role, n, s.Holder, s.Epoch)
				if who := j.world.stage.inUse(role, n, was); who != "" && j.restores == 0 {
					j.violationLocked("slot %s/%s is taken from %s, which still acts under it", role, n, who)
				}
				if !s.Free() && !j.assigned[t] {
					j.claimed(before, role, n, was, s)
				}
			}
		}
	}
}

// claimed: a tenure that begins is a new one, and of somebody who may claim.
func (j *judge) claimed(before *profile.Document, role, n string, was, s profile.Slot) {
	tenure := profile.Tenure{Role: role, Slot: n, Instance: s.Instance, Epoch: s.Epoch}
	if j.used[tenure] {
		j.violationLocked("tenure %+v is used again", tenure)
	}
	j.used[tenure] = true
	j.world.stage.claimed(tenure)
	if !was.Free() && !j.lapsed(role, n, was) {
		j.violationLocked("slot %s/%s: %s takes it from %s", role, n, s.Holder, was.Holder)
	}
	if paused, err := before.Paused(); err == nil && paused {
		j.violationLocked("%s claims %s/%s while claims are paused", s.Holder, role, n)
	}
	if record, _, err := before.Record(s.Holder); err == nil && record.Barred[role] != "" {
		j.violationLocked("%s claims %s/%s and is barred", s.Holder, role, n)
	}
	number, _ := strconv.Atoi(n)
	if count, _, err := before.SlotCount(role); err == nil && number > count {
		j.violationLocked("%s claims %s/%s of %d slots", s.Holder, role, n, count)
	}
}

// record adds what c does to slots to the history.
func (j *judge) record(c *profile.Change, called time.Duration, outcome lincheck.Outcome) {
	ops, err := lincheck.Touch(c)
	if err != nil {
		return // never sent
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, op := range ops {
		op.Call, op.Return, op.Outcome = called, time.Since(j.world.began), outcome
		j.history = append(j.history, op)
	}
}

// replaced adds to the history that all slots become what they are in d.
func (j *judge) replaced(d *profile.Document) {
	var roles map[string]map[string]json.RawMessage
	json.Unmarshal(d.Params[profile.ParamSlots], &roles)
	now := time.Since(j.world.began)
	for role, slots := range roles {
		for n, raw := range slots {
			j.history = append(j.history, lincheck.Op{Slot: role + "/" + n, Set: lincheck.Leaves(raw), Call: now, Return: now})
		}
	}
}

// touch notes when the holding of each slot was last seen to change.
func (j *judge) touch(old, now map[string]map[string]profile.Slot) {
	for role, slots := range now {
		for n, s := range slots {
			was := old[role][n]
			if s.Holder != was.Holder || s.Instance != was.Instance || s.Epoch != was.Epoch || s.Renewal != was.Renewal || s.TTL != was.TTL {
				j.touched[role+"/"+n] = time.Now()
			}
		}
	}
}

// lapsed reports whether a lease may be taken over: by the fastest clock it was
// not renewed for 1.5 TTL. An observer who missed what a restore undid has
// counted from before it.
func (j *judge) lapsed(role, n string, s profile.Slot) bool {
	ttl, err := profile.ParseTTL(s.TTL)
	if err != nil || ttl == 0 {
		return false
	}
	unchanged := time.Since(j.touched[role+"/"+n])
	return j.world.wild || j.restores > 0 || float64(unchanged)*slices.Max(j.world.rates) >= float64(profile.TakeOverAfter(ttl))
}

// fenced: a write under a tenure lands only while the slot is held under it.
func (j *judge) fenced(before, after *profile.Document, name string) {
	var t profile.Tenure
	if json.Unmarshal(after.Params[name], &t) != nil || changed(before, after, paramRestored) {
		return
	}
	if slots, err := before.Slots(); err == nil && !t.Names(slots[t.Role][t.Slot]) {
		j.violationLocked("a write under the tenure %+v lands while the slot is %+v", t, slots[t.Role][t.Slot])
	}
}

// judgeMembers: a member uses a seq for one write only.
func (j *judge) judgeMembers(after *profile.Document) {
	var records map[string]struct {
		Seq   int64
		Write string
		Life  string
	}
	if json.Unmarshal(after.Params[profile.ParamMembers], &records) != nil {
		return
	}
	for uuid, r := range records {
		if j.seqs[uuid] == nil {
			j.seqs[uuid] = map[int64]string{}
		}
		if write, known := j.seqs[uuid][r.Seq]; known && write != r.Write {
			j.violationLocked("%s uses seq %d again, for write %.8s after %.8s", uuid, r.Seq, r.Write, write)
		}
		j.seqs[uuid][r.Seq] = r.Write
		if r.Life != j.lives[uuid] {
			j.lives[uuid], j.disks[uuid] = r.Life, j.world.host(uuid).bornOn(r.Life)
		}
	}
	j.gathered(after)
}

// judgeBarriers: one verdict for a round, and "complete" only when the machine
// of every expected member has completed in it.
func (j *judge) judgeBarriers(after *profile.Document) {
	var barriers map[string]map[string]profile.Barrier
	if json.Unmarshal(after.Params[profile.ParamBarriers], &barriers) != nil {
		return
	}
	for n, b := range barriers[profile.BarrierComplete] {
		was := j.verdicts[b.ID]
		if was == b.Verdict {
			continue
		}
		if was != "" {
			j.violationLocked("round %s: verdict %q becomes %q", n, was, b.Verdict)
		}
		j.verdicts[b.ID] = b.Verdict
		j.met.verdict(b.Verdict)
		j.world.outage("release in round " + n)
		for _, uuid := range j.world.uuids() {
			if b.Verdict == profile.VerdictComplete && !j.hasCompleted(b.ID, uuid) && j.restores == 0 {
				j.violationLocked("round %s is complete by %s, but the machine of %s has not completed in it", n, b.By, uuid)
			}
		}
	}
}

// heard: everybody who waits for a round hears the verdict that is recorded.
func (j *judge) heard(uuid string, round profile.Round, verdict string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.told[uuid] = round.ID
	j.met.Heard++
	if recorded := j.verdicts[round.ID]; recorded != verdict && j.restores == 0 {
		j.violationLocked("%s hears of round %d the verdict %q, recorded is %q", uuid, round.N, verdict, recorded)
	}
}

// began notes that a run of a machine begins.
func (j *judge) began(uuid string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begun[uuid] = max(0, len(j.rounds)-1)
}

// finished notes that it completes: in any round that was meanwhile.
func (j *judge) finished(uuid string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range j.rounds[j.begun[uuid]:] {
		if j.complete[id] == nil {
			j.complete[id] = map[string]int{}
		}
		j.complete[id][uuid] = j.world.host(uuid).disks()
	}
}

// hasCompleted reports whether the machine has completed in a round, on the disk
// of the life that is recorded or a later one.
func (j *judge) hasCompleted(id, uuid string) bool {
	on := j.complete[id][uuid]
	return on > 0 && on >= j.disks[uuid]
}

// plantUnknown returns params and fields that are none of ours, to be planted.
func (j *judge) plantUnknown() map[profile.Pointer]json.RawMessage {
	j.unknown = map[profile.Pointer]json.RawMessage{
		profile.At("site/unknown"):                        json.RawMessage(`{"a":[1,2.50,"x"]}`),
		profile.At(profile.ParamMembers, "u000", "later"): json.RawMessage(`{"b":true}`),
	}
	return j.unknown
}

// final judges the end of a history.
func (j *judge) final() {
	d := j.world.Document()
	for p, want := range j.unknown {
		if got, _ := d.Lookup(p); string(got) != string(want) {
			j.violation("%s is %s, want %s", p, got, want)
		}
	}
}

// lacks says what is not as it has to be once faults have ended, or "".
func (j *judge) lacks() string {
	d := j.world.Document()
	for _, role := range j.world.roles() {
		count, _, err := d.SlotCount(role)
		if err != nil {
			return err.Error()
		}
		held := 0
		for _, h := range j.world.hosts {
			if h.leads(role) != "" {
				held++
			}
		}
		if want := min(count, len(j.world.hosts)); held != want {
			return fmt.Sprintf("%d slots of %s are led, want %d", held, role, want)
		}
	}
	round, err := d.Round()
	if err != nil {
		return err.Error()
	}
	if b, _, err := d.Barrier(profile.BarrierComplete, round.N); err != nil || b.Verdict == "" {
		return fmt.Sprintf("round %d has no verdict (%v)", round.N, err)
	}
	return j.deaf(round)
}

// opened reports whether nothing keeps members from claiming.
func (j *judge) opened() bool {
	d := j.world.Document()
	paused, err := d.Paused()
	count, _, errCount := d.SlotCount(profile.Leader)
	records, errMembers := d.Members()
	for _, r := range records {
		for _, role := range j.world.roles() {
			if r.Barred[role] != "" {
				return false
			}
		}
	}
	return err == nil && !paused && errCount == nil && count == j.world.leaders && errMembers == nil
}

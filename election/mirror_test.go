package election_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

// foreign are entries of cluster/leaders that are none of ours.
const foreign = `"10.0.0.7",{"Address":"10.0.0.9","Extra":1.50,"Name":"old","Uuid":"gone"},7,null,[]`

func entry(uuid string) string {
	return fmt.Sprintf(`{"Address":"10.0.0.1","Name":"host %s","Uuid":%q}`, uuid, uuid)
}

func (w *world) leaders() string { return string(w.Document().Params[profile.ParamLeaders]) }

// depose pauses claims and frees the leader slots, as an operator would.
func (w *world) depose(slots ...string) {
	pairs := []any{profile.At(profile.ParamPaused), true}
	for _, n := range slots {
		pairs = append(pairs, profile.At(profile.ParamSlots, profile.Leader, n, "holder"), "", profile.At(profile.ParamSlots, profile.Leader, n, "instance"), "")
	}
	w.put(pairs...)
}

func TestALeaderKeepsItsEntryInTheListAndLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		w.edit(map[string]any{profile.ParamLeaders: json.RawMessage("[" + foreign + "]")})
		w.host("u00").start()
		pass(time.Second)
		if diff := cmp.Diff("["+foreign+","+entry("u00")+"]", w.leaders()); diff != "" {
			t.Errorf("after the claim (-want +got):\n%s", diff)
		}
		w.depose("1")
		pass(time.Minute)
		if diff := cmp.Diff("["+foreign+"]", w.leaders()); diff != "" {
			t.Errorf("after the slot was freed (-want +got):\n%s", diff)
		}
	})
}

func TestALeaderMendsAListThatIsNoneAndAWorkerDoesNot(t *testing.T) {
	for name, list := range map[string]any{
		"missing": nil, "null": json.RawMessage("null"), "string": "10.0.0.7", "object": map[string]int{}, "number": 3,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 2})
				w.put(profile.At(profile.ParamPaused), true)
				w.edit(map[string]any{profile.ParamLeaders: list})
				before := w.leaders()
				for _, uuid := range members(2) {
					w.host(uuid).start()
				}
				pass(time.Minute)
				if diff := cmp.Diff(before, w.leaders()); diff != "" || w.hosts[0].store.applied != 1 {
					t.Errorf("%d patches without a leader, want the joining alone; list (-want +got):\n%s", w.hosts[0].store.applied, diff)
				}
				w.put(profile.At(profile.ParamPaused), false)
				pass(time.Minute)
				a, b := entry("u00"), entry("u01")
				if got := w.leaders(); got != "["+a+","+b+"]" && got != "["+b+","+a+"]" {
					t.Errorf("list %s, want the two leaders", got)
				}
			})
		})
	}
}

func TestAnEntryFollowsWhatTheMemberSaysOfItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00").start()
		pass(time.Second)
		w.edit(map[string]any{profile.ParamLeaders: json.RawMessage("[" + entry("u00") + "," + foreign + "]")})
		h.stop()
		h.name = "renamed"
		h.start()
		pass(time.Minute)
		want := "[" + foreign + "," + strings.Replace(entry("u00"), "host u00", "renamed", 1) + "]"
		if diff := cmp.Diff(want, w.leaders()); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
	})
}

func TestABareUUIDOfOldContentGivesWayToTheHoldersOwnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		w.edit(map[string]any{profile.ParamLeaders: json.RawMessage(`["u00","u01",` + entry("u00") + `,"u00"]`)})
		w.host("u00").start()
		pass(time.Minute)
		if diff := cmp.Diff(`["u01",`+entry("u00")+`]`, w.leaders()); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		w.depose("1")
		pass(time.Minute)
		if diff := cmp.Diff(`["u01"]`, w.leaders()); diff != "" {
			t.Errorf("list after the slot was freed (-want +got):\n%s", diff)
		}
	})
}

func TestAnAdoptedLeaderStaysInTheListUntilItClaims(t *testing.T) {
	for name, raw := range map[string]string{"bare": `"u00"`, "object": `{"Name":"old","Uuid":"u00"}`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{Profile: memory.New(cluster, profile.Params{profile.ParamLeaders: json.RawMessage("[" + raw + "]")}), t: t}
				seed := profile.Seed{Profile: cluster, Members: members(2), Leaders: 1}
				if _, err := profile.NewOperator(w.Store(nil)).Write(t.Context(), seed.Plan); err != nil {
					t.Fatal(err)
				}
				w.put(profile.At(profile.ParamPaused), true)
				hosts := []*host{w.host("u01").start(), w.host("u00").start()}
				pass(time.Minute)
				if diff := cmp.Diff("["+raw+"]", w.leaders()); diff != "" {
					t.Errorf("list while it waits (-want +got):\n%s", diff)
				}
				w.put(profile.At(profile.ParamPaused), false)
				pass(time.Minute)
				if diff := cmp.Diff("["+entry("u00")+"]", w.leaders()); diff != "" {
					t.Errorf("list after its claim (-want +got):\n%s", diff)
				}
				if s := w.slots(profile.Leader)["1"]; s.Holder != "u00" || s.Instance == "" {
					t.Errorf("slot %+v, want it claimed by u00", s)
				}
				for _, h := range hosts {
					h.stop()
				}
			})
		})
	}
}

func TestLeadersThatLeaveAtOnceRemoveTheirOwnEntriesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 3})
		delays := map[string]time.Duration{}
		for _, uuid := range members(3) {
			h := w.host(uuid)
			h.faults = func(c memory.Call) memory.Fault {
				if c.Method == "Apply" {
					return memory.Fault{Delay: delays[uuid]}
				}
				return memory.Fault{}
			}
			h.start()
		}
		pass(time.Second)
		list := "[" + foreign + "," + entry("u00") + "," + entry("u01") + "," + entry("u02") + "]"
		w.edit(map[string]any{profile.ParamLeaders: json.RawMessage(list)})
		pass(time.Minute)
		slots := map[string]string{}
		for n, s := range w.slots(profile.Leader) {
			slots[s.Holder] = n
		}
		delays["u00"], delays["u01"] = time.Second, 2*time.Second // both decide before either lands
		w.depose(slots["u00"], slots["u01"])
		pass(time.Minute)
		if diff := cmp.Diff("["+foreign+","+entry("u02")+"]", w.leaders()); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		if w.hosts[1].store.conflicts == 0 {
			t.Error("no conflict: the index did not shift under u01")
		}
	})
}

func TestAnEntryIsOnlyAddedUnderTheTenureThatItMirrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		deposed := false
		h.faults = func(c memory.Call) memory.Fault {
			if c.Method == "Apply" && len(w.holders(profile.Leader)) == 1 && !deposed {
				deposed = true
				return memory.Fault{Delay: time.Second} // the entry is on its way when the slot is freed
			}
			return memory.Fault{}
		}
		h.start()
		pass(500 * time.Millisecond)
		if !deposed {
			t.Fatal("no entry is on its way")
		}
		w.depose("1")
		pass(time.Minute)
		if got := w.leaders(); got != "[]" || h.store.conflicts == 0 {
			t.Errorf("list %s after %d conflicts, want the entry refused", got, h.store.conflicts)
		}
	})
}

// marking counts the marks of a machine.
type marking struct {
	*memory.Machine
	calls []bool
	fail  int // so many calls fail
}

func (m *marking) Mark(ctx context.Context, leader bool) error {
	m.calls = append(m.calls, leader)
	if m.fail > 0 {
		m.fail--
		return errors.New("not now")
	}
	return m.Machine.Mark(ctx, leader)
}

func TestTheMachineIsMarkedOnceForEveryChange(t *testing.T) {
	for name, row := range map[string]struct {
		leaders int
		marked  bool
		fail    int
		want    []bool
	}{
		"gain":                        {leaders: 1, want: []bool{true}},
		"gain of one marked already":  {leaders: 1, marked: true},
		"a mark without a slot":       {marked: true, want: []bool{false}},
		"neither":                     {},
		"failures are tried again":    {leaders: 1, fail: 10, want: slices.Repeat([]bool{true}, 11)},
		"also when a mark is cleared": {marked: true, fail: 1, want: []bool{false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: row.leaders})
				h := w.host("u00")
				m := &marking{Machine: memory.NewMachine(profile.Machine{Leader: row.marked}), fail: row.fail}
				h.machine, h.marked = m, row.marked
				h.start()
				pass(time.Minute)
				w.put(profile.At("other"), "news") // that ask for nothing
				pass(time.Minute)
				if diff := cmp.Diff(row.want, m.calls); diff != "" {
					t.Errorf("marks (-want +got):\n%s", diff)
				}
				if row.leaders == 0 {
					return
				}
				w.depose("1")
				pass(time.Minute)
				if diff := cmp.Diff(append(row.want, false), m.calls); diff != "" {
					t.Errorf("marks after the slot was freed (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAClaimDoesNotWaitForTheMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1, Roles: map[string]int{"db": 1}})
		h := w.host("u00")
		h.machine = &marking{Machine: memory.NewMachine(profile.Machine{}), fail: 1 << 30}
		h.start()
		pass(time.Second)
		for _, role := range []string{profile.Leader, "db"} {
			if diff := cmp.Diff([]string{"u00"}, w.holders(role)); diff != "" {
				t.Errorf("holders of %s (-want +got):\n%s", role, diff)
			}
		}
	})
}

func TestALeaseGivenBackAtTheEndLeavesNoMarkAndNoEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1}).leased(ttl)
		w.follow(profile.Leader)
		h := w.host("u00")
		machine := &marking{Machine: memory.NewMachine(profile.Machine{UUID: "u00"})}
		h.machine = machine
		h.start()
		pass(5 * time.Second)
		h.stop()
		if got := w.leaders(); got != "[]" || len(w.holders(profile.Leader)) != 0 {
			t.Errorf("list %s and holders %v after the end", got, w.holders(profile.Leader))
		}
		if !slices.Equal(machine.calls, []bool{true, false}) {
			t.Errorf("the machine was marked %v, want true, then false", machine.calls)
		}
	})
}

func TestTheMarkIsClearedBeforeTheSlotIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		machine := &marking{Machine: memory.NewMachine(profile.Machine{UUID: "u00"})}
		h.machine = machine
		var marks []bool // as they were when the slot was freed
		w.OnCommit(func(before, after *profile.Document) {
			was, _ := before.Slots()
			is, _ := after.Slots()
			if !was[profile.Leader]["1"].Free() && is[profile.Leader]["1"].Free() {
				marks = slices.Clone(machine.calls)
			}
		})
		h.start()
		pass(time.Second)
		if _, err := h.elector.Resign(t.Context(), profile.Leader); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(marks, []bool{true, false}) {
			t.Errorf("the machine was marked %v when its slot was freed, want true, then false", marks)
		}
	})
}

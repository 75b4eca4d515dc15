package coordinator_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/coordinator"
	"muster/profile"
)

// occupy lets members that have joined hold the slots of role, in order; ""
// leaves one free.
func (w *world) occupy(role string, holders ...string) {
	for i, uuid := range holders {
		at := profile.At(profile.ParamSlots, role, string(rune('1'+i)))
		instance := ""
		if uuid != "" {
			instance = w.record(uuid).Instance
		}
		w.put(at+"/holder", uuid, at+"/instance", instance)
	}
}

func TestABarrierOfARoleWaitsForThoseOfTheRoleAlone(t *testing.T) {
	for name, row := range map[string]struct {
		role   string
		finish []int // who completes, in this order; the verdict is due with the last
	}{
		"everybody":                {"", []int{0, 1, 2, 3}},
		"a list of members":        {"front", []int{3, 1}},
		"holders of a role":        {"db", []int{2}},
		"holders of all its slots": {profile.Leader, []int{0, 1}},
		"who holds none":           {profile.Worker, []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(4), Leaders: 2, Roles: map[string]int{"db": 1, "shell": 1},
					Options: map[string]profile.RoleOptions{"shell": {OnDemand: true}}})
				w.put(profile.At(profile.ParamExpected, "roles", "front"), []string{"u01", "u03", "of no machine"}, barrierLeaf("criteria", "role"), row.role)
				w.waitsFor = map[string][]string{}
				for _, i := range row.finish {
					w.waitsFor[profile.BarrierComplete] = append(w.waitsFor[profile.BarrierComplete], members(4)[i])
				}
				hosts := w.all(4)
				w.occupy(profile.Leader, "u00", "u01")
				w.occupy("db", "u02")
				w.occupy("shell", "u03") // on demand: still a worker
				for _, i := range row.finish {
					if got := w.verdict(1); got != "" {
						t.Errorf("verdict %q before %d has completed", got, i)
					}
					hosts[i].finish(1)
					pass(time.Minute)
				}
				if got := w.verdict(1); got != profile.VerdictComplete {
					t.Errorf("verdict %q", got)
				}
			})
		})
	}
}

// A slot that is about to be taken changes who is meant.
func TestNoVerdictAboutARoleWhileItsSlotsAreNotSettled(t *testing.T) {
	for _, role := range []string{profile.Leader, profile.Worker} {
		t.Run(role, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(3), Leaders: 2, Criteria: profile.Criteria{Role: role}})
				hosts := w.all(3)
				w.occupy(profile.Leader, "u00", "")
				for _, h := range hosts {
					h.finish(1)
				}
				pass(time.Hour)
				if got := w.verdict(1); got != "" {
					t.Errorf("verdict %q though a slot is free", got)
				}
				w.occupy(profile.Leader, "u00", "u01")
				pass(time.Hour)
				if got := w.verdict(1); got != profile.VerdictComplete {
					t.Errorf("verdict %q", got)
				}
			})
		})
	}
}

// With priority 0 a member never claims: its slots are not waited for.
func TestSlotsThatNobodyMayClaimDoNotHoldUpARole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 2, Criteria: profile.Criteria{Role: profile.Leader},
			Options: map[string]profile.RoleOptions{profile.Leader: {Priority: map[string]int{"u01": 0}}}})
		w.waitsFor = map[string][]string{profile.BarrierComplete: {"u00"}}
		hosts := w.all(2)
		w.occupy(profile.Leader, "u00", "")
		hosts[0].finish(1)
		pass(time.Minute)
		if got := w.verdict(1); got != profile.VerdictComplete {
			t.Errorf("verdict %q", got)
		}
	})
}

// The holder changes between the judge's read and its write.
func TestAVerdictAboutARoleDoesNotLandOnOtherHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1, Criteria: profile.Criteria{Role: profile.Leader}})
		h := w.host("u00")
		w.host("u01")
		for _, x := range w.hosts {
			if err := x.join(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.occupy(profile.Leader, "u00")
		w.waitsFor = map[string][]string{profile.BarrierComplete: {"u01"}}
		w.put(result("u00"), profile.Complete)
		see(h.view, w.Document())
		w.occupy(profile.Leader, "u01")
		if err := coordinator.Judge(t.Context(), h.member, h.view, nil); err != nil || w.verdict(1) != "" {
			t.Errorf("error %v, verdict %q, want none: the leader by now has not completed", err, w.verdict(1))
		}
	})
}

func TestADeadlineEndsABarrierForEverybody(t *testing.T) {
	for name, row := range map[string]struct {
		criteria profile.Criteria
		finish   []int
		fail     []int
		want     string
		missing  []string
	}{
		"expired":                         {profile.Criteria{}, []int{0, 1}, nil, profile.VerdictExpired, []string{"u02", "u03"}},
		"partial":                         {profile.Criteria{AllowMissing: "2"}, []int{0, 1}, nil, profile.VerdictPartial, []string{"u02", "u03"}},
		"one more missing than allowed":   {profile.Criteria{AllowMissing: "1"}, []int{0, 1}, nil, profile.VerdictExpired, []string{"u02", "u03"}},
		"a share of the members":          {profile.Criteria{AllowMissing: "50%"}, []int{0, 1}, nil, profile.VerdictPartial, []string{"u02", "u03"}},
		"nobody has completed":            {profile.Criteria{AllowMissing: "100%"}, nil, nil, profile.VerdictExpired, members(4)},
		"a failure is no absence":         {profile.Criteria{AllowMissing: "2"}, []int{0, 1}, []int{2}, profile.VerdictFailed, []string{"u03"}},
		"the last of them is just missed": {profile.Criteria{AllowMissing: "3"}, []int{1}, nil, profile.VerdictPartial, []string{"u00", "u02", "u03"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				row.criteria.Deadline = "10m"
				w := seeded(t, profile.Seed{Members: members(4), Leaders: 1, Criteria: row.criteria})
				hosts := w.all(4)
				for _, i := range row.finish {
					hosts[i].finish(1)
				}
				for _, i := range row.fail {
					hosts[i].fail("failed")
				}
				pass(10*time.Minute - 2*time.Second)
				if got := w.verdict(1); got != "" {
					t.Errorf("verdict %q before the deadline", got)
				}
				pass(5 * time.Second)
				b := w.barrier(1)
				if diff := cmp.Diff(row.missing, b.Missing); b.Verdict != row.want || diff != "" {
					t.Errorf("verdict %q, want %q; missing (-want +got):\n%s", b.Verdict, row.want, diff)
				}
				pass(time.Hour)
				if got := w.verdict(1); got != row.want {
					t.Errorf("the verdict becomes %q", got)
				}
			})
		})
	}
}

// The best-ranked member is dead, and nobody has a result.
func TestADeadlineNeedsNoMemberInParticular(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 1, Criteria: profile.Criteria{Deadline: "1m"}})
		hosts := w.all(3)
		hosts[0].stop()
		hosts[1].stop()
		pass(time.Minute + 10*time.Second)
		if b := w.barrier(1); b.Verdict != profile.VerdictExpired || b.By != "u02" {
			t.Errorf("barrier %+v, want it expired, by u02", b)
		}
	})
}

// Somebody completes between the judge's read and its write.
func TestWhoMakesItAtTheLastMomentIsNotCalledMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1, Criteria: profile.Criteria{Deadline: "1m", AllowMissing: "1"}})
		h := w.host("u00")
		w.host("u01")
		for _, x := range w.hosts {
			if err := x.join(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.put(result("u00"), profile.Complete)
		see(h.view, w.Document())
		w.put(result("u01"), profile.Complete)
		w.finished["u00"], w.finished["u01"] = map[int]bool{1: true}, map[int]bool{1: true}
		late := func(string, profile.Barrier) bool { return true }
		if err := coordinator.Judge(t.Context(), h.member, h.view, late); err != nil || w.verdict(1) != profile.VerdictComplete {
			t.Errorf("error %v, verdict %q, want %q", err, w.verdict(1), profile.VerdictComplete)
		}
	})
}

func TestComersAndGoersAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 1})
		w.all(3)
		w.host("stranger").start()
		pass(time.Second)
		view := profile.NewView(w.Document())
		var last coordinator.Outcome
		ctx, end := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := coordinator.Wait(ctx, view, profile.BarrierComplete, w.nth(1), func(o coordinator.Outcome) { last = o })
			ended <- err
		}()
		synctest.Wait()
		w.put(profile.At(profile.ParamMembers, "u01", "life"), "another", profile.At(profile.ParamMembers, "u01", "results"), map[string]string{})
		if _, err := profile.NewOperator(w.Store(nil)).Write(t.Context(), profile.Forget{Member: "u02", Force: true}.Plan); err != nil {
			t.Fatal(err)
		}
		see(view, w.Document())
		synctest.Wait()
		end(errStopped)
		if err := <-ended; !errors.Is(err, errStopped) {
			t.Errorf("error %v", err)
		}
		type named struct{ Late, Departed, Renewed, Missing []string }
		want := named{[]string{"host stranger"}, []string{"u02"}, []string{"host u01"}, []string{"host u00", "host u01"}}
		if diff := cmp.Diff(want, named{last.Late, last.Departed, last.Renewed, last.Missing}); diff != "" {
			t.Errorf("named (-want +got):\n%s", diff)
		}
	})
}

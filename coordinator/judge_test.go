package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

func TestARoundFailsWhenAllAreSettledOrAtOnceWithFailFast(t *testing.T) {
	for _, failFast := range []bool{false, true} {
		t.Run(fmt.Sprintf("fail fast %v", failFast), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(3), Leaders: 1, Criteria: profile.Criteria{FailFast: failFast}})
				hosts := w.all(3)
				hosts[0].fail("failed")
				pass(time.Hour)
				want := profile.Barrier{
					ID: w.nth(1).ID, At: w.barrier(1).At, Criteria: profile.Criteria{Of: profile.OfComplete, AllowMissing: "0", Deadline: "0s", FailFast: true}, Verdict: profile.VerdictFailed,
					Missing: []string{"u01", "u02"}, Failed: []string{"u00"}, By: "u00",
				}
				if !failFast {
					hosts[1].finish(1)
					pass(time.Hour)
					if got := w.verdict(1); got != "" {
						t.Errorf("verdict %q before all are settled", got)
					}
					hosts[2].finish(1)
					pass(time.Minute)
					want.Criteria.FailFast, want.Missing, want.By = false, []string{}, "u02"
				}
				if diff := cmp.Diff(want, w.barrier(1)); diff != "" {
					t.Errorf("barrier (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAFailureThatIsTriedAgainWhileTheRoundIsOpenIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		hosts := w.all(2)
		hosts[0].fail("failed")
		pass(time.Minute)
		if diff := cmp.Diff(map[string]string{"1": profile.Failed}, w.record("u00").Results); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
		hosts[0].retry()
		pass(time.Minute)
		if got := w.record("u00").Results; len(got) != 0 {
			t.Errorf("results %v while it is tried again", got)
		}
		hosts[1].finish(1)
		pass(time.Hour)
		if got := w.verdict(1); got != "" {
			t.Errorf("verdict %q while one is tried again", got)
		}
		hosts[0].finish(1)
		pass(time.Minute)
		if got := w.verdict(1); got != profile.VerdictComplete {
			t.Errorf("verdict %q", got)
		}
	})
}

func TestAFailureThatIsTakenBackMeanwhileIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h, peer := w.host("u00"), w.host("u01")
		for _, x := range w.hosts {
			if err := x.join(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.put(result("u00"), profile.Complete, result("u01"), profile.Failed)
		see(h.view, w.Document())
		see(peer.view, w.Document())
		retried := profile.Run{N: 1, Round: 1, RoundID: w.nth(1).ID, State: profile.Running}
		if err := coordinator.Record(t.Context(), peer.member, retried); err != nil {
			t.Fatal(err)
		}
		if err := coordinator.Judge(t.Context(), h.member, h.view, nil); err != nil || w.verdict(1) != "" {
			t.Errorf("error %v, verdict %q, want none: the machine is tried again", err, w.verdict(1))
		}
	})
}

func TestAVerdictOnWhatHasChangedSinceDoesNotLand(t *testing.T) {
	more := profile.Expected{Version: 2, Round: 1, Count: 3, Members: members(3), Roles: map[string][]string{}}
	for name, row := range map[string]struct {
		put  []any
		want string
	}{
		"another verdict": {[]any{barrierLeaf("verdict"), profile.VerdictSuperseded}, profile.VerdictSuperseded},
		"another round":   {[]any{profile.At(profile.ParamRound, "n"), 2}, ""},
		"other members":   {[]any{profile.At(profile.ParamExpected), more}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
				h, peer := w.host("u00"), w.host("u01")
				for _, x := range []*host{h, peer} {
					if err := x.join(t.Context()); err != nil {
						t.Fatal(err)
					}
					x.finish(1)
				}
				w.put(result("u00"), profile.Complete, result("u01"), profile.Complete)
				see(h.view, w.Document())
				w.put(row.put...)
				if err := coordinator.Judge(t.Context(), h.member, h.view, nil); err != nil || w.verdict(1) != row.want {
					t.Errorf("error %v, verdict %q, want %q", err, w.verdict(1), row.want)
				}
			})
		})
	}
}

func TestWhatANewLifeTookBackDoesNotCount(t *testing.T) {
	for _, of := range []string{profile.OfComplete, profile.OfArrival} {
		t.Run(of, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 1, Criteria: profile.Criteria{Of: of}})
				h, peer := w.host("u00"), w.host("u01")
				for _, x := range []*host{h, peer} {
					if err := x.join(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.put(result(x.uuid), profile.Complete, profile.At(profile.ParamMembers, x.uuid, "arrived", profile.BarrierComplete), w.nth(1).ID)
				}
				see(h.view, w.Document())
				peer.saved = profile.State{UUID: peer.uuid, Profile: cluster} // wiped
				if err := peer.join(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := coordinator.Judge(t.Context(), h.member, h.view, nil); err != nil || w.verdict(1) != "" {
					t.Errorf("error %v, verdict %q, want none: the machine was provisioned again", err, w.verdict(1))
				}
			})
		})
	}
}

func TestAResultWithoutAMemberDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		w.put(result("u00"), profile.Complete)
		tally, err := coordinator.Count(w.Document(), profile.BarrierComplete, 1, w.barrier(1))
		want := coordinator.Tally{Total: 1, Settled: true, Missing: members(1)}
		if diff := cmp.Diff(want, tally); diff != "" || err != nil {
			t.Errorf("error %v, tally (-want +got):\n%s", err, diff)
		}
	})
}

func result(uuid string) profile.Pointer {
	return profile.At(profile.ParamMembers, uuid, "results", "1")
}

func TestAStoppedMachineIsNeitherFailedNorComplete(t *testing.T) {
	for _, jobState := range []string{"incomplete", ""} { // "": the job cannot be read
		t.Run(fmt.Sprintf("job state %q", jobState), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 1, Criteria: profile.Criteria{FailFast: true}})
				hosts := w.all(2)
				hosts[0].finish(1)
				hosts[1].fail(jobState)
				pass(time.Hour)
				if got := w.record("u01").Results["1"]; got != profile.Stopped || w.verdict(1) != "" {
					t.Errorf("result %q, verdict %q, want %q and none", got, w.verdict(1), profile.Stopped)
				}
				tally, err := coordinator.Count(w.Document(), profile.BarrierComplete, 1, w.barrier(1))
				want := coordinator.Tally{Total: 2, Settled: true, Done: []string{"u00"}, Stopped: []string{"u01"}, Missing: []string{"u01"}}
				if diff := cmp.Diff(want, tally); diff != "" || err != nil {
					t.Errorf("error %v, tally (-want +got):\n%s", err, diff)
				}
				hosts[1].retry()
				hosts[1].finish(1)
				pass(time.Minute)
				if got := w.verdict(1); got != profile.VerdictComplete {
					t.Errorf("verdict %q", got)
				}
			})
		})
	}
}

func TestSelfSeededMembersAreWaitedForUntilTheCountIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		w.put(profile.At(profile.ParamExpected, "count"), 2)
		h := w.all(1)[0]
		h.finish(1)
		pass(time.Hour)
		if got := w.verdict(1); got != "" {
			t.Errorf("verdict %q with one of two", got)
		}
	})
}

func TestARefereeRecordsTheVerdictOfOneWhoDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 1})
		for _, uuid := range members(3) {
			h := w.host(uuid)
			h.random = func() float64 { return 0.5 }
			if uuid == "u02" {
				h.random = func() float64 { return 0 } // sooner than u01, but for its rank
			}
			h.start()
		}
		pass(time.Second)
		hosts := w.hosts
		barriers := profile.At(profile.ParamBarriers)
		last := hosts[0]
		last.faults = func(c memory.Call) memory.Fault {
			if c.Change != nil && writes(c.Change, barriers) {
				last.cancel(errStopped)
				return memory.Fault{LoseRequest: true}
			}
			return memory.Fault{}
		}
		for _, h := range []*host{hosts[1], hosts[2], last} {
			h.finish(1)
			pass(time.Second)
		}
		if got := w.verdict(1); got != "" {
			t.Fatalf("verdict %q: its recorder did not die in time", got)
		}
		pass(time.Minute)
		if got := w.barrier(1); got.Verdict != profile.VerdictComplete || got.By != "u01" {
			t.Errorf("barrier %+v, want the verdict by the next in rank", got)
		}
	})
}

func TestARefereeReadsOnlyWhatMayBeDue(t *testing.T) {
	for name, row := range map[string]struct {
		prepare []any
		reads   bool
	}{
		"the own result is not in": {nil, false},
		"the own result is in":     {[]any{result("u00"), profile.Complete}, true},
		"the round is judged": {[]any{
			result("u00"), profile.Complete,
			profile.At(profile.ParamBarriers, profile.BarrierComplete, "1", "verdict"), profile.VerdictFailed,
		}, false},
		"no barrier": {[]any{result("u00"), profile.Complete, profile.At(profile.ParamBarriers, profile.BarrierComplete), map[string]int{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
				h := w.host("u00")
				if row.prepare != nil {
					w.put(row.prepare...)
				}
				if err := h.join(t.Context()); err != nil {
					t.Fatal(err)
				}
				if row.prepare != nil {
					w.put(row.prepare...) // joining has cleared the results
				}
				see(h.view, w.Document())
				calls := 0
				way := w.Store(func(memory.Call) memory.Fault { calls++; return memory.Fault{} })
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errStopped)
				defer cancel()
				referee := coordinator.Referee{Member: h.member, Store: way, View: h.view, Logger: quiet}
				if err := referee.Run(ctx); !errors.Is(err, errStopped) || (calls > 0) != row.reads {
					t.Errorf("ended with %v after %d reads, want %v and reads %v", err, calls, errStopped, row.reads)
				}
			})
		})
	}
}

func TestOneRecordEditedByHandDoesNotHideTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 1})
		w.put(profile.At(profile.ParamMembers, "u02"), map[string]any{"instance": "i", "seq": "x", "results": map[string]string{"1": "complete"}})
		for _, uuid := range members(2) {
			h := w.host(uuid)
			h.start()
			pass(time.Second)
			h.finish(1)
		}
		pass(time.Minute)
		want := coordinator.Tally{Total: 3, Settled: true, Done: members(2), Missing: []string{"u02"}}
		tally, err := coordinator.Count(w.Document(), profile.BarrierComplete, 1, w.barrier(1))
		if diff := cmp.Diff(want, tally); diff != "" || err != nil {
			t.Errorf("error %v, tally (-want +got):\n%s", err, diff)
		}
		if got := w.verdict(1); got != "" {
			t.Errorf("verdict %q", got)
		}
		other := w.Document()
		w.edit(map[string]any{profile.ParamMembers: "x"})
		if _, err := coordinator.Count(w.Document(), profile.BarrierComplete, 1, w.barrier(1)); !errors.Is(err, profile.ErrMalformed) {
			t.Errorf("no map at all: error %v, want %v", err, profile.ErrMalformed)
		}
		w.Replace(other.Params)
	})
}

func TestNoExpectedMemberIsAnErrorAndNeverEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.all(1)[0]
		w.put(profile.At(profile.ParamExpected, "members"), []string{}, profile.At(profile.ParamExpected, "count"), 0)
		h.finish(1)
		pass(time.Hour)
		if _, err := coordinator.Count(w.Document(), profile.BarrierComplete, 1, w.barrier(1)); !errors.Is(err, profile.ErrMalformed) || w.verdict(1) != "" {
			t.Errorf("error %v, verdict %q, want %v and none", err, w.verdict(1), profile.ErrMalformed)
		}
	})
}

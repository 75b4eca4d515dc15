package coordinator_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

func TestACompletionIsOneWriteAndTheLastOneRecordsTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 1})
		hosts := w.all(3)
		for i, h := range hosts {
			h.machine.Set(func(m *profile.Machine) { m.Task, m.Job = 2, "another job" })
			pass(time.Minute)
			if got := w.verdict(1); got != "" {
				t.Fatalf("verdict %q before %s completed", got, h.uuid)
			}
			h.finish(1)
			pass(10 * time.Minute)
			want := 2 // the joining and the completion
			if i == 2 {
				want++ // the verdict
			}
			if h.applied != want || w.record(h.uuid).Results["1"] != profile.Complete {
				t.Errorf("%s: results %v after %d patches, want complete after %d", h.uuid, w.record(h.uuid).Results, h.applied, want)
			}
		}
		want := profile.Barrier{
			ID: w.nth(1).ID, At: w.barrier(1).At, Criteria: profile.Criteria{Of: profile.OfComplete, AllowMissing: "0", Deadline: "0s"}, Verdict: profile.VerdictComplete,
			Missing: []string{}, Failed: []string{}, By: "u02",
		}
		if diff := cmp.Diff(want, w.barrier(1)); diff != "" {
			t.Errorf("barrier (-want +got):\n%s", diff)
		}
	})
}

func TestAMachineThatWasCompleteBeforeItsAgentCountsOnceItCompletesAgain(t *testing.T) {
	for _, round := range []int{1, 2} {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				if round == 2 {
					w.open(1, true)
				}
				h := w.host("u00")
				h.machine.Set(func(m *profile.Machine) { m.Complete, m.Task, m.Job = true, 3, "job of old" })
				h.start()
				pass(time.Hour)
				if got := w.record("u00").Results; len(got) != 0 || w.verdict(round) != "" {
					t.Errorf("results %v, verdict %q, want none", got, w.verdict(round))
				}
				h.stop()
				h.start() // finds it complete once more
				pass(time.Hour)
				h.restart()
				pass(time.Minute)
				if got := w.verdict(round); got != "" {
					t.Errorf("verdict %q while it runs", got)
				}
				h.finish(round)
				pass(time.Minute)
				if got := w.verdict(round); got != profile.VerdictComplete {
					t.Errorf("verdict %q after it completed again", got)
				}
			})
		})
	}
}

func TestAMachineThatWasCompleteBeforeItsAgentCountsIfTheSeedAcceptsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1, Criteria: profile.Criteria{AcceptComplete: true}})
		h := w.host("u00")
		h.finish(1)
		h.start()
		pass(time.Minute)
		if got := w.verdict(1); got != profile.VerdictComplete {
			t.Errorf("verdict %q", got)
		}
	})
}

func TestAFlagLeftOverFromTheLastRoundOpensNoBarrier(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("agents restart %v", restarts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(3), Leaders: 1})
				hosts := w.all(3)
				for round := 1; round <= 3; round++ {
					for _, h := range hosts {
						if restarts {
							h.stop()
							h.start()
						}
						if pass(time.Minute); w.verdict(round) != "" {
							t.Fatalf("round %d: verdict %q before %s has completed", round, w.verdict(round), h.uuid)
						}
						if round > 1 {
							h.restart()
							pass(time.Minute)
						}
						h.finish(round)
					}
					pass(time.Minute)
					if got := w.verdict(round); got != profile.VerdictComplete {
						t.Fatalf("round %d: verdict %q", round, got)
					}
					w.open(round, false)
				}
			})
		})
	}
}

func TestASlowRunOfTheOldRoundDoesNotCountForTheNewOne(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("agent restarts %v", restarts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := w.all(1)[0]
				w.open(1, true)
				pass(time.Minute)
				if restarts {
					h.stop()
				}
				h.finish(1)
				if restarts {
					h.start()
				}
				pass(time.Hour)
				if diff := cmp.Diff(map[string]string{"1": profile.Complete}, w.record("u00").Results); diff != "" || w.verdict(2) != "" {
					t.Errorf("verdict %q, results (-want +got):\n%s", w.verdict(2), diff)
				}
				h.restart()
				pass(time.Minute)
				h.finish(2)
				pass(time.Minute)
				if got := w.verdict(2); got != profile.VerdictComplete {
					t.Errorf("verdict %q after a run of the new round", got)
				}
			})
		})
	}
}

// A run is found when it goes on, and is over when the next round is opened, before it
// is known which round it is of.
func TestARunThatWasOverWhenTheRoundWasOpenedDoesNotCountForIt(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("agent restarts %v", restarts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := w.all(1)[0]
				pass(time.Minute)
				h.finish(1)
				pass(time.Minute)
				found := false
				h.faults = func(c memory.Call) memory.Fault {
					if (c.Method == "ReadParams" || c.Method == "Apply") && !found {
						found = true
						h.finish(1)
						w.open(1, true)
					}
					return memory.Fault{}
				}
				if restarts {
					h.stop()
				}
				h.restart()
				if restarts {
					h.start()
				}
				pass(time.Hour)
				if got := w.record("u00").Results["2"]; !found || got != "" {
					t.Errorf("result %q in round 2, found %v; want none", got, found)
				}
				h.restart()
				pass(time.Minute)
				h.finish(2)
				pass(time.Minute)
				if got := w.verdict(2); got != profile.VerdictComplete {
					t.Errorf("verdict %q after a run of the new round", got)
				}
			})
		})
	}
}

func TestAnAgentThatDiesOnTheWayStillRecordsItsCompletion(t *testing.T) {
	barriers := profile.At(profile.ParamBarriers)
	results := profile.At(profile.ParamMembers, "u00", "results")
	for name, dies := range map[string]func(h *host){
		"in the middle of the run": func(h *host) {
			h.stop()
			pass(time.Minute)
			h.finish(1)
		},
		"before its record": func(h *host) {
			h.onSaveRun = func(profile.Run) { h.cancel(errStopped) }
			h.finish(1)
		},
		"while recording it": func(h *host) {
			h.faults = func(c memory.Call) memory.Fault {
				if c.Change != nil && writes(c.Change, results) {
					h.cancel(errStopped)
					return memory.Fault{LoseReply: true}
				}
				return memory.Fault{}
			}
			h.finish(1)
		},
		"before the verdict": func(h *host) {
			h.faults = func(c memory.Call) memory.Fault {
				if c.Change != nil && writes(c.Change, barriers) {
					h.cancel(errStopped)
					return memory.Fault{LoseRequest: true}
				}
				return memory.Fault{}
			}
			h.finish(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
				h := w.host("u00")
				h.noReferee = true
				h.start()
				pass(time.Second)
				dies(h)
				pass(time.Hour)
				if got := w.verdict(1); got != "" {
					t.Fatalf("verdict %q: the agent did not die in time", got)
				}
				if err := h.stop(); err != nil && !errors.Is(err, errStopped) {
					t.Fatalf("the agent ended with %v", err)
				}
				h.faults, h.onSaveRun = nil, nil
				h.start()
				pass(time.Minute)
				if got := w.verdict(1); got != profile.VerdictComplete {
					t.Errorf("verdict %q after the restart", got)
				}
			})
		})
	}
}

func TestARunThatCouldNotBeNotedAtFirstIsNotedWithWhatFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		joined := false
		back := time.Now().Add(10 * time.Minute)
		h.faults = func(c memory.Call) memory.Fault {
			if joined = joined || c.Method == "Apply"; c.Method != "Apply" && joined && time.Now().Before(back) {
				return memory.Fault{Refuse: profile.ErrUnavailable}
			}
			return memory.Fault{}
		}
		h.start()
		pass(time.Minute)
		h.finish(1) // its running was seen, but its round could not be read
		pass(9*time.Minute + 15*time.Second)
		if got := w.verdict(1); got != profile.VerdictComplete {
			t.Errorf("verdict %q right after the endpoint is back", got)
		}
	})
}

func TestAFirstLookThatFailsIsTriedAgainSoonThoughTheMachineIsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1, Criteria: profile.Criteria{AcceptComplete: true}})
		h := w.host("u00")
		reads := 0
		h.faults = func(c memory.Call) memory.Fault {
			if c.Method == "ReadParams" {
				if reads++; reads <= 2 {
					return memory.Fault{Refuse: profile.ErrUnavailable}
				}
			}
			return memory.Fault{}
		}
		h.finish(1)
		h.start()
		pass(30 * time.Second)
		if got := w.verdict(1); got != profile.VerdictComplete {
			t.Errorf("verdict %q", got)
		}
	})
}

// The machine may be seen before the profile is: the round is then read, and the view that
// the result is written by must know it, too.
func TestACompletionInARoundThatTheViewDoesNotKnowYetIsRecordedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		h.faults = func(c memory.Call) memory.Fault {
			if c.Method == "Changed" || c.Method == "ReadChanged" {
				return memory.Fault{LoseReply: true} // the profile is seen late
			}
			return memory.Fault{}
		}
		h.start()
		pass(time.Second)
		h.finish(1)
		pass(time.Minute)
		w.open(1, false)
		h.restart()
		pass(time.Second)
		h.finish(2)
		pass(2 * time.Second)
		if got := w.record("u00").Results["2"]; got != profile.Complete {
			t.Errorf("result %q, want complete", got)
		}
	})
}

func TestTheRoundIsNotReadAgainForARunThatWasSeenBeforeJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		reads := 0
		h.faults = func(c memory.Call) memory.Fault {
			if c.Method == "ReadParams" {
				reads++
			}
			return memory.Fault{}
		}
		h.start()
		pass(time.Second)
		if got, _ := h.LoadRun(); got.Round != 1 || got.State != profile.Running || reads != 0 {
			t.Errorf("run %+v after %d reads of params; want one that runs in round 1, after none", got, reads)
		}
	})
}

func TestARoundThatCannotBeJudgedStillHasItsResultsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		w.put(barrierLeaf("criteria", "role"), "of no member")
		h := w.all(1)[0]
		h.finish(1)
		pass(time.Minute)
		if diff := cmp.Diff(map[string]string{"1": profile.Complete}, w.record("u00").Results); diff != "" || w.verdict(1) != "" {
			t.Errorf("verdict %q, results (-want +got):\n%s", w.verdict(1), diff)
		}
	})
}

func TestARunThatBeganUnseenInPlaceOfAnUnfinishedOneKeepsItsRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.all(1)[0]
		h.stop()
		h.restart() // in round 1 still, as far as anybody can tell
		w.open(1, true)
		h.start()
		pass(time.Minute)
		h.finish(1)
		pass(time.Minute)
		if diff := cmp.Diff(map[string]string{"1": profile.Complete}, w.record("u00").Results); diff != "" || w.verdict(2) != "" {
			t.Errorf("verdict %q of round 2, results (-want +got):\n%s", w.verdict(2), diff)
		}
	})
}

func TestACompletionIsLatchedForItsRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h := w.host("u00").start()
		pass(time.Second)
		h.finish(1)
		pass(time.Minute)
		for _, then := range []func(){h.restart, func() { h.fail("failed") }, func() { h.fail("") }} {
			then()
			pass(time.Minute)
			if diff := cmp.Diff(map[string]string{"1": profile.Complete}, w.record("u00").Results); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
		}
	})
}

func TestAStateThatLastsIsWrittenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h := w.host("u00").start()
		pass(time.Second)
		h.fail("failed")
		pass(time.Hour)
		if h.applied != 2 {
			t.Errorf("%d patches in an hour of failure, want the joining and the failure", h.applied)
		}
	})
}

func TestALostIdentityEndsTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.all(1)[0]
		w.put(profile.At(profile.ParamMembers, "u00", "instance"), "another", profile.At(profile.ParamMembers, "u00", "seq"), 1000)
		h.finish(1)
		pass(time.Minute)
		h.cancel = nil
		if err := <-h.done; !errors.Is(err, profile.ErrTwin) || w.verdict(1) != "" {
			t.Errorf("ended with %v, verdict %q, want %v and none", err, w.verdict(1), profile.ErrTwin)
		}
	})
}

func TestResultsOfTheLastFourRoundsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.all(1)[0]
		for round := 1; round <= 6; round++ {
			h.finish(round)
			pass(time.Minute)
			if round < 6 {
				w.open(round, false)
				h.restart()
				pass(time.Minute)
			}
		}
		want := map[string]string{"3": profile.Complete, "4": profile.Complete, "5": profile.Complete, "6": profile.Complete}
		if diff := cmp.Diff(want, w.record("u00").Results); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	})
}

func TestAMachineThatChangesSeveralTimesInARowIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		h.start()
		pass(time.Minute)
		h.reads = 0
		for range 3 {
			h.machine.Set(func(m *profile.Machine) { m.Task++ })
			time.Sleep(10 * time.Millisecond)
		}
		pass(time.Minute)
		if h.reads != 1 {
			t.Errorf("%d reads, want 1", h.reads)
		}
	})
}

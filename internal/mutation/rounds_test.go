package mutation

import (
	"context"

	"muster/coordinator"
	"muster/profile"
)

// coordinators are the senders that are about rounds.
func coordinators() []sender {
	return []sender{record(), reportRunning(), reportComplete(), judge(), judgeFailed(), judgeRole(), judgeLate(), judgeArrivals(), arrivalFirst(), arrival()}
}

// records has the host record how its run of round 1 is.
func (h *host) records(ctx context.Context, round profile.Round, state string) error {
	h.look()
	return coordinator.Record(ctx, h.Member, profile.Run{N: 1, Round: round.N, RoundID: round.ID, State: state})
}

func (h *host) recorded(state string) {
	h.t.Helper()
	if err := h.records(h.t.Context(), h.round(), state); err != nil {
		h.t.Fatal(err)
	}
}

// reports has the host report what a task says.
func (h *host) reports(said string) {
	h.t.Helper()
	h.look()
	if _, err := coordinator.Report(h.t.Context(), h.Member, h.view, said); err != nil {
		h.t.Fatal(err)
	}
}

// anotherRound is the scenario in which round 1 becomes another of that number.
func anotherRound(wrong func(*world) string) scenario {
	return portal(profile.ParamBarriers+" * * id", barrierAt("id"), "another", "the barrier of round 1 is put back from an old backup", wrong)
}

func record() sender {
	result := recordAt("u1", "results", "1")
	return sender{
		patch: "result of a run", by: "coordinator.Record", given: (*world).members,
		send: func(ctx context.Context, w *world) { w.hosts["u1"].records(ctx, w.round(), profile.Failed) },
		cases: []scenario{
			anotherRound(changed(result, "u1 fails a round that it has not run in")),
			{path: pathSeq, meanwhile: "u1 starts anew; its machine is tried again, and completes", do: func(w *world) {
				w.hosts["u1"].restart().recorded(profile.Complete)
			}, wrong: changed(result, "u1, which is complete, fails")},
		},
	}
}

func report(when, said string, before []string, cases ...scenario) sender {
	return sender{
		patch: "report", when: when, by: "coordinator.Report",
		given: func(w *world) {
			w.members()
			for _, s := range before {
				w.hosts["u1"].reports(s)
			}
		},
		send: func(ctx context.Context, w *world) {
			coordinator.Report(ctx, w.hosts["u1"].Member, w.hosts["u1"].view, said)
		},
		cases: cases,
	}
}

func reportRunning() sender {
	return report("of running", profile.Running, nil,
		scenario{path: profile.ParamRound, meanwhile: "an operator opens round 2", do: func(w *world) {
			w.verb(profile.RoundSpec{After: 1, Force: true}.Plan)
		}, wrong: func(w *world) string {
			if r, _, _ := w.Document().Record("u1"); r.Run.Round == 1 {
				return "u1 begins to run in round 1 though it is round 2: its completion counts for the wrong one"
			}
			return ""
		}},
		late(scenario{path: pathSeq, meanwhile: "u1 starts anew, and runs and completes", do: func(w *world) {
			w.hosts["u1"].restart().reports(profile.Running)
			w.hosts["u1"].reports(profile.Complete)
		}, wrong: changed(recordAt("u1", "run"), "u1, which is complete, runs")}),
	)
}

func reportComplete() sender {
	return report("of complete", profile.Complete, []string{profile.Running},
		portal(profile.ParamMembers+" * run round_id", recordAt("u1", "run", "round_id"), "another", "the run of u1 is put back from an old backup",
			changed(recordAt("u1", "results", "1"), "u1 completes a round in which it does not run")),
		anotherRound(changed(recordAt("u1", "results", "1"), "u1 completes a round that it has not run in")),
	)
}

// judges is a sender that records the verdict of round 1: u1, once all have
// recorded their results.
func judges(when, last string, cases ...scenario) sender {
	return sender{
		patch: "verdict", when: when, by: "coordinator.Judge",
		given: func(w *world) {
			w.members()
			w.hosts["u1"].recorded(profile.Complete)
			w.hosts["u2"].recorded(profile.Complete)
			w.hosts["u3"].recorded(last)
			w.hosts["u1"].look()
		},
		send: func(ctx context.Context, w *world) {
			coordinator.Judge(ctx, w.hosts["u1"].Member, w.hosts["u1"].view, nil)
		},
		cases: cases,
	}
}

func judge() sender {
	verdict := barrierAt("verdict")
	return judges("complete", profile.Complete,
		portal(profile.ParamRound, profile.At(profile.ParamRound, "n"), 2, "the next round is opened",
			changed(verdict, "round 1 gets a verdict after it was over")),
		scenario{path: profile.ParamExpected + " version", meanwhile: "an operator puts u4 in the place of u3", do: func(w *world) {
			w.verb(profile.Replace{Old: "u3", New: "u4"}.Plan)
		}, wrong: changed(verdict, "round 1 is complete, and u4, for which it waits, is not")},
		portal(profile.ParamBarriers+" * * verdict", verdict, profile.VerdictExpired, "round 1 is said to have expired",
			changed(verdict, "round 1 has a second verdict")),
		goesOn(),
	)
}

func judgeFailed() sender {
	return judges("failed", profile.Failed,
		scenario{path: profile.ParamMembers + " * results *", meanwhile: "the machine of u3 is tried again, and completes", do: func(w *world) {
			w.hosts["u3"].recorded(profile.Complete)
		}, wrong: func(w *world) string {
			if b, _, _ := w.Document().Barrier(profile.BarrierComplete, 1); b.Verdict == profile.VerdictFailed {
				return "round 1 fails because of u3, and all are complete"
			}
			return ""
		}},
	)
}

// atBarrier is a sender that opens or judges the barrier `meet`, or arrives there.
func atBarrier(patch, when, by string, given func(*world), send func(context.Context, *host), cases ...scenario) sender {
	return sender{
		patch: patch, when: when, by: by, cases: cases,
		given: func(w *world) {
			w.members()
			given(w)
			w.hosts["u1"].look()
		},
		send: func(ctx context.Context, w *world) { send(ctx, w.hosts["u1"]) },
	}
}

// judging has a host record the verdicts that are due, the deadline of the
// barrier of this name being over.
func judging(late string) func(context.Context, *host) {
	return func(ctx context.Context, h *host) {
		coordinator.Judge(ctx, h.Member, h.view, func(name string, _ profile.Barrier) bool { return name == late })
	}
}

// arrives has the host arrive at the barrier `meet`, and ask for these criteria.
func (h *host) arrives(asked profile.Asked) {
	h.t.Helper()
	h.look()
	if _, err := coordinator.Arrive(h.t.Context(), h.Member, h.view, "meet", asked); err != nil {
		h.t.Fatal(err)
	}
}

func meetAt(leaf string) profile.Pointer { return profile.At(profile.ParamBarriers, "meet", "1", leaf) }

// lenient are criteria under which two may be missing.
func lenient() profile.Asked {
	minute, two := "1m", "2"
	return profile.Asked{Deadline: &minute, AllowMissing: &two}
}

func judgeRole() sender {
	return atBarrier("verdict", "about a role", "coordinator.Judge", func(w *world) {
		w.put(barrierAt("criteria")+"/role", profile.Leader)
		w.hosts["u1"].claims(profile.Leader, "1", "")
		w.hosts["u1"].recorded(profile.Complete)
	}, func(ctx context.Context, h *host) { coordinator.Judge(ctx, h.Member, h.view, nil) },
		scenario{path: pathHolder, meanwhile: "an operator evicts the leader u1, by force, and u2 leads", do: func(w *world) {
			w.verb(profile.Evict{Role: profile.Leader, Slot: "1", Member: "u1", Reason: "test", Force: true}.Plan)
			w.hosts["u2"].claims(profile.Leader, "1", "")
		}, wrong: changed(barrierAt("verdict"), "the leaders are complete, and the one by now is not")},
	)
}

func judgeLate() sender {
	return atBarrier("verdict", "partial", "coordinator.Judge", func(w *world) {
		w.put(barrierAt("criteria")+"/deadline", "1m")
		w.put(barrierAt("criteria")+"/allow_missing", "2")
		w.hosts["u1"].recorded(profile.Complete)
	}, judging(profile.BarrierComplete),
		scenario{path: profile.ParamMembers + " * results", meanwhile: "u2 completes", do: func(w *world) {
			w.hosts["u2"].recorded(profile.Complete)
		}, wrong: func(w *world) string {
			if b, _, _ := w.Document().Barrier(profile.BarrierComplete, 1); len(b.Missing) == 2 {
				return "u2, which is complete, is named as missing"
			}
			return ""
		}},
	)
}

func judgeArrivals() sender {
	return atBarrier("verdict", "partial, of arrivals", "coordinator.Judge", func(w *world) {
		w.hosts["u1"].arrives(lenient())
	}, judging("meet"),
		scenario{path: profile.ParamMembers + " * arrived", meanwhile: "u2 arrives", do: func(w *world) {
			w.hosts["u2"].arrives(profile.Asked{})
		}, wrong: func(w *world) string {
			if b, _, _ := w.Document().Barrier("meet", 1); len(b.Missing) == 2 {
				return "u2, which has arrived, is named as missing"
			}
			return ""
		}},
		goesOn(),
	)
}

func arriving(ctx context.Context, h *host) {
	coordinator.Arrive(ctx, h.Member, h.view, "meet", profile.Asked{})
}

func arrivalFirst() sender {
	return atBarrier("arrival", "of the first", "coordinator.Arrive", func(*world) {}, arriving,
		portal(profile.ParamRound, profile.At(profile.ParamRound, "n"), 2, "the round is set to 2",
			changed(profile.At(profile.ParamBarriers, "meet", "1"), "a barrier is opened in round 1 though it is round 2: it never has a verdict")),
		scenario{path: profile.ParamBarriers, meanwhile: "u2 opens it, with a deadline", do: func(w *world) {
			w.hosts["u2"].arrives(lenient())
		}, wrong: changed(meetAt("criteria"), "the criteria of a barrier change that is open")},
	)
}

func arrival() sender {
	return atBarrier("arrival", "", "coordinator.Arrive", func(w *world) {
		w.hosts["u2"].arrives(profile.Asked{})
	}, arriving,
		scenario{path: pathSeq, meanwhile: "an operator opens round 2 by force; u1 starts anew, and arrives", do: func(w *world) {
			w.verb(profile.RoundSpec{After: 1, Force: true}.Plan)
			w.hosts["u1"].restart().arrives(profile.Asked{})
		}, wrong: changed(recordAt("u1", "arrived", "meet"), "u1, which has arrived in round 2, has not")},
	)
}

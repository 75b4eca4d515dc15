package mutation

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/agent"
	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

// operators are the senders of operators' verbs.
func operators() []sender {
	return []sender{
		seed(), mend(), round(), roundForced(), barrier(), escape(), transfer(), transferDB(), evict(), evictSlot(), evictForced(), allow(),
		forget(), forgetUnplanted(), replace(), updated(), pause(), scale(), scaleDown(), scaleDB(),
	}
}

// verb is the sender of an operator's plan: u1 holds leader/1.
func verb(patch, when string, given func(*world), plan profile.Plan, cases ...scenario) sender {
	return sender{
		patch: patch, when: when, by: "profile.(*Operator).Write",
		given: func(w *world) {
			w.members()
			w.hosts["u1"].claims("leader", "1", "")
			if given != nil {
				given(w)
			}
		},
		send: func(ctx context.Context, w *world) {
			profile.NewOperator(w.way()).Write(ctx, plan)
		},
		cases: cases,
	}
}

// twice has leader/1 change hands and come back to u1, in a later tenure.
func twice(w *world) {
	for _, uuid := range []string{"u3", "u1"} {
		w.hosts[w.slot("leader", "1").Holder].resigns("leader")
		w.hosts[uuid].claims("leader", "1", "")
	}
}

func transfer() sender {
	wanted := slotAt("leader", "1", "wanted")
	inVain := changed(wanted, "leader/1 is to be freed for u2, which may not claim it")
	return verb("transfer", "", func(w *world) {
		w.put(profile.At(profile.ParamSlots, "leader", "2"), profile.Slot{History: []profile.Transition{}})
		w.put(profile.At(profile.ParamLeaderCount), 2)
		w.put(profile.At(profile.ParamRoles, "leader"), profile.RoleOptions{Priority: map[string]int{"u2": 100}})
	}, profile.Transfer{Role: "leader", Slot: "1", To: "u2"}.Plan,
		late(portal(pathHolder, slotAt("leader", "1", "holder"), "u9", "leader/1 is given to u9",
			changed(wanted, "u9 is told to hand over a slot that was to be had from u1"))),
		late(portal(pathInstance, slotAt("leader", "1", "instance"), "i9", "leader/1 is given to instance i9",
			changed(wanted, "instance i9 is told to hand over a slot that was to be had from another"))),
		late(scenario{path: pathEpoch, meanwhile: "u1 resigns leader/1 to u3, and u3 back to u1", do: twice,
			wrong: changed(wanted, "u1 is told to hand over in a tenure that the operator knows nothing of")}),
		late(portal(pathWanted, wanted, "u3", "leader/1 is asked for u3",
			changed(wanted, "what was asked for u3 is forgotten"))),
		portal(profile.ParamLeaderCount, profile.At(profile.ParamLeaderCount), 0, "role leader is scaled to 0", inVain),
		portal(profile.ParamPaused, profile.At(profile.ParamPaused), true, "claims are paused", inVain),
		scenario{path: pathSeq, meanwhile: "u2 claims leader/2", do: func(w *world) {
			w.hosts["u2"].claims("leader", "2", "")
		}, wrong: inVain},
		portal(pathBar, recordAt("u2", "barred", "leader"), "disk fails", "u2 is barred from role leader", inVain),
		portal(profile.ParamRoles+" * priority *", profile.At(profile.ParamRoles, "leader", "priority", "u2"), 0, "u2 gets priority 0", inVain),
		late(scenario{path: pathOps, meanwhile: "another operator asks for the same, which is called off in the portal", do: func(w *world) {
			w.verb(profile.Transfer{Role: "leader", Slot: "1", To: "u2"}.Plan)
			w.put(wanted, "")
		}, wrong: changed(wanted, "what was called off is asked for again")}),
	)
}

func transferDB() sender {
	return verb("transfer", "of a slot of a role other than leader", func(w *world) {
		w.hosts["u1"].claims("db", "1", "")
	}, profile.Transfer{Role: "db", Slot: "1", To: "u2"}.Plan,
		portal(pathCount, profile.At(profile.ParamRoles, "db", "slots"), 0, "role db is scaled to 0",
			changed(slotAt("db", "1", "wanted"), "db/1 is to be freed for u2, which may not claim it")))
}

func evict() sender {
	return verb("eviction", "from all that a member holds", nil, profile.Evict{Member: "u1", Reason: "disk fails"}.Plan,
		scenario{path: pathSeq, meanwhile: "u1 claims db/1", do: func(w *world) {
			w.hosts["u1"].claims("db", "1", "")
		}, wrong: func(w *world) string {
			if r, _, _ := w.Document().Record("u1"); r.Barred["leader"] != "" && r.Barred["db"] == "" && w.slot("db", "1").Holder == "u1" {
				return "u1 is evicted from all that it holds, and keeps db/1"
			}
			return ""
		}},
		late(scenario{path: pathOps, meanwhile: "another operator evicts u1 and allows it again; in the portal what it was told is called off", do: func(w *world) {
			w.verb(profile.Evict{Member: "u1", Reason: "disk fails"}.Plan)
			w.verb(profile.Allow{Member: "u1", Role: "leader"}.Plan)
			w.put(slotAt("leader", "1", "wanted"), "")
		}, wrong: changed(recordAt("u1", "barred", "leader"), "u1 is evicted again, though it was allowed since")}),
	)
}

func evictSlot() sender {
	wanted := slotAt("leader", "1", "wanted")
	return verb("eviction", "from one slot", nil, profile.Evict{Member: "u1", Role: "leader", Slot: "1", Reason: "disk fails"}.Plan,
		portal(pathHolder, slotAt("leader", "1", "holder"), "u9", "leader/1 is given to u9",
			changed(wanted, "u9, the next holder, is evicted")),
		late(portal(pathInstance, slotAt("leader", "1", "instance"), "i9", "leader/1 is given to instance i9",
			changed(wanted, "instance i9, the next holder, is evicted"))),
		late(scenario{path: pathEpoch, meanwhile: "u1 resigns leader/1 to u3, and u3 back to u1", do: twice,
			wrong: changed(wanted, "u1 is evicted from a tenure that the operator knows nothing of")}),
		portal(pathWanted, wanted, "u3", "leader/1 is asked for u3",
			changed(wanted, "what was asked for u3 is forgotten: anybody gets the slot")),
	)
}

// first is the scenario in which u3 is listed before the entry of u1.
func first() scenario {
	return portal(pathEntry, profile.At(profile.ParamLeaders), []any{"u3", "u1"}, "u3 is listed before u1",
		unlisted("u3", "the entry of u3 is taken off the list"))
}

func listed(w *world) { w.put(profile.At(profile.ParamLeaders), []any{"u1"}) }

func evictForced() sender {
	return verb("eviction", "by force", listed, profile.Evict{Member: "u1", Reason: "disk fails", Force: true}.Plan, first())
}

func allow() sender {
	bar := recordAt("u3", "barred", "db")
	return verb("allowance", "", func(w *world) { w.put(bar, "disk fails") }, profile.Allow{Member: "u3", Role: "db"}.Plan,
		late(portal(pathBar, bar, "its rack burns", "u3 is barred for another reason",
			changed(bar, "the bar is lifted that was set for the other reason"))),
		late(scenario{path: pathOps, meanwhile: "another operator allows u3, and evicts it from db/1, which it claimed, again", do: func(w *world) {
			w.verb(profile.Allow{Member: "u3", Role: "db"}.Plan)
			w.hosts["u3"].claims("db", "1", "")
			w.verb(profile.Evict{Member: "u3", Reason: "disk fails"}.Plan)
		}, wrong: changed(bar, "the second eviction is undone by the first allowance")}),
	)
}

// departs are the scenarios of what takes u1 out of the cluster.
func departs() []scenario {
	freed := func(whose string) func(*world) string {
		return changed(slotAt("leader", "1", "holder"), "leader/1 is freed under "+whose)
	}
	return []scenario{
		portal(profile.ParamExpected, profile.At(profile.ParamExpected, "members"), []string{"u1", "u2", "u3", "u5"}, "u5 is added to the expected members",
			func(w *world) string {
				if e, _ := w.Document().Expected(); !slices.Contains(e.Members, "u5") {
					return "nobody waits for u5 any more"
				}
				return ""
			}),
		portal(pathHolder, slotAt("leader", "1", "holder"), "u9", "leader/1 is given to u9", freed("u9")),
		late(portal(pathInstance, slotAt("leader", "1", "instance"), "i9", "leader/1 is given to instance i9", freed("instance i9"))),
		late(portal(pathEpoch, slotAt("leader", "1", "epoch"), far, "the epoch of leader/1 is raised: another tenure", freed("a tenure that the operator knows nothing of"))),
		portal(pathWanted, slotAt("leader", "2", "wanted"), "u3", "leader/2 is asked for u3, and no longer for u1",
			changed(slotAt("leader", "2", "wanted"), "what was asked for u3 is forgotten")),
		first(),
		{path: pathSeq, meanwhile: "u1 claims db/1", do: func(w *world) {
			w.hosts["u1"].claims("db", "1", "")
		}, wrong: func(w *world) string {
			if r, _, _ := w.Document().Record("u1"); !r.Joined() && w.slot("db", "1").Holder == "u1" {
				return "u1 is gone, and holds db/1 for ever"
			}
			return ""
		}},
		{path: pathOps, meanwhile: "another operator transfers db/1 to u1", do: func(w *world) {
			w.verb(profile.Transfer{Role: "db", Slot: "1", To: "u1"}.Plan)
		}, wrong: func(w *world) string {
			if r, _, _ := w.Document().Record("u1"); !r.Joined() && w.slot("db", "1").Wanted == "u1" {
				return "u1 is gone, and db/1 is kept for it"
			}
			return ""
		}},
	}
}

// settled is what a departure finds: u1 is listed, and wanted for leader/2.
func settled(w *world) {
	listed(w)
	w.put(profile.At(profile.ParamSlots, "leader", "2"), profile.Slot{Wanted: "u1", History: []profile.Transition{}})
	w.put(profile.At(profile.ParamLeaderCount), 2)
	w.put(profile.At(profile.ParamRoles, "leader"), profile.RoleOptions{Priority: map[string]int{"u1": 7}})
}

func forget() sender {
	return verb("forgetting", "", settled, profile.Forget{Member: "u1", Force: true}.Plan, departs()...)
}

func forgetUnplanted() sender {
	s := verb("forgetting", "of a member whose record is gone", nil, profile.Forget{Member: "u1"}.Plan,
		late(scenario{path: profile.ParamJoins, meanwhile: "u1 joins, as one that has no record", do: func(w *world) {
			w.machine("u1").join()
		}, wrong: changed(recordAt("u1", "instance"), "the record of u1, which is there, is planted over")}),
	)
	s.given = func(w *world) { w.put(recordAt("u1"), nil) }
	return s
}

func replace() sender {
	priority := profile.At(profile.ParamRoles, "leader", "priority", "u1")
	return verb("replacement", "", settled, profile.Replace{Old: "u1", New: "u4", Force: true}.Plan, append(departs(),
		scenario{path: profile.ParamJoins, meanwhile: "u4 joins, as one that is not listed", do: func(w *world) {
			w.machine("u4").join()
		}, wrong: changed(recordAt("u4", "instance"), "the record of u4, which is there, is planted over")},
		portal(profile.ParamRoles+" * priority *", priority, 9, "u1 gets priority 9 in the place of 7",
			func(w *world) string {
				if number(w.Document(), profile.At(profile.ParamRoles, "leader", "priority", "u4")) == 7 {
					return "u4 gets the priority 7, which was changed"
				}
				return ""
			}),
	)...)
}

// updated is the update of a seed by which u4 is to be a member.
func updated() sender {
	plan := profile.Update{Profile: cluster, Members: []string{"u1", "u2", "u3", "u4"}, Leaders: 1}.Plan
	return verb("update", "", nil, plan,
		late(portal(profile.ParamExpected, profile.At(profile.ParamExpected, "members"), []string{"u1"}, "all but u1 are taken off the list",
			changed(profile.At(profile.ParamExpected, "members"), "who was taken off the list is expected again"))),
		scenario{path: pathOps, meanwhile: "another operator pauses claims and resumes them", do: func(w *world) {
			w.verb(profile.Pause(true))
			w.verb(profile.Pause(false))
		}, wrong: falls(profile.At(profile.ParamOps, "n"), "the update lands after later requests: the operators' sequence falls")},
		scenario{path: profile.ParamJoins, meanwhile: "u4 joins, as one that is not listed", do: func(w *world) {
			w.machine("u4").join()
		}, wrong: changed(recordAt("u4", "instance"), "the record of u4, which is there, is planted over")},
	)
}

func pause() sender {
	paused := profile.At(profile.ParamPaused)
	return verb("pause", "", nil, profile.Pause(true),
		portal(profile.ParamPaused, paused, "until Tuesday", "somebody writes there until when claims are paused",
			changed(paused, "what was written there is lost")),
		late(scenario{path: pathOps, meanwhile: "another operator pauses claims and resumes them", do: func(w *world) {
			w.verb(profile.Pause(true))
			w.verb(profile.Pause(false))
		}, wrong: changed(paused, "claims are paused, and the last word was to resume them")}),
	)
}

func scale() sender {
	count := profile.At(profile.ParamLeaderCount)
	return verb("scaling", "", nil, profile.Scale{Role: "leader", Slots: 2}.Plan,
		late(portal(profile.ParamLeaderCount, count, 3, "role leader is scaled to 3", changed(count, "what was asked for there is lost"))),
		scenario{path: pathSlots, meanwhile: "in the portal role leader is scaled to 2; u2 claims leader/2; then it is scaled back to 1", do: func(w *world) {
			w.put(profile.At(profile.ParamSlots, "leader", "2"), profile.Slot{History: []profile.Transition{}})
			w.put(count, 2)
			w.hosts["u2"].claims("leader", "2", "")
			w.put(count, 1)
		}, wrong: changed(slotAt("leader", "2", "holder"), "leader/2 is planted over, and u2 loses it before it has ended")},
	)
}

func scaleDown() sender {
	count := profile.At(profile.ParamLeaderCount)
	return verb("scaling", "down", nil, profile.Scale{Role: "leader", Slots: 0}.Plan,
		late(scenario{path: pathOps, meanwhile: "another operator scales to 0, and then back to 1", do: func(w *world) {
			w.verb(profile.Scale{Role: "leader", Slots: 0}.Plan)
			w.verb(profile.Scale{Role: "leader", Slots: 1}.Plan)
		}, wrong: changed(count, "u1 has to give up leader/1, and the last word was that it stays")}))
}

func scaleDB() sender {
	count := profile.At(profile.ParamRoles, "db", "slots")
	return verb("scaling", "of a role other than leader", nil, profile.Scale{Role: "db", Slots: 2}.Plan,
		late(portal(pathCount, count, 3, "role db is scaled to 3", changed(count, "what was asked for there is lost"))))
}

func round() sender {
	return verb("round", "", func(w *world) {
		w.put(barrierAt("verdict"), profile.VerdictComplete)
	}, profile.RoundSpec{After: 1}.Plan,
		portal(profile.ParamRound, profile.At(profile.ParamRound, "n"), 5, "the round is set to 5",
			falls(profile.At(profile.ParamRound, "n"), "the round falls")),
		portal(profile.ParamExpected+" version", profile.At(profile.ParamExpected, "version"), 9, "the expected members are changed, in version 9",
			falls(profile.At(profile.ParamExpected, "version"), "the version of the expected members falls")),
		scenario{path: pathOps, meanwhile: "another operator pauses claims and resumes them", do: func(w *world) {
			w.verb(profile.Pause(true))
			w.verb(profile.Pause(false))
		}, wrong: falls(profile.At(profile.ParamOps, "n"), "the round is opened after later requests: the operators' sequence falls")},
	)
}

func roundForced() sender {
	return verb("round", "by force", nil, profile.RoundSpec{After: 1, Force: true}.Plan,
		scenario{path: profile.ParamBarriers, meanwhile: "all complete, and u1 records the verdict", do: func(w *world) {
			for _, uuid := range []string{"u3", "u2", "u1"} {
				w.hosts[uuid].reports(profile.Running)
				w.hosts[uuid].reports(profile.Complete)
			}
		}, wrong: changed(barrierAt("verdict"), "round 1, which is complete, is superseded")},
	)
}

func barrier() sender {
	return verb("barrier", "", nil, profile.BarrierSpec{Name: "meet", Of: profile.OfArrival}.Plan,
		portal(profile.ParamRound, profile.At(profile.ParamRound, "n"), 2, "the round is set to 2",
			changed(profile.At(profile.ParamBarriers, "meet", "1"), "a barrier is opened in round 1 though it is round 2: it never has a verdict")),
		scenario{path: profile.ParamBarriers, meanwhile: "u2 opens it, with a deadline", do: func(w *world) {
			w.hosts["u2"].arrives(lenient())
		}, wrong: changed(meetAt("criteria"), "the criteria of a barrier change that is open")},
		scenario{path: pathOps, meanwhile: "another operator pauses claims and resumes them", do: func(w *world) {
			w.verb(profile.Pause(true))
			w.verb(profile.Pause(false))
		}, wrong: falls(profile.At(profile.ParamOps, "n"), "the barrier is opened after later requests: the operators' sequence falls")},
	)
}

// escape is the manager's, whose machine stops while it waits.
func escape() sender {
	return sender{
		patch: "escape", by: "agent.Observer.breakOut", given: (*world).members,
		send: func(ctx context.Context, w *world) {
			machine := memory.NewMachine(profile.Machine{UUID: "manager", Manager: true, Runnable: true})
			time.AfterFunc(time.Second, func() { machine.Set(func(m *profile.Machine) { m.Runnable = false }) })
			o := agent.Observer{Store: w.way(), UUID: "manager", Machine: machine, Logger: hclog.NewNullLogger()}
			o.Wait(ctx, agent.Waiting{}, nil)
		},
		cases: []scenario{
			{path: profile.ParamBarriers + " * * verdict", meanwhile: "all complete, and u1 records the verdict", do: func(w *world) {
				for _, uuid := range []string{"u3", "u2", "u1"} {
					w.hosts[uuid].recorded(profile.Complete)
				}
				coordinator.Judge(w.t.Context(), w.hosts["u1"].Member, w.hosts["u1"].view, nil)
			}, wrong: changed(profile.At(profile.ParamEscape), "every wait is broken because the manager could not wait for round 1, which is complete")},
			late(scenario{path: pathOps, meanwhile: "an operator breaks every wait, and lets members wait again", do: func(w *world) {
				w.verb(profile.Escape{Code: 1}.Plan)
				w.verb(profile.Escape{Clear: true}.Plan)
			}, wrong: changed(profile.At(profile.ParamEscape), "every wait is broken, and the last word was to wait again")}),
		},
	}
}

// unseeded is the sender of a seed into a profile as given makes it.
func unseeded(when string, given func(*world), cases ...scenario) sender {
	plan := profile.Seed{Profile: cluster, Members: []string{"u1", "u2", "u3"}, Leaders: 1}.Plan
	s := verb("seed", when, nil, plan, cases...)
	s.given = given
	return s
}

func seed() sender {
	const all = "(the whole profile)"
	return unseeded("", func(w *world) { w.Replace(profile.Params{}) },
		scenario{path: all, meanwhile: "another operator seeds, and u1 joins", do: func(w *world) {
			w.verb(profile.Seed{Profile: cluster, Members: []string{"u1"}, Leaders: 1}.Plan)
			w.machine("u1").join()
		}, wrong: changed(recordAt("u1", "instance"), "all is planted over, and u1 is forgotten")},
	)
}

func mend() sender {
	budget := profile.At(profile.ParamFactsBudget)
	return unseeded("of what an earlier one lacks", func(w *world) { w.put(budget, nil) },
		portal("(the whole profile)", budget, 512, "what lacks is put there",
			changed(budget, "what was put there is lost")))
}

package mutation

import (
	"context"

	"muster/profile"
)

// furnishers are the senders that plant what roles lack, and mirror who leads.
func furnishers() []sender {
	return []sender{
		plantBar(), grow(), growDB(),
		enlist(), replaceEntry(), mendList(), takeOff(),
	}
}

// web adds a role by hand, which members' records know nothing of.
func (w *world) web() {
	w.put(profile.At(profile.ParamRoles, "web"), profile.RoleOptions{Slots: 1})
	w.put(profile.At(profile.ParamSlots, "web"), map[string]profile.Slot{"1": {History: []profile.Transition{}}})
}

// goesOn is the scenario in which the next process of u1 has written since.
func goesOn() scenario {
	return scenario{path: pathSeq, meanwhile: "u1 starts anew, and goes on", do: func(w *world) {
		w.hosts["u1"].restart().renames("newer")
	}, wrong: backwards}
}

// barring is the scenario in which u1 is barred from role web.
func barring() scenario {
	return portal(profile.ParamMembers+" * barred", recordAt("u1", "barred", "web"), "disk fails", "u1 is barred from role web",
		changed(recordAt("u1", "barred", "web"), "u1 lifts its own bar"))
}

func plantBar() sender {
	return sender{
		patch: "bar for a new role", by: "election.(*Elector).plantBar",
		given: func(w *world) {
			w.members()
			w.web()
		},
		send: elects("u1"),
		cases: []scenario{barring(), {path: pathSeq, meanwhile: "u1 starts anew, and goes on; in the portal the bar that it planted is removed", do: func(w *world) {
			w.hosts["u1"].restart().renames("newer")
			w.put(recordAt("u1", "barred", "web"), nil)
		}, wrong: backwards}},
	}
}

func grow() sender {
	return sender{
		patch: "slots of a role that grew", by: "election.(*Elector).grow",
		given: func(w *world) {
			w.members()
			w.put(profile.At(profile.ParamLeaderCount), 2)
		},
		send: elects("u1"),
		cases: []scenario{
			{path: pathSlots, meanwhile: "an operator scales role leader to 2, and u2 claims leader/2", do: func(w *world) {
				w.verb(profile.Scale{Role: "leader", Slots: 2}.Plan)
				w.hosts["u2"].claims("leader", "2", "")
			}, wrong: changed(slotAt("leader", "2", "holder"), "leader/2 is planted over, and u2 loses it")},
			{path: profile.ParamLeaderCount, meanwhile: "an operator scales role leader back to 1", do: func(w *world) {
				w.verb(profile.Scale{Role: "leader", Slots: 1}.Plan)
			}, wrong: changed(profile.At(profile.ParamSlots, "leader", "2"), "leader/2 is planted though the role has 1 slot")},
			goesOn(),
		},
	}
}

func growDB() sender {
	return sender{
		patch: "slots of a role that grew", when: "other than leader", by: "election.(*Elector).grow",
		given: func(w *world) {
			w.members()
			w.put(profile.At(profile.ParamRoles, "db", "slots"), 2)
		},
		send: elects("u1"),
		cases: []scenario{{path: pathCount, meanwhile: "an operator scales role db back to 1", do: func(w *world) {
			w.verb(profile.Scale{Role: "db", Slots: 1}.Plan)
		}, wrong: changed(profile.At(profile.ParamSlots, "db", "2"), "db/2 is planted though the role has 1 slot")}},
	}
}

// mirrors is a sender that brings cluster/leaders in line: u1 holds leader/1.
func mirrors(when string, leaders any, cases ...scenario) sender {
	return sender{
		patch: "entry in `cluster/leaders`", when: when, by: "election.(*Elector).mirror",
		given: func(w *world) {
			w.members()
			w.hosts["u1"].claims("leader", "1", "")
			w.put(profile.At(profile.ParamLeaders), leaders)
		},
		send: elects("u1"), cases: cases,
	}
}

func enlist() sender {
	leaders := profile.At(profile.ParamLeaders)
	return mirrors("where there is none", []any{},
		scenario{path: pathInstance, meanwhile: "an operator evicts u1 by force", do: func(w *world) {
			w.verb(profile.Evict{Member: "u1", Reason: "disk fails", Force: true}.Plan)
		}, wrong: changed(leaders, "u1 is listed as a leader, and holds nothing")},
		portal(pathEpoch, slotAt("leader", "1", "epoch"), far, "the epoch of leader/1 is raised: another tenure",
			func(w *world) string {
				if entries, _ := listedIn(w.Document()); len(entries) > 0 && w.slot("leader", "1").Epoch == far {
					return "u1 is listed as a leader under a tenure that has ended"
				}
				return ""
			}),
		scenario{path: pathSeq, meanwhile: "u1 starts anew, and enlists itself", do: func(w *world) {
			ctx, cancel := context.WithTimeout(w.t.Context(), lookFor)
			defer cancel()
			w.hosts["u1"].restart().elector().Run(ctx)
		}, wrong: func(w *world) string {
			if entries, _ := listedIn(w.Document()); len(entries) > 1 {
				return "u1 is listed twice"
			}
			return ""
		}},
	)
}

func replaceEntry() sender {
	return mirrors("in the place of one that old content left", []any{"u1"},
		portal(pathEntry, profile.At(profile.ParamLeaders), []any{"u3", "u1"}, "u3 is listed before it",
			unlisted("u3", "the entry of u3 is taken off the list")))
}

func mendList() sender {
	return mirrors("where the list is none", map[string]any{},
		portal(profile.ParamLeaders, profile.At(profile.ParamLeaders), []any{"u3"}, "the list is mended, with u3",
			unlisted("u3", "the entry of u3 is overwritten")))
}

func takeOff() sender {
	s := mirrors("of one that leads no more", []any{"u1"},
		portal(pathEntry, profile.At(profile.ParamLeaders), []any{"u3", "u1"}, "u3 is listed before it",
			unlisted("u3", "the entry of u3 is taken off the list")))
	s.given = func(w *world) {
		w.members()
		w.put(profile.At(profile.ParamPaused), true) // or it leads at once
		listed(w)
	}
	return s
}

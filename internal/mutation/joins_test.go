package mutation

import (
	"context"

	"muster/profile"
)

// joiners are the senders that join.
func joiners() []sender {
	return []sender{firstJoin(), unlistedJoin(), filling(), joinWithNewRole(), newLife()}
}

// joins has the process of a host join.
func joins(uuid string) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		h := w.hosts[uuid]
		h.Join(ctx, h.joining())
	}
}

const byJoin = "profile.(*Member).Join"

func firstJoin() sender {
	return sender{
		patch: "join", by: byJoin, given: func(w *world) { w.machine("u1") }, send: joins("u1"),
		cases: []scenario{
			late(scenario{path: pathSeq, meanwhile: "an operator forgets u1", do: func(w *world) {
				w.verb(profile.Forget{Member: "u1"}.Plan)
			}, wrong: changed(recordAt("u1", "instance"), "u1, which is forgotten, has joined, and no process of it is there")}),
			portal(profile.ParamMembers+" * instance", recordAt("u1", "instance"), "i9", "the record is given to instance i9",
				changed(recordAt("u1", "instance"), "the record of instance i9 is taken over")),
		},
	}
}

func unlistedJoin() sender {
	return sender{
		patch: "join", when: "of a machine that the seed does not list", by: byJoin, given: func(w *world) { w.machine("u4") }, send: joins("u4"),
		cases: []scenario{{path: profile.ParamJoins, meanwhile: "another host joins as u4: one of them is a clone", do: func(w *world) {
			h := w.machine("u4")
			h.hardware = "other hardware"
			h.join()
		}, wrong: changed(recordAt("u4", "hardware"), "both have joined as u4, and the record of the first is overwritten")}},
	}
}

// filling is a join of a self-seeded cluster that has room for one more.
func filling() sender {
	s := unlistedJoin()
	s.when = "of a self-seeded cluster that fills up"
	s.given = func(w *world) {
		w.put(profile.At(profile.ParamExpected, "count"), 4)
		w.machine("u4")
	}
	s.cases = []scenario{{path: profile.ParamExpected + " version", meanwhile: "an operator opens the next round, in version 2 of who is expected", do: func(w *world) {
		w.verb(profile.RoundSpec{After: 1, Force: true}.Plan)
	}, wrong: func(w *world) string {
		before, _ := w.before.Expected()
		after, _ := w.Document().Expected()
		if len(after.Members) > len(before.Members) && after.Version == before.Version {
			return "version 2 is of two lists: a verdict about the shorter one lands on the longer"
		}
		return ""
	}}}
	return s
}

func joinWithNewRole() sender {
	return sender{
		patch: "join", when: "with a role that is newer than the record", by: byJoin,
		given: func(w *world) {
			w.web()
			w.machine("u1")
		},
		send: joins("u1"), cases: []scenario{barring()},
	}
}

func newLife() sender {
	return sender{
		patch: "join", when: "of a host that was provisioned anew, with a slot of its life before", by: byJoin,
		given: func(w *world) {
			w.machine("u1").join().claims("leader", "1", "")
			w.machine("u1")
		},
		send: joins("u1"), cases: []scenario{late(freed("the join of u1")[0]), late(freed("the join of u1")[1])},
	}
}

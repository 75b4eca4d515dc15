package mutation

import (
	"context"
	"encoding/json"

	"muster/agent"
	"muster/profile"
)

// site is a param of the cluster's own data, and pathSite its test op.
const (
	site      = "site/primary"
	pathSite  = site
	pathNames = "(the names of the params)"
)

func edit(value string) profile.Edit {
	return profile.Edit{Key: site, Value: json.RawMessage(value)}
}

// by returns e as one that is to be done only if the param is ref.
func by(ref string, e profile.Edit) profile.Edit {
	e.Ref = json.RawMessage(ref)
	return e
}

func added(value string) profile.Edit {
	e := edit(value)
	e.New = true
	return e
}

// edits carries edits out as u1 does, one after the other.
func (w *world) edits(all ...profile.Edit) {
	w.t.Helper()
	for _, e := range all {
		_, err := w.process.Set(w.t.Context(), agent.Setting{Edit: e})
		w.must(err)
	}
}

// data are the senders of changes of the cluster's own data: of members, and of
// operators.
func data() []sender {
	unset, gone := profile.Edit{Key: site}, profile.At(site)
	return []sender{
		shares("set", "", `"before"`, edit(`"older"`),
			late(anew("sets another value", "the older value overwrites the newer one", edit(`"newer"`)))),
		shares("set", "of what it must be", "1", by("1", edit("2")),
			portal(pathSite, gone, 7, "it is set to 7", changed(gone, "7 is overwritten by what was to follow 1")),
			late(anew("sets it to 5, and back", "what was decided before the later writes lands after them", edit("5"), edit("1")))),
		shares("add", "", "", added("1"),
			portal(pathNames, gone, 7, "it is set to 7", changed(gone, "7, which was there first, is overwritten")),
			late(anew("adds it, and takes it away again", "what was taken away is there again", added("5"), unset))),
		shares("add", "over null", "null", added("1"),
			portal(pathSite, gone, 7, "it is set to 7", changed(gone, "7, which was there first, is overwritten"))),
		shares("unset", "", "1", unset,
			late(anew("sets another value", "the newer value is taken away by who did not know of it", edit("5")))),
		shares("unset", "of what it must be", "1", by("1", unset),
			portal(pathSite, gone, 7, "it is set to 7", changed(gone, "7 is taken away in the place of 1"))),
		directs("set", `"before"`, edit(`"older"`), late(another("sets another value", "the older value overwrites the newer one", edit(`"newer"`)))),
		directs("add", "", added("1"), late(another("adds it, and takes it away again", "what was taken away is there again", added("5"), unset))),
		directs("unset", "1", unset, late(another("sets another value", "the newer value is taken away by who did not know of it", edit("5")))),
	}
}

// anew is the scenario in which the next process of u1 makes edits.
func anew(does, wrong string, all ...profile.Edit) scenario {
	return scenario{path: pathSeq, meanwhile: "the next process of u1 " + does, do: func(w *world) {
		w.agent()
		w.edits(all...)
	}, wrong: changed(profile.At(site), wrong)}
}

// another is the scenario in which another operator makes edits.
func another(does, wrong string, all ...profile.Edit) scenario {
	return scenario{path: pathOps, meanwhile: "another operator " + does, do: func(w *world) {
		for _, e := range all {
			w.verb(e.Plan)
		}
	}, wrong: changed(profile.At(site), wrong)}
}

// before puts what the param holds, unless it is absent.
func before(value string) func(*world) {
	return func(w *world) {
		if value != "" {
			w.put(profile.At(site), json.RawMessage(value))
		}
	}
}

// shares is the sender of an edit of a member.
func shares(patch, when, value string, e profile.Edit, cases ...scenario) sender {
	return sender{
		patch: patch, when: when, by: "agent.(*Agent).Set",
		given: func(w *world) {
			w.agent()
			before(value)(w)
			w.must(end(w.t.Context(), w.process, 1)) // its answer is what the agent knows of the profile
		},
		send:  func(ctx context.Context, w *world) { w.process.Set(ctx, agent.Setting{Edit: e}) },
		cases: cases,
	}
}

// directs is the sender of an edit of an operator.
func directs(patch, value string, e profile.Edit, cases ...scenario) sender {
	return verb(patch, "by an operator", before(value), e.Plan, cases...)
}

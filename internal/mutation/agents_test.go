package mutation

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"muster/agent"
	"muster/profile"
)

// commands are the senders that commands on a host go through: the agent.
func commands() []sender { return []sender{endStep(), plantRole(), set()} }

// agent returns the next process of u1's agent, which has joined. The one
// before is gone.
func (w *world) agent() *agent.Agent {
	w.t.Helper()
	if w.process != nil {
		w.process.Close()
	}
	a, err := agent.Open(agent.Config{Profile: cluster, UUID: "u1", Name: "host u1", Store: w.way(), StateDir: filepath.Join(w.dir, "state"), Version: "v1"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { a.Close() })
	if err := a.Join(w.t.Context(), false); err != nil {
		w.t.Fatal(err)
	}
	w.process = a
	return a
}

// must fails the test on an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// end ends the step of a round.
func end(ctx context.Context, a *agent.Agent, round int) error {
	return a.EndStep(ctx, "deploy", profile.Round{N: round, ID: fmt.Sprint("id of ", round)}, 0)
}

func endStep() sender {
	return sender{
		patch: "end of a step", by: "agent.(*Agent).EndStep", given: func(w *world) { w.agent() },
		send: func(ctx context.Context, w *world) { end(ctx, w.process, 1) },
		cases: []scenario{late(scenario{path: pathSeq, meanwhile: "the next process of u1 ends the step of round 2", do: func(w *world) {
			w.must(end(w.t.Context(), w.agent(), 2))
		}, wrong: changed(recordAt("u1", "steps", "deploy", "round"), "the end of the step in round 1 hides that in round 2")})},
	}
}

func plantRole() sender {
	return sender{
		patch: "role that a command asks for", by: "agent.(*Agent).ensureRole",
		given: func(w *world) {
			w.machine("u2").join()
			w.agent()
		},
		send: func(ctx context.Context, w *world) { w.process.Lead(ctx, agent.LeadAsk{Role: "web", Slots: 1}) },
		cases: []scenario{
			{path: profile.ParamRoles, meanwhile: "the same command on the host of u2 plants the role, and gets its slot", do: func(w *world) {
				w.web()
				w.put(recordAt("u2", "barred", "web"), "")
				w.hosts["u2"].claims("web", "1", "")
			}, wrong: changed(slotAt("web", "1", "holder"), "web/1 is planted over, and u2 loses it")},
			{path: pathSeq, meanwhile: "the next process of u1 ends a step", do: func(w *world) {
				w.must(end(w.t.Context(), w.agent(), 1))
			}, wrong: backwards},
		},
	}
}

func set() sender {
	site := profile.At("site/primary")
	set := func(ctx context.Context, w *world, value string) error {
		_, err := w.process.Set(ctx, agent.Setting{Edit: profile.Edit{Key: "site/primary", Value: json.RawMessage(value), Tenure: &w.tenure}})
		return err
	}
	return sender{
		patch: "set under a tenure", by: "agent.(*Agent).Set",
		given: func(w *world) {
			w.agent()
			r, _, _ := w.Document().Record("u1")
			w.tenure = profile.Tenure{Role: "leader", Slot: "1", Instance: r.Instance, Epoch: 5}
			w.put(profile.At(profile.ParamSlots, "leader", "1"), profile.Slot{Holder: "u1", Instance: r.Instance, Epoch: 5, History: []profile.Transition{}})
			w.put(site, "before")
			w.must(end(w.t.Context(), w.process, 1)) // its answer is what the agent knows of the profile
		},
		send: func(ctx context.Context, w *world) { set(ctx, w, `"older"`) },
		cases: []scenario{
			{path: pathInstance, meanwhile: "an operator evicts u1 by force", do: func(w *world) {
				w.verb(profile.Evict{Member: "u1", Reason: "disk fails", Force: true}.Plan)
			}, wrong: changed(site, "a write under the tenure of u1 lands after it has ended")},
			portal(pathEpoch, slotAt("leader", "1", "epoch"), far, "the epoch of leader/1 is raised, to fence off u1",
				changed(site, "a write of an older epoch lands")),
			late(scenario{path: pathSeq, meanwhile: "the next process of u1 sets another value", do: func(w *world) {
				w.agent()
				w.must(set(w.t.Context(), w, `"newer"`))
			}, wrong: changed(site, "the older value overwrites the newer one")}),
		},
	}
}

package mutation

import (
	"context"

	"muster/coordinator"
	"muster/profile"
)

// rolling are the senders that are about a rolling step, web.
func rolling() []sender {
	return []sender{beginStep(), sit(), endTurn(), continueStep(), forgetSeated()}
}

func stepAt(parts ...string) profile.Pointer {
	return profile.At(profile.ParamSteps, append([]string{"web", "1"}, parts...)...)
}

func spec() profile.RollingSpec { return profile.RollingSpec{Name: "web", AtOnce: "2"} }

// sits has the host take a seat.
func (h *host) sits() {
	h.t.Helper()
	h.look()
	if _, err := coordinator.TakeSeat(h.t.Context(), h.Member, h.view, spec(), nil); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) leaving(failed string) profile.Plan {
	return func(d *profile.Document) (*profile.Change, error) {
		c := &profile.Change{}
		if err := coordinator.LeaveSeat(d, c, "web", h.round(), h.uuid, failed); err != nil || c.Empty() {
			return nil, err
		}
		return c, nil
	}
}

// leaves has the host leave its seat, the step having failed for that reason.
func (h *host) leaves(failed string) {
	h.t.Helper()
	h.writes(h.leaving(failed))
}

func sitting(ctx context.Context, h *host) {
	coordinator.TakeSeat(ctx, h.Member, h.view, spec(), nil)
}

const pathSeat = profile.ParamSteps + " * * seats *"

func beginStep() sender {
	return atBarrier("seat in a rolling step", "of the first", "coordinator.sit", func(*world) {}, sitting,
		portal(profile.ParamRound, profile.At(profile.ParamRound, "n"), 2, "the round is set to 2",
			changed(stepAt(), "a step is begun in round 1 though it is round 2")),
		scenario{path: profile.ParamSteps, meanwhile: "u2 begins the step", do: func(w *world) {
			w.hosts["u2"].sits()
		}, wrong: changed(stepAt("seats", "1"), "the seat of u2, which runs, is taken"), late: false},
	)
}

func sit() sender {
	return atBarrier("seat in a rolling step", "", "coordinator.sit", func(w *world) {
		w.hosts["u2"].sits()
	}, sitting,
		scenario{path: profile.ParamRound, meanwhile: "an operator opens round 2 by force", do: func(w *world) {
			w.verb(profile.RoundSpec{After: 1, Force: true}.Plan)
		}, wrong: changed(stepAt("seats", "2"), "u1 runs a step of round 1 though that is over")},
		scenario{path: profile.ParamSteps + " * * stopped", meanwhile: "the step fails on u2", do: func(w *world) {
			w.hosts["u2"].leaves("u2 failed")
		}, wrong: changed(stepAt("seats", "2"), "u1 begins a step that is stopped")},
		scenario{path: pathSeat, meanwhile: "u3 takes the seat", do: func(w *world) {
			w.hosts["u3"].sits()
		}, wrong: changed(stepAt("seats", "2"), "u3, which runs, loses its seat: three run at once")},
		late(scenario{path: pathSeq, meanwhile: "u1 starts anew, and runs the step to its end", do: func(w *world) {
			h := w.hosts["u1"].restart()
			h.sits()
			h.leaves("")
		}, wrong: changed(stepAt("seats", "2"), "u1, which has run the step, sits on a seat that nobody frees")}),
	)
}

func endTurn() sender {
	return atBarrier("end of a turn in a rolling step", "", "profile.(*Member).Write", func(w *world) {
		w.hosts["u2"].sits()
		w.hosts["u1"].sits()
	}, func(ctx context.Context, h *host) { h.Write(ctx, h.leaving("u1 failed")) },
		portal(pathSeat, stepAt("seats", "2"), "u9", "the seat is given to u9",
			changed(stepAt("seats", "2"), "the seat of u9 is freed")),
		scenario{path: profile.ParamSteps + " * * failed", meanwhile: "the step fails on u2", do: func(w *world) {
			w.hosts["u2"].leaves("u2 failed")
		}, wrong: func(w *world) string {
			if s, _, _ := w.Document().RollingStep("web", 1); len(s.Failed) == 1 && s.Failed[0] == "u1" {
				return "that it failed on u2 is lost"
			}
			return ""
		}},
		scenario{path: pathSeq, meanwhile: "u1 starts anew, and goes on", do: goesOn().do, wrong: backwards},
	)
}

func continueStep() sender {
	s := verb("continuing a rolling step", "", func(w *world) {
		w.members()
		for _, uuid := range []string{"u1", "u2"} {
			w.hosts[uuid].sits()
		}
		w.hosts["u1"].leaves("u1 failed")
	}, profile.ContinueStep{Name: "web"}.Plan,
		late(scenario{path: profile.ParamSteps + " * * failed", meanwhile: "the step fails on u2, too", do: func(w *world) {
			w.hosts["u2"].leaves("u2 failed")
		}, wrong: changed(stepAt("failed"), "what failed on u2 is forgiven unseen")}),
		late(scenario{path: pathOps, meanwhile: "another operator continues the step; it fails on u2", do: func(w *world) {
			w.verb(profile.ContinueStep{Name: "web"}.Plan)
			w.put(stepAt("failed"), []string{"u1"})
			w.put(stepAt("stopped"), "u1 failed again")
		}, wrong: changed(stepAt("stopped"), "a later failure is forgiven by a request of before it")}),
	)
	return s
}

func forgetSeated() sender {
	return verb("forgetting", "of who sits in a rolling step", func(w *world) {
		w.members()
		w.hosts["u3"].sits()
	}, profile.Forget{Member: "u3"}.Plan,
		portal(pathSeat, stepAt("seats", "1"), "u2", "the seat is given to u2",
			changed(stepAt("seats", "1"), "u2, which runs, loses its seat")),
	)
}

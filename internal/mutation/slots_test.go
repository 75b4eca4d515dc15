package mutation

import (
	"context"
	"errors"
	"time"

	"muster/election"
	"muster/profile"
)

// elects runs the elector of a host until ctx ends.
func elects(uuid string) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		h := w.hosts[uuid]
		h.look()
		h.elector().Run(ctx)
	}
}

func (h *host) elector() *election.Elector {
	return election.New(election.Config{Member: h.Member, Store: h.way, View: h.view, Clock: clock{}, Random: func() float64 { return 0 }})
}

// holders are the senders that are about slots.
func holders() []sender {
	return []sender{claim(), claimOfDB(), takeover(), secondClaim(), release(), giveBack(), renewal()}
}

func claim() sender {
	return sender{
		patch: "claim", by: "election.(*Elector).claim", seed: func(s *profile.Seed) { s.Roles = nil },
		given: (*world).members, send: elects("u1"),
		cases: []scenario{
			portal(pathHolder, slotAt("leader", "1", "holder"), "u9", "leader/1 is given to u9",
				changed(slotAt("leader", "1", "holder"), "u1 takes leader/1 from u9")),
			portal(pathInstance, slotAt("leader", "1", "instance"), "i9", "leader/1 is given to instance i9",
				changed(slotAt("leader", "1", "instance"), "u1 takes leader/1 from instance i9")),
			portal(pathEpoch, slotAt("leader", "1", "epoch"), far, "the epoch of leader/1 is raised, to fence off whoever had it",
				falls(slotAt("leader", "1", "epoch"), "the epoch of leader/1 falls")),
			{path: pathWanted, meanwhile: "an operator transfers leader/1 to u3", do: func(w *world) {
				w.verb(profile.Transfer{Role: "leader", Slot: "1", To: "u3"}.Plan)
			}, wrong: changed(slotAt("leader", "1", "holder"), "leader/1, which is wanted for u3, goes to u1")},
			{path: profile.ParamLeaderCount, meanwhile: "an operator scales role leader to 0", do: func(w *world) {
				w.verb(profile.Scale{Role: "leader", Slots: 0}.Plan)
			}, wrong: changed(slotAt("leader", "1", "holder"), "u1 claims leader/1 of 0 slots")},
			{path: profile.ParamPaused, meanwhile: "an operator pauses claims", do: func(w *world) {
				w.verb(profile.Pause(true))
			}, wrong: changed(slotAt("leader", "1", "holder"), "u1 claims leader/1 while claims are paused")},
			portal(pathBar, recordAt("u1", "barred", "leader"), "disk fails", "u1 is barred from role leader",
				changed(slotAt("leader", "1", "holder"), "u1 claims leader/1 though it is barred")),
		},
	}
}

func claimOfDB() sender {
	return sender{
		patch: "claim", when: "of another role", by: "election.(*Elector).claim",
		given: func(w *world) {
			w.members()
			w.hosts["u2"].claims("leader", "1", "")
		},
		send: elects("u1"),
		cases: []scenario{{path: pathCount, meanwhile: "an operator scales role db to 0", do: func(w *world) {
			w.verb(profile.Scale{Role: "db", Slots: 0}.Plan)
		}, wrong: changed(slotAt("db", "1", "holder"), "u1 claims db/1 of 0 slots")}},
	}
}

func takeover() sender {
	var held profile.Tenure
	return sender{
		patch: "claim", when: "of a lease that lapsed", by: "election.(*Elector).claim", seed: leased,
		given: func(w *world) {
			w.members()
			held = w.hosts["u2"].claims("leader", "1", ttl)
		},
		send: elects("u1"),
		cases: []scenario{{path: pathRenewal, meanwhile: "u2, which held it, renews its lease after all", do: func(w *world) {
			if _, err := w.hosts["u2"].Lease(held, "first").Renew(w.t.Context(), clock{}.Now); err != nil {
				w.t.Fatal(err)
			}
		}, wrong: changed(slotAt("leader", "1", "holder"), "u1 takes leader/1 from u2, which has just renewed its lease")}},
	}
}

const ttl = "30s"

// leased makes leases of the slots of role leader, and leaves out role db.
func leased(s *profile.Seed) {
	s.Options, s.Roles = map[string]profile.RoleOptions{"leader": {TTL: ttl}}, nil
}

func secondClaim() sender {
	return sender{
		patch: "claim", when: "of the one of two slots that is free", by: "election.(*Elector).claim", seed: func(s *profile.Seed) { s.Leaders, s.Roles = 2, nil },
		given: func(w *world) {
			w.members()
			w.hosts["u3"].claims("leader", "2", "")
		},
		send: elects("u1"),
		cases: []scenario{{path: pathSeq, meanwhile: "u3 resigns leader/2, and the next process of u1 claims it", do: func(w *world) {
			w.hosts["u3"].resigns("leader")
			w.hosts["u1"].restart().claims("leader", "2", "")
		}, wrong: func(w *world) string {
			if w.slot("leader", "1").Holder == "u1" && w.slot("leader", "2").Holder == "u1" {
				return "u1 holds leader/1 and leader/2"
			}
			return ""
		}}},
	}
}

func release() sender {
	return sender{
		patch: "release", by: "election.(*Elector).release",
		given: func(w *world) {
			w.members()
			w.hosts["u1"].claims("leader", "1", "")
		},
		send: func(ctx context.Context, w *world) {
			h := w.hosts["u1"]
			e := h.elector()
			ended := make(chan error)
			go func() { ended <- e.Run(ctx) }()
			if _, err := e.Await(ctx, "leader"); err == nil {
				e.Resign(ctx, "leader")
			}
			<-ended
		},
		cases: append(freed("a release of u1"), scenario{path: pathSeq, meanwhile: "u1 starts anew, and leads again", do: func(w *world) {
			w.hosts["u1"].restart()
		}, wrong: changed(slotAt("leader", "1", "holder"), "leader/1 is freed under the next process of u1, which leads it")}),
	}
}

// freed are the scenarios of what frees a slot under a tenure.
func freed(what string) []scenario {
	return []scenario{
		portal(pathInstance, slotAt("leader", "1", "instance"), "i9", "leader/1 is given to instance i9",
			changed(slotAt("leader", "1", "instance"), what+" frees leader/1 under instance i9")),
		portal(pathEpoch, slotAt("leader", "1", "epoch"), far, "the epoch of leader/1 is raised: another tenure",
			func(w *world) string {
				if s := w.slot("leader", "1"); s.Free() && s.Epoch == far {
					return what + " frees leader/1 in an epoch that it is not about"
				}
				return ""
			}),
	}
}

func giveBack() sender {
	return sender{
		patch: "giving back of a slot that nobody remembers", by: "election.(*Elector).giveBack",
		given: func(w *world) {
			w.members()
			w.put(slotAt("leader", "1", "holder"), "u1")
			w.put(slotAt("leader", "1", "instance"), w.hosts["u1"].State().Instance)
			w.put(slotAt("leader", "1", "epoch"), 5)
		},
		send: elects("u1"),
		cases: append(freed("what u1 gives back"), scenario{path: pathSeq, meanwhile: "u1 starts anew, and goes on", do: func(w *world) {
			w.hosts["u1"].restart().renames("newer")
		}, wrong: backwards}),
	}
}

func renewal() sender {
	var held profile.Tenure
	var next *profile.Lease
	return sender{
		patch: "renewal", by: "profile.(*Lease).Renew", seed: leased,
		given: func(w *world) {
			w.members()
			held = w.hosts["u1"].claims("leader", "1", ttl)
		},
		send: func(ctx context.Context, w *world) {
			time.Sleep(time.Second)
			w.hosts["u1"].Lease(held, "first").Renew(ctx, clock{}.Now)
		},
		cases: []scenario{
			portal(pathInstance, slotAt("leader", "1", "instance"), "i9", "leader/1 is given to instance i9",
				changed(slotAt("leader", "1", "renewal"), "u1 renews the lease of instance i9, which nobody takes over when that is dead")),
			portal(pathEpoch, slotAt("leader", "1", "epoch"), far, "the epoch of leader/1 is raised: another tenure",
				changed(slotAt("leader", "1", "renewal"), "u1 renews a tenure that is not its own")),
			{path: pathRenewal, meanwhile: "u1 starts anew, and renews its lease", do: func(w *world) {
				w.hosts["u1"].restart()
				next = w.hosts["u1"].Lease(held, "first")
				if _, err := next.Renew(w.t.Context(), clock{}.Now); err != nil {
					w.t.Fatal(err)
				}
			}, wrong: func(w *world) string {
				if _, err := next.Renew(w.t.Context(), clock{}.Now); errors.Is(err, profile.ErrTwin) {
					return "u1 takes the renewal of its process before for that of a twin, and stops leading"
				}
				return ""
			}},
		},
	}
}

package sim

import (
	"context"
	"math/rand/v2"
	"time"

	"muster/profile"
	"muster/profile/memory"
)

// operate does what operators do, until it is calm; then it undoes what keeps
// the cluster from settling.
func (w *world) operate(ctx context.Context, random *rand.Rand) {
	store := &recorded{world: w, Store: w.Store(func(memory.Call) memory.Fault {
		f := memory.Fault{Delay: between(random, time.Millisecond, w.latency+time.Second)}
		f.LoseReply = !w.isCalm() && random.IntN(10) == 0
		return f
	})}
	operator := profile.NewOperator(store)
	operator.Random = random.Float64
	do := func(what string, plan profile.Plan) {
		store.does = what
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		operator.Write(limited, plan)
	}
	for !w.isCalm() && ctx.Err() == nil {
		time.Sleep(between(random, time.Second, 30*time.Second/w.haste()))
		switch {
		case w.scene == meetings:
			do("round", w.nextMeeting(random))
		case w.scene == rounds && random.IntN(2) == 0:
			do("round", w.nextRound())
		case w.scene == strays && random.IntN(2) == 0:
			store.does = "assign"
			w.assign(store, random)
		default:
			do(w.action(random))
		}
	}
	for ctx.Err() == nil && !w.judge.opened() {
		do("resume", profile.Pause(false))
		do("scale", profile.Scale{Role: profile.Leader, Slots: w.leaders}.Plan)
		for _, uuid := range w.uuids() {
			for _, role := range w.roles() {
				do("allow", profile.Allow{Member: uuid, Role: role}.Plan)
			}
		}
		time.Sleep(5 * time.Second)
	}
}

// action draws what an operator does.
func (w *world) action(random *rand.Rand) (what string, plan profile.Plan) {
	uuid := w.uuids()[random.IntN(w.members)]
	role := w.roles()[random.IntN(len(w.roles()))]
	switch random.IntN(16) {
	case 0:
		return "pause", profile.Pause(true)
	case 1, 2, 3:
		return "resume", profile.Pause(false)
	case 4, 5:
		return "scale", profile.Scale{Role: profile.Leader, Slots: random.IntN(w.leaders + 2)}.Plan
	case 6, 7:
		return "round", w.nextRound()
	case 8, 9, 10:
		return "transfer", w.onHolder(random, role, func(t profile.Tenure, _ string) profile.Plan {
			return profile.Transfer{Role: role, Slot: t.Slot, To: uuid}.Plan
		})
	case 11:
		return "force", w.onHolder(random, role, func(t profile.Tenure, holder string) profile.Plan {
			w.stage.force(t)
			return profile.Evict{Member: holder, Role: role, Slot: t.Slot, Reason: "out of order", Force: true}.Plan
		})
	case 12, 13:
		return "evict", w.onHolder(random, role, func(t profile.Tenure, holder string) profile.Plan {
			return profile.Evict{Member: holder, Role: role, Slot: t.Slot, Reason: "out of order"}.Plan
		})
	}
	return "allow", func(d *profile.Document) (*profile.Change, error) { // whoever is barred
		records, err := d.Members()
		if err != nil {
			return nil, err
		}
		for _, uuid := range w.uuids() {
			for _, role := range w.roles() {
				if records[uuid].Barred[role] != "" {
					return profile.Allow{Member: uuid, Role: role}.Plan(d)
				}
			}
		}
		return nil, nil
	}
}

// assign names by hand a member as the holder of a free slot that it has not
// claimed: it has to give that back.
func (w *world) assign(store *recorded, random *rand.Rand) {
	d := w.Document()
	uuid, role := w.uuids()[random.IntN(w.members)], w.roles()[random.IntN(len(w.roles()))]
	record, _, err := d.Record(uuid)
	slots, errSlots := d.Slots()
	if err != nil || errSlots != nil || !record.Joined() {
		return
	}
	at := func(n, leaf string) profile.Pointer { return profile.At(profile.ParamSlots, role, n, leaf) }
	for _, n := range profile.SlotNumbers(slots[role]) {
		s := slots[role][n]
		if s.Holder == uuid {
			return
		}
		if !s.Free() {
			continue
		}
		c := &profile.Change{}
		for _, leaf := range []string{"holder", "instance", "epoch"} {
			c.TestAsRead(d, at(n, leaf))
		}
		c.TestAsRead(d, profile.At(profile.ParamMembers, uuid, "seq"))
		c.Set(at(n, "holder"), uuid)
		c.Set(at(n, "instance"), record.Instance)
		c.Set(at(n, "epoch"), s.Epoch+1)
		c.Set(profile.At(paramAssigned), profile.Tenure{Role: role, Slot: n, Instance: record.Instance, Epoch: s.Epoch + 1})
		store.Apply(context.Background(), c)
		return
	}
}

// onHolder is a plan about a slot of role that is held.
func (w *world) onHolder(random *rand.Rand, role string, plan func(t profile.Tenure, holder string) profile.Plan) profile.Plan {
	draw := random.Uint64()
	return func(d *profile.Document) (*profile.Change, error) {
		slots, err := d.Slots()
		if err != nil {
			return nil, err
		}
		numbers := profile.SlotNumbers(slots[role])
		if len(numbers) == 0 {
			return nil, nil
		}
		n := numbers[int(draw%uint64(len(numbers)))]
		s := slots[role][n]
		if s.Free() {
			return nil, nil
		}
		return plan(profile.Tenure{Role: role, Slot: n, Instance: s.Instance, Epoch: s.Epoch}, s.Holder)(d)
	}
}

// nextRound opens a round when the last has its verdict.
func (w *world) nextRound() profile.Plan {
	return func(d *profile.Document) (*profile.Change, error) {
		round, err := d.Round()
		if err != nil {
			return nil, err
		}
		return profile.RoundSpec{After: round.N}.Plan(d)
	}
}

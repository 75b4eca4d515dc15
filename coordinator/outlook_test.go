package coordinator_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"muster/coordinator"
	"muster/profile"
)

// outlook is that of u00 in a cluster of fifty that all wait for round 1.
func outlook(t *testing.T, seed profile.Seed) (*world, *profile.View, *coordinator.Outlook, func()) {
	seed.Members = members(50)
	w := seeded(t, seed)
	view := profile.NewView(w.Document())
	o := coordinator.NewOutlook(view, "u00")
	return w, view, o, o.Await(profile.BarrierComplete, w.nth(1))
}

// done has these members complete, and the view see it.
func done(w *world, view *profile.View, uuids ...string) {
	for _, uuid := range uuids {
		w.finished[uuid] = map[int]bool{1: true}
		w.put(result(uuid), profile.Complete, profile.At(profile.ParamMembers, uuid, "instance"), "i")
	}
	see(view, w.Document())
}

func wantLook(t *testing.T, o *coordinator.Outlook, when string, due, hold time.Duration) {
	t.Helper()
	var got time.Duration
	if at := o.Due(); !at.IsZero() {
		got = time.Until(at)
	}
	got = got.Truncate(time.Microsecond)
	if held := o.Hold(); got != due || held != hold {
		t.Errorf("%s: due in %s, hold %s; want %s, %s", when, got, held, due, hold)
	}
}

func TestWhileTheOwnMachineIsMissingLooksReadTheRecordsForProgressAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, view, o, release := outlook(t, profile.Seed{Leaders: 1})
		all := members(50)
		want := func(when string, hot bool) {
			t.Helper()
			if got := o.Hot(); got != hot {
				t.Errorf("%s: the hot params are enough: %v, want %v", when, got, hot)
			}
		}
		want("the wait begins", true)
		pass(9 * time.Second)
		_, n := view.Latest()
		view.PutParams(w.Document().Params, profile.HotParams(), n)
		want("after 9 s", true)
		pass(time.Second)
		want("after 10 s", false)
		done(w, view, all[1:10]...)
		want("the records are read", true)
		done(w, view, all[0])
		want("the own machine is done", false)
		release()
		want("nobody waits", false)
	})
}

func TestALookIsDueWhenAllButOneShouldBeThereByThePaceOfTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, view, o, release := outlook(t, profile.Seed{Leaders: 1})
		all := members(50)
		wantLook(t, o, "nobody is done", 22*time.Second, 22*time.Second) // the own machine is among them
		pass(10 * time.Second)
		done(w, view, all[1:10]...)
		wantLook(t, o, "others are, the own machine is not", 22*time.Second, 22*time.Second)
		pass(10 * time.Second)
		done(w, view, all[0])
		wantLook(t, o, "the own machine is: a twentieth of the wait", time.Second, 16*time.Second)
		pass(10 * time.Second)
		done(w, view, all[10:30]...)
		// 19 of 20 are to come, 0.5 s each: less a deviation of 1/sqrt(20), 0.6 times.
		wantLook(t, o, "two a second", 8376213*time.Microsecond, 8*time.Second)
		pass(8500 * time.Millisecond)
		see(view, w.Document())
		wantLook(t, o, "nobody more: twice as long", 16752426*time.Microsecond, 8*time.Second)
		pass(18 * time.Second)
		done(w, view, all[30:45]...)
		// 1.2 s each for 4, less a deviation of 1/sqrt(15), 0.6 times.
		wantLook(t, o, "fifteen more", 4156134*time.Microsecond, 2*time.Second)
		pass(3 * time.Minute)
		done(w, view, all[45:46]...)
		wantLook(t, o, "one, after a calm: a fiftieth of the wait, 2 s at most", 2*time.Second, 1600*time.Millisecond)
		pass(2 * time.Second)
		done(w, view, all[46:48]...)
		wantLook(t, o, "only two", time.Second, 800*time.Millisecond)
		done(w, view, all[48])
		wantLook(t, o, "only one", 0, 0)
		release()
		wantLook(t, o, "nobody waits", 0, 0)
	})
}

func TestWhoComesAfterACalmIsGivenALittleForOthersToComeWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, view, _, _ := outlook(t, profile.Seed{Leaders: 1})
		all := members(50)
		done(w, view, all[0])
		o := coordinator.NewOutlook(view, "u00")
		defer o.Await(profile.BarrierComplete, w.nth(1))()
		wantLook(t, o, "the wait begins", 100*time.Millisecond, 19600*time.Millisecond)
		pass(5 * time.Minute)
		done(w, view, all[1])
		wantLook(t, o, "the first comes", 2*time.Second, 19200*time.Millisecond)
		pass(2 * time.Second)
		done(w, view, all[2:49]...)
		wantLook(t, o, "all but one came with it", 0, 0)
	})
}

// Who completes first knows nothing of the pace of the others: the look comes ever
// later, but no more than six times as late as they were watched.
func TestOfAPaceThatIsHardlyKnownLittleIsForetold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, view, o, _ := outlook(t, profile.Seed{Leaders: 1})
		all := members(50)
		wantLook(t, o, "the wait begins", 22*time.Second, 22*time.Second)
		pass(time.Second)
		done(w, view, all[0])
		wantLook(t, o, "the own machine is the first", 100*time.Millisecond, 19600*time.Millisecond)
		pass(200 * time.Millisecond)
		done(w, view, all[1])
		// One in 0.2 s and 47 to come: 9.4 s, less 0.6 deviations of 1.
		wantLook(t, o, "another", 5875*time.Millisecond, 19200*time.Millisecond)
		pass(6 * time.Second)
		done(w, view, all[2:26]...)
		wantLook(t, o, "four a second", 5122610*time.Microsecond, 9600*time.Millisecond)
	})
}

// A thousand members that look at all their records every other second would read
// some hundred MB a second: between such looks they look at the hot params alone, from when all
// should be there, and who waits for one alone waits for hints.
func TestOfAThousandMembersMostLooksAreAtTheHotParams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := members(1000)
		w := seeded(t, profile.Seed{Leaders: 1, Members: all})
		w.put(profile.At("site/notes"), strings.Repeat("x", 200_000))
		view := profile.NewView(w.Document())
		o := coordinator.NewOutlook(view, all[0])
		defer o.Await(profile.BarrierComplete, w.nth(1))()
		o.Due()
		want := func(when string, due time.Duration, hot bool) {
			t.Helper()
			wantLook(t, o, when, due, o.Hold())
			if o.Hot() != hot {
				t.Errorf("%s: the hot params are enough: %v, want %v", when, !hot, hot)
			}
		}
		look := func() {
			_, n := view.Latest()
			view.PutParams(w.Document().Params, profile.HotParams(), n)
		}
		pass(10 * time.Second)
		done(w, view, all[:250]...)
		d, size := w.Document(), 0
		for _, value := range d.Params {
			size += len(value)
		}
		much := time.Duration(1000 * float64(size) / 100e6 * float64(time.Second)).Truncate(time.Microsecond)
		if much < 2*time.Second || much > 8*time.Second {
			t.Fatalf("%d bytes of params say %s, expected some seconds", size, much)
		}
		want("the own machine is done, the others need half a minute", much, true)
		pass(much + time.Millisecond)
		want("the time for a whole look has come", -time.Millisecond, false)
		done(w, view, all[250:990]...)
		want("ten are missing, who may come at any moment", 2*time.Second, true)
		pass(2 * time.Second)
		look()
		want("no verdict yet", time.Second, true)
		done(w, view, all[990:999]...)
		want("one is missing", 0, true)
		pass(time.Hour)
		want("still", 0, true)
	})
}

func TestWhoHasTheVerdictAsksForNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, view, o, _ := outlook(t, profile.Seed{Leaders: 1})
		w.put(profile.At(profile.ParamBarriers, profile.BarrierComplete, "1", "verdict"), profile.VerdictSuperseded)
		see(view, w.Document())
		wantLook(t, o, "there is a verdict", time.Second, 0)
	})
}

func TestWhoAlsoWaitsForSomethingElseRestsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, view, o, _ := outlook(t, profile.Seed{Leaders: 1})
		defer view.Want()()
		wantLook(t, o, "one waits, at the barrier", 22*time.Second, 22*time.Second)
		defer view.Want("k")()
		wantLook(t, o, "another waits for a param", 0, 0)
		if o.Rests() {
			t.Error("it rests")
		}
	})
}

func TestLooksSeeEveryRenewalOfTheShortestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, view, o, _ := outlook(t, profile.Seed{Leaders: 1})
		w.put(profile.At(profile.ParamSlots, profile.Leader, "1", "ttl"), "30s")
		see(view, w.Document())
		wantLook(t, o, "a lease of 30 s, the own machine runs", 10*time.Second, 10*time.Second)
		pass(time.Minute)
		done(w, view, "u00", "u01")
		o.Due()
		pass(2 * time.Second)
		done(w, view, "u02")
		wantLook(t, o, "it is done, and the others are slow", 10*time.Second, 10*time.Second)
	})
}

func TestWhoHoldsASlotLooksSoonEnoughToHandItOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, view, o, _ := outlook(t, profile.Seed{Leaders: 1})
		w.put(profile.At(profile.ParamSlots, profile.Leader, "1", "holder"), "u00")
		see(view, w.Document())
		wantLook(t, o, "the own machine runs", 8*time.Second, 8*time.Second)
		pass(10 * time.Minute)
		done(w, view, "u00", "u01")
		o.Due()
		pass(2 * time.Second)
		done(w, view, "u02")
		wantLook(t, o, "it is done, and the others are slow", 8*time.Second, 8*time.Second)
	})
}

func TestTheOwnMachineIsLeftAloneOnlyOnceItsCompletionIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, view, o, release := outlook(t, profile.Seed{Leaders: 1})
		want := func(when string, hold time.Duration) {
			t.Helper()
			if got := o.Own().Hold(); got != hold {
				t.Errorf("%s: hold %s, want %s", when, got, hold)
			}
		}
		want("it is waited for", 7*time.Second)
		done(w, view, "u00")
		want("it is done", time.Minute)
		w.open(1, true)
		see(view, w.Document())
		release()
		defer o.Await(profile.BarrierComplete, w.nth(2))()
		want("it is waited for in the next round", 7*time.Second)
		plan := profile.BarrierSpec{Name: "leaders", Of: profile.OfComplete, Asked: profile.Asked{Role: new(profile.Leader)}}.Plan
		way := w.Store(nil)
		defer way.Settle()
		if _, err := profile.NewOperator(way).Write(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		w.put(profile.At(profile.ParamSlots, profile.Leader, "1", "holder"), "u01")
		see(view, w.Document())
		o2 := coordinator.NewOutlook(view, "u00")
		defer o2.Await("leaders", w.nth(2))()
		if got := o2.Own().Hold(); got != 0 {
			t.Errorf("only the leader is waited for: hold %s, want the usual poll", got)
		}
	})
}

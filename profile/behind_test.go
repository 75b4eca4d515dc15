package profile_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"muster/profile"
	"muster/profile/memory"
)

func TestARecordThatAReadTookBackIsNoRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		overtaken := h.Document()
		_, before := h.view.Latest()
		if _, err := h.Write(t.Context(), h.name("newer")); err != nil {
			t.Fatal(err)
		}
		h.view.Put(overtaken, before) // its request began before the write, its answer comes after
		if _, err := h.Write(t.Context(), h.name("newest")); err != nil {
			t.Errorf("write on a view with an older record: %v, want none", err)
		}
		if got := h.record("u1").Name; got != "newest" {
			t.Errorf("name %q, want the last write to have landed", got)
		}
	})
}

func TestRecordsThatCannotBeReadAreNotTakenForForgotten(t *testing.T) {
	for _, edited := range []any{nil, 7, []string{}} {
		synctest.Test(t, func(t *testing.T) {
			h := seeded(t, two()).host("u1")
			h.join()
			good := h.Document().Params[profile.ParamMembers]
			h.edit(map[string]any{profile.ParamMembers: edited})
			see(h.view, h.Document())
			if _, err := h.Write(t.Context(), h.name("later")); !errors.Is(err, profile.ErrMalformed) {
				t.Errorf("write with %s %v: %v, want ErrMalformed", profile.ParamMembers, edited, err)
			}
			h.edit(map[string]any{profile.ParamMembers: good})
			if _, err := h.Write(t.Context(), h.name("later")); err != nil {
				t.Errorf("write once it is mended: %v, want none", err)
			}
		})
	}
}

func TestTheViewGetsRecordsBackThatWereMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		go profile.Watch{Store: h.store, View: h.view}.Run(t.Context())
		good := h.Document().Params[profile.ParamMembers]
		h.edit(map[string]any{profile.ParamMembers: nil})
		see(h.view, h.Document())
		time.Sleep(time.Minute)
		h.edit(map[string]any{profile.ParamMembers: good})
		time.Sleep(time.Minute)
		d, _ := h.view.Latest()
		if _, ok, err := d.Record("u1"); !ok || err != nil {
			t.Errorf("record in the view: %v, %v, want it there", ok, err)
		}
	})
}

func TestBarriersThatCannotBeReadAreNotTakenForUnplanted(t *testing.T) {
	for _, edited := range []any{nil, 7, map[string]any{profile.BarrierComplete: "open"}} {
		w := seeded(t, two())
		w.edit(map[string]any{profile.ParamBarriers: edited})
		if _, _, err := w.Document().Barrier(profile.BarrierComplete, 1); !errors.Is(err, profile.ErrMalformed) {
			t.Errorf("barrier in %v: %v, want ErrMalformed", edited, err)
		}
	}
}

func TestASeqThatAPendingWriteHadIsNotUsedAgainAfterARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		backup := h.Document().Params
		if _, err := h.Write(t.Context(), h.name("known")); err != nil {
			t.Fatal(err)
		}
		used := map[int64]string{}
		h.OnCommit(func(_, after *profile.Document) {
			r, _, err := after.Record("u1")
			if write, ok := used[r.Seq]; err != nil || ok && write != r.Write {
				t.Errorf("seq %d is used again (%v)", r.Seq, err)
			}
			used[r.Seq] = r.Write
		})
		h.faulty(memory.Fault{LoseReply: true})
		h.restoreAfter(5*time.Second, backup) // while the answer to the next write is awaited
		if _, err := h.Write(t.Context(), h.name("lost")); err != nil {
			t.Fatal(err)
		}
	})
}

// restoreAfter restores the profile in a while.
func (w *world) restoreAfter(wait time.Duration, backup profile.Params) {
	go func() { time.Sleep(wait); w.Restore(backup) }()
}

// see makes d the newest state of a view.
func see(view *profile.View, d *profile.Document) {
	_, now := view.Latest()
	view.Put(d, now)
}

// write sets the member's name, or fails the test.
func (h *host) write(name string) profile.Params {
	h.t.Helper()
	d, err := h.Write(h.t.Context(), h.name(name))
	if err != nil {
		h.t.Fatalf("write %s: %v", name, err)
	}
	return d.Params
}

// restored restores the profile while the process is not there, and starts it.
func (h *host) restored(backup profile.Params) {
	h.t.Helper()
	h.Restore(backup)
	h.boot(h.state(h.t))
	h.join()
}

func TestANewerBackupAfterAnOlderOneIsNoTwin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		older := h.join().Params
		newer := h.write("first")
		h.Restore(older) // under the running process
		h.write("between")
		h.restored(newer)
	})
}

func TestASeqOfAWriteThatARestoreUndidIsNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		used := map[int64]string{}
		h.OnCommit(func(_, after *profile.Document) {
			r, _, err := after.Record("u1")
			if write, ok := used[r.Seq]; err != nil || ok && write != r.Write {
				t.Errorf("seq %d is used again (%v)", r.Seq, err)
			}
			used[r.Seq] = r.Write
		})
		older := h.join().Params
		newer := h.write("first")
		h.restored(older)
		h.write("undone")
		h.restored(newer)
		h.write("after")
	})
}

func TestASecondCopyOfARefusedRequestThatLandsIsOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.put(profile.At(profile.ParamPaused), true)
		h.faulty(memory.Fault{Again: time.Minute})
		claim, tries := h.claim(profile.Leader, "1"), 0
		h.Write(t.Context(), func(d *profile.Document) (*profile.Change, error) {
			if tries++; tries > 1 {
				return nil, profile.ErrLost
			}
			return claim(d) // as it was before it was paused
		})
		h.put(profile.At(profile.ParamPaused), false)
		time.Sleep(2 * time.Minute)
		if got := h.held(profile.Leader, "u1"); len(got) != 1 {
			t.Fatalf("slots %v are held, want the second copy of the claim to have landed", got)
		}
		if _, err := h.Write(t.Context(), h.name("later")); err != nil {
			t.Errorf("write after that: %v, want none", err)
		}
	})
}

func TestAWriteSentAfterARestoreIsKnownWhenItLandsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		backup := h.join().Params
		h.write("first")
		h.Restore(backup)
		h.faults = func(c memory.Call) memory.Fault {
			if c.Method == "Apply" {
				return memory.Fault{Delay: 4 * memory.Timeout}
			}
			return memory.Fault{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*memory.Timeout)
		defer cancel()
		h.Write(ctx, h.name("late")) // reads back in vain, and is sent again, before it lands
		h.faults = nil
		h.settle()
		if _, err := h.Write(t.Context(), h.name("later")); err != nil {
			t.Errorf("write after it has landed: %v, want none", err)
		}
	})
}

func TestAWriteOfTheProcessBeforeDoesNotLandOnceThisOneHasJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.faulty(memory.Fault{Delay: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h.Write(ctx, h.name("late"))
		h.faults = nil
		h.boot(h.state(t))
		h.join()
		h.settle()
		if got := h.record("u1").Name; got != "host u1" {
			t.Errorf("name %q, want the write of the process before not to have landed", got)
		}
	})
}

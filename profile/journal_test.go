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

func TestAPendingClaimIsAdoptedAfterARestart(t *testing.T) {
	for name, fault := range map[string]memory.Fault{
		"reply lost":       {LoseReply: true},
		"answered":         {}, // and not saved: the process ends before its next save
		"still on its way": {Delay: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := seeded(t, two()).host("u1")
				h.join()
				h.faulty(fault)
				ctx, crash := context.WithTimeout(t.Context(), 5*time.Second)
				defer crash()
				h.Write(ctx, h.claim(profile.Leader, "1")) // the process does not live to see the outcome
				h.settle()
				h.boot(h.state(t))
				before := h.Document().Version
				d := h.join()
				if tenure, ok := h.Tenure(d, profile.Leader); !ok || tenure.Slot != "1" {
					t.Errorf("tenure %+v, %v, want that of the pending claim", tenure, ok)
				}
				if got := h.Document().Version; got != before {
					t.Errorf("version %s, was %s: want no write", got, before)
				}
				if _, err := h.Write(t.Context(), h.name("new")); err != nil {
					t.Errorf("the next write: %v", err)
				}
			})
		})
	}
}

func TestACrashBeforeSendingLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.faulty(memory.Fault{LoseRequest: true})
		ctx, crash := context.WithTimeout(t.Context(), time.Second)
		defer crash()
		h.Write(ctx, h.claim(profile.Leader, "1"))
		h.boot(h.state(t))
		h.faults = nil
		d := h.join()
		if _, ok := h.Tenure(d, profile.Leader); ok {
			t.Error("there is a tenure, though the claim was never sent")
		}
		if _, err := h.Write(t.Context(), h.claim(profile.Leader, "2")); err != nil {
			t.Errorf("the next write: %v", err)
		}
	})
}

func TestAPendingWriteThatLandsAfterTheRestartIsOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.faulty(memory.Fault{Delay: time.Minute})
		ctx, crash := context.WithTimeout(t.Context(), time.Second)
		defer crash()
		h.Write(ctx, h.claim(profile.Leader, "1"))
		h.boot(h.state(t))
		h.settle() // lands only now, between reading and joining
		h.join()
		d, err := h.Write(t.Context(), h.name("new"))
		if err != nil {
			t.Fatal(err)
		}
		if tenure, ok := h.Tenure(d, profile.Leader); !ok || tenure.Slot != "1" {
			t.Errorf("tenure %+v, %v, want that of the claim that landed late", tenure, ok)
		}
	})
}

func TestACrashInTheFirstJoinIsRecovered(t *testing.T) {
	for name, fault := range map[string]memory.Fault{
		"before it was sent":         {LoseRequest: true},
		"before its answer was kept": {LoseReply: true},
		"and it lands later":         {Delay: time.Minute},
	} {
		for _, uuid := range []string{"u1", "unlisted"} {
			t.Run(name+"/"+uuid, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := seeded(t, two()).host(uuid)
					h.faulty(fault)
					ctx, crash := context.WithTimeout(t.Context(), time.Second)
					defer crash()
					h.Join(ctx, h.joining())
					h.boot(h.state(t))
					h.faults = nil
					h.join()
					h.settle()
					if _, err := h.Write(t.Context(), h.name("new")); err != nil {
						t.Errorf("the next write: %v", err)
					}
					if got, want := h.record(uuid).Instance, h.State().Instance; got != want {
						t.Errorf("instance %q, want %q", got, want)
					}
				})
			})
		}
	}
}

func TestNothingIsSentThatTheJournalCannotKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		h.faulty(memory.Fault{})
		h.fail = errors.New("disk full")
		if _, err := h.Write(t.Context(), h.name("new")); !errors.Is(err, h.fail) || h.calls["Apply"] != 0 {
			t.Errorf("error %v after %d patches, want %v after none", err, h.calls["Apply"], h.fail)
		}
		if got := h.State().Pending; len(got) != 0 {
			t.Errorf("pending %v, want none: nothing was sent", got)
		}
		h.fail = nil
		if _, err := h.Write(t.Context(), h.name("new")); err != nil {
			t.Errorf("with room on the disk: %v", err)
		}
	})
}

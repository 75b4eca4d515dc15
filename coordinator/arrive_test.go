package coordinator_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

// at is the barrier of this name in round 1.
func (w *world) at(name string) profile.Barrier {
	w.t.Helper()
	b, _, err := w.Document().Barrier(name, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (h *host) arrive(name string, asked profile.Asked) error {
	_, err := coordinator.Arrive(h.t.Context(), h.member, h.view, name, asked)
	return err
}

// The first opens the barrier, the last records the verdict, all get the same.
func TestArrivalsOpenABarrierOnceAllHaveArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(5), Leaders: 1})
		hosts := w.all(5)
		type end struct {
			verdict string
			err     error
		}
		ends := make(chan end, len(hosts))
		for i, h := range hosts {
			if i == len(hosts)-1 {
				pass(time.Hour)
				if got := w.at("meet").Verdict; got != "" {
					t.Errorf("verdict %q before the last has arrived", got)
				}
			}
			go func() {
				if err := h.arrive("meet", profile.Asked{}); err != nil {
					ends <- end{"", err}
					return
				}
				out, err := coordinator.Wait(t.Context(), h.view, "meet", w.nth(1), nil)
				ends <- end{out.Verdict, err}
			}()
			synctest.Wait()
		}
		pass(time.Minute)
		for range hosts {
			if got := <-ends; got.err != nil || got.verdict != profile.VerdictComplete {
				t.Errorf("verdict %q, error %v", got.verdict, got.err)
			}
		}
		if got := w.verdict(1); got != "" {
			t.Errorf("the round has the verdict %q, though nobody has completed", got)
		}
	})
}

func TestAllWhoArriveAtOnceMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(20), Leaders: 1})
		for _, h := range w.all(20) {
			go func() {
				if err := h.arrive("meet", profile.Asked{}); err != nil {
					t.Errorf("%s: %v", h.uuid, err)
				}
			}()
		}
		pass(time.Minute)
		if got := w.at("meet").Verdict; got != profile.VerdictComplete {
			t.Errorf("verdict %q", got)
		}
	})
}

func TestToArriveAgainChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h := w.all(2)[0]
		for range 2 {
			if err := h.arrive("meet", profile.Asked{}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		if got := h.record(h.uuid); got.Arrived["meet"] != w.nth(1).ID || got.Seq != 2 {
			t.Errorf("arrived %v with seq %d, want one write after joining", got.Arrived, got.Seq)
		}
	})
}

func TestWhatMakesNoSenseIsNoArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h := w.all(2)[0]
		if err := h.arrive("meet", profile.Asked{}); err != nil {
			t.Fatal(err)
		}
		plant := profile.BarrierSpec{Name: "others", Of: profile.OfComplete}
		if _, err := profile.NewOperator(w.Store(nil)).Write(t.Context(), plant.Plan); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		hour, few := "1h", "few"
		for name, row := range map[string]struct {
			barrier string
			asked   profile.Asked
			want    error
		}{
			"the barrier of the round":       {profile.BarrierComplete, profile.Asked{}, coordinator.ErrUsage},
			"a barrier of completions":       {"others", profile.Asked{}, profile.ErrCriteria},
			"other criteria than the first":  {"meet", profile.Asked{Deadline: &hour}, profile.ErrCriteria},
			"a name that is a path":          {"../x", profile.Asked{}, profile.ErrInvalid},
			"criteria that make no sense":    {"new", profile.Asked{AllowMissing: &few}, profile.ErrInvalid},
			"a role that nobody has":         {"newer", profile.Asked{Role: &few}, profile.ErrNoSuch},
			"an allowance without deadline":  {"newest", profile.Asked{AllowMissing: ptr("1")}, profile.ErrInvalid},
			"the criteria spelled otherwise": {"meet", profile.Asked{Deadline: ptr("0h")}, nil},
		} {
			if err := h.arrive(row.barrier, row.asked); !errors.Is(err, row.want) {
				t.Errorf("%s: error %v, want %v", name, err, row.want)
			}
			pass(time.Second)
		}
		if got := w.record("u00").Arrived; len(got) != 1 {
			t.Errorf("arrived %v, want one barrier", got)
		}
	})
}

func ptr[T any](v T) *T { return &v }

// A slow job of round 1 must not arrive for its machine in round 2.
func TestAJobOfAnEarlierRoundDoesNotArriveInThisOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h := w.all(2)[0]
		h.fail("") // then its run is in the record
		pass(time.Minute)
		h.retry()
		pass(time.Minute)
		w.open(1, true)
		pass(time.Minute)
		begun := time.Now()
		if err := h.arrive("meet", profile.Asked{}); !errors.Is(err, coordinator.ErrSuperseded) {
			t.Errorf("error %v, want %v", err, coordinator.ErrSuperseded)
		}
		if waited := time.Since(begun); waited > time.Minute {
			t.Errorf("it took %s to say so", waited)
		}
		if got := w.record("u00").Arrived; len(got) != 0 {
			t.Errorf("arrived %v", got)
		}
	})
}

// The new workflow's first task is faster than the agent that watches it.
func TestAnArrivalWaitsUntilTheAgentHasNoticedTheNewRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h := w.all(2)[0]
		h.fail("")
		pass(time.Minute)
		h.retry()
		pass(time.Minute)
		w.open(1, true)
		pass(time.Minute)
		arrived := make(chan error, 1)
		go func() { arrived <- h.arrive("meet", profile.Asked{}) }()
		pass(2 * time.Second)
		h.restart()
		pass(time.Second)
		h.fail("") // what a first task does that reboots: now the record says that it is round 2
		if err := <-arrived; err != nil {
			t.Errorf("error %v", err)
		}
		if got := w.record("u00").Arrived["meet"]; got != w.nth(2).ID {
			t.Errorf("arrived in %q, want the id of round 2", got)
		}
	})
}

// The answer is lost; the arrival has landed.
func TestAnArrivalWhoseAnswerIsLostCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		h := w.host("u00")
		lost := 0
		h.faults = func(c memory.Call) memory.Fault {
			if c.Method == "Apply" && writes(c.Change, profile.At(profile.ParamMembers, "u00", "arrived", "meet")) && lost == 0 {
				lost++
				return memory.Fault{LoseReply: true}
			}
			return memory.Fault{}
		}
		h.start()
		pass(time.Second)
		if err := h.arrive("meet", profile.Asked{}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if got := w.at("meet"); lost != 1 || got.Verdict != profile.VerdictComplete {
			t.Errorf("%d answers lost, barrier %+v", lost, got)
		}
	})
}

func TestAFailedPeerEndsABarrierOfArrivalsAsItsCriteriaSay(t *testing.T) {
	for _, failFast := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := seeded(t, profile.Seed{Members: members(3), Leaders: 1})
			hosts := w.all(3)
			if err := hosts[0].arrive("meet", profile.Asked{FailFast: &failFast}); err != nil {
				t.Fatal(err)
			}
			hosts[1].fail("failed")
			pass(time.Minute)
			if got := w.at("meet").Verdict; (got == profile.VerdictFailed) != failFast {
				t.Errorf("fail fast %v: verdict %q after the failure", failFast, got)
			}
			if err := hosts[2].arrive("meet", profile.Asked{}); err != nil {
				t.Fatal(err)
			}
			pass(time.Minute)
			b := w.at("meet")
			if diff := cmp.Diff([]string{"u01"}, b.Failed); b.Verdict != profile.VerdictFailed || diff != "" {
				t.Errorf("fail fast %v: verdict %q; failed (-want +got):\n%s", failFast, b.Verdict, diff)
			}
		})
	}
}

func TestAWaitForARoundTakesTheVeryRoundThatIsMeant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1, Workflow: "base"})
		h := w.all(1)[0]
		h.finish(1)
		pass(time.Minute)
		first := w.nth(1)
		w.open(1, false)
		view := profile.NewView(w.Document())
		pick := func(n int, workflow string) (profile.Round, error) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, coordinator.ErrTimeout)
			defer cancel()
			return coordinator.Pick(ctx, view, profile.BarrierComplete, n, workflow, nil)
		}
		if got, err := pick(0, ""); err != nil || got.N != 2 || got.ID != w.nth(2).ID {
			t.Errorf("of now: %+v, error %v", got, err)
		}
		if got, err := pick(1, ""); err != nil || got != first {
			t.Errorf("round 1: %+v, error %v, want %+v", got, err, first)
		}
		if _, err := pick(2, "other"); !errors.Is(err, coordinator.ErrUsage) {
			t.Errorf("round 2 of another workflow: error %v", err)
		}
		for _, later := range []struct {
			n        int
			workflow string
		}{{3, ""}, {0, "next"}} {
			if _, err := pick(later.n, later.workflow); !errors.Is(err, coordinator.ErrTimeout) {
				t.Errorf("%+v: error %v, want %v", later, err, coordinator.ErrTimeout)
			}
		}
		picked := make(chan profile.Round, 1)
		go func() {
			got, err := coordinator.Pick(t.Context(), view, profile.BarrierComplete, 0, "next", nil)
			if err != nil {
				t.Error(err)
			}
			picked <- got
		}()
		synctest.Wait()
		spec := profile.RoundSpec{After: 2, Force: true, Workflow: "next"}
		if _, err := profile.NewOperator(w.Store(nil)).Write(t.Context(), spec.Plan); err != nil {
			t.Fatal(err)
		}
		see(view, w.Document())
		if got := <-picked; got.N != 3 {
			t.Errorf("the round of the workflow is %d, want 3", got.N)
		}
		w.put(profile.At(profile.ParamBarriers, profile.BarrierComplete), map[string]int{}, profile.At(profile.ParamEscape), 1)
		see(view, w.Document())
		if _, err := pick(0, ""); !errors.Is(err, coordinator.ErrBrokenOut) {
			t.Errorf("escaped: error %v", err)
		}
	})
}

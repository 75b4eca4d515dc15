package coordinator_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"muster/coordinator"
	"muster/profile"
)

var quiet = hclog.NewNullLogger()

// barrierLeaf is a place in the barrier of round 1.
func barrierLeaf(leaf ...string) profile.Pointer {
	return profile.At(profile.ParamBarriers, append([]string{profile.BarrierComplete, "1"}, leaf...)...)
}

func TestAWaitEndsWithWhatIsRecorded(t *testing.T) {
	verdict := barrierLeaf("verdict")
	for name, row := range map[string]struct {
		put  []any
		want error
	}{
		"complete":          {[]any{verdict, profile.VerdictComplete}, nil},
		"partial":           {[]any{verdict, profile.VerdictPartial}, nil},
		"failed":            {[]any{verdict, profile.VerdictFailed}, coordinator.ErrPeerFailed},
		"superseded":        {[]any{verdict, profile.VerdictSuperseded}, coordinator.ErrSuperseded},
		"expired":           {[]any{verdict, profile.VerdictExpired}, coordinator.ErrExpired},
		"a text of its own": {[]any{verdict, "Complete"}, profile.ErrMalformed},
		"no verdict":        {[]any{verdict, 1}, profile.ErrMalformed},
		"rotated out": {[]any{
			profile.At(profile.ParamBarriers, profile.BarrierComplete), map[string]int{}, profile.At(profile.ParamRound), profile.Round{N: 9, ID: "nine"},
		}, coordinator.ErrSuperseded},
		"barrier removed by hand": {[]any{profile.At(profile.ParamBarriers, profile.BarrierComplete), map[string]int{}}, profile.ErrMalformed},
		"complete in a profile that was seeded anew": {[]any{
			profile.At(profile.ParamRound, "id"), "another", barrierLeaf("id"), "another", verdict, profile.VerdictComplete,
		}, coordinator.ErrSuperseded},
		"not the profile's own any more": {[]any{profile.At(profile.ParamProfile), "other", verdict, profile.VerdictComplete}, profile.ErrMalformed},
		"of a newer format":              {[]any{profile.At(profile.ParamFormat), 2, verdict, profile.VerdictComplete}, profile.ErrMalformed},
		"escape":                         {[]any{profile.At(profile.ParamEscape), 0}, coordinator.ErrBrokenOut},
		"escape, malformed":              {[]any{profile.At(profile.ParamEscape), nil}, coordinator.ErrBrokenOut},
		"escape, and complete": {[]any{
			profile.At(profile.ParamEscape), 4, verdict, profile.VerdictComplete,
		}, coordinator.ErrBrokenOut},
		"criteria: role": {[]any{
			barrierLeaf("criteria", "role"), "db", verdict, profile.VerdictComplete,
		}, profile.ErrNoSuch},
		"criteria: allow_missing": {[]any{barrierLeaf("criteria", "allow_missing"), "1", verdict, profile.VerdictPartial}, profile.ErrInvalid},
		"criteria: deadline":      {[]any{barrierLeaf("criteria", "deadline"), "soon", verdict, profile.VerdictComplete}, profile.ErrInvalid},
		"criteria: of":            {[]any{barrierLeaf("criteria", "of"), "departure", verdict, profile.VerdictComplete}, profile.ErrInvalid},
		"nobody expected": {[]any{
			profile.At(profile.ParamExpected, "members"), []string{}, verdict, profile.VerdictComplete,
		}, profile.ErrMalformed},
		"nobody expected, and open":      {[]any{profile.At(profile.ParamExpected, "members"), []string{}, profile.At(profile.ParamExpected, "count"), 0}, profile.ErrMalformed},
		"open":                           {nil, coordinator.ErrTimeout},
		"all results in, but no verdict": {[]any{result("u00"), profile.Complete, result("u01"), profile.Complete}, coordinator.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
				for _, uuid := range members(2) {
					w.finished[uuid] = map[int]bool{1: true}
				}
				round := w.nth(1)
				if row.put != nil {
					w.put(row.put...)
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, coordinator.ErrTimeout)
				defer cancel()
				if _, err := coordinator.Wait(ctx, profile.NewView(w.Document()), profile.BarrierComplete, round, nil); !errors.Is(err, row.want) {
					t.Errorf("error %v, want %v", err, row.want)
				}
			})
		})
	}
}

func TestAViewWithoutNewsNeverOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		view := profile.NewView(w.Document())
		w.finished["u00"] = map[int]bool{1: true}
		w.put(barrierLeaf("verdict"), profile.VerdictComplete)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 24*time.Hour, coordinator.ErrTimeout)
		defer cancel()
		out, err := coordinator.Wait(ctx, view, profile.BarrierComplete, w.nth(1), nil)
		if !errors.Is(err, coordinator.ErrTimeout) || out.Verdict != "" {
			t.Errorf("verdict %q, error %v, want none, %v", out.Verdict, err, coordinator.ErrTimeout)
		}
	})
}

func TestAWaitIsOfItsOwnRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(1), Leaders: 1})
		w.finished["u00"] = map[int]bool{1: true}
		w.put(barrierLeaf("verdict"), profile.VerdictComplete)
		w.open(1, false)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, coordinator.ErrTimeout)
		defer cancel()
		view := profile.NewView(w.Document())
		if out, err := coordinator.Wait(ctx, view, profile.BarrierComplete, w.nth(1), nil); err != nil || out.Round != 1 {
			t.Errorf("round 1: outcome %+v, error %v", out, err)
		}
		if _, err := coordinator.Wait(ctx, view, profile.BarrierComplete, w.nth(2), nil); !errors.Is(err, coordinator.ErrTimeout) {
			t.Errorf("round 2: error %v, want %v", err, coordinator.ErrTimeout)
		}
	})
}

func TestAForcedRoundEndsTheWaitForTheOpenOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		h := w.host("u00")
		var out coordinator.Outcome
		ended := make(chan error, 1)
		h.also = func(ctx context.Context, h *host) {
			var err error
			out, err = coordinator.Wait(ctx, h.view, profile.BarrierComplete, w.nth(1), nil)
			ended <- err
		}
		h.start()
		pass(time.Second)
		h.finish(1)
		pass(time.Minute)
		w.open(1, true)
		if err := <-ended; !errors.Is(err, coordinator.ErrSuperseded) {
			t.Errorf("error %v, want %v", err, coordinator.ErrSuperseded)
		}
		want := w.outcome(profile.VerdictSuperseded, 1, 2)
		want.Missing, want.Waits = []string{"u01"}, []coordinator.Standpoint{{Name: "u01", State: "not joined", Since: w.barrier(1).At}}
		if diff := cmp.Diff(want, out); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
	})
}

func TestProgressIsToldWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 1})
		hosts := w.all(3)
		var told []coordinator.Outcome
		view := profile.NewView(w.Document())
		ended := make(chan error, 1)
		var out coordinator.Outcome
		go func() {
			var err error
			out, err = coordinator.Wait(t.Context(), view, profile.BarrierComplete, w.nth(1), func(o coordinator.Outcome) { told = append(told, o) })
			ended <- err
		}()
		steps := []func(){
			func() {}, // no news, told once
			func() { hosts[0].finish(1) },
			func() { hosts[1].fail("") },
			func() { hosts[1].retry() },
			func() { hosts[1].fail("failed") },
			func() { hosts[2].finish(1) },
		}
		for _, do := range steps {
			do()
			pass(time.Minute)
			see(view, w.Document())
			synctest.Wait()
		}
		if err := <-ended; !errors.Is(err, coordinator.ErrPeerFailed) {
			t.Errorf("error %v, want %v", err, coordinator.ErrPeerFailed)
		}
		none := []string{}
		standing := func(done int, failed, stopped []string, waits ...coordinator.Standpoint) coordinator.Outcome {
			out := w.outcome("", done, 3)
			out.Failed, out.Stopped = failed, stopped
			for _, p := range waits {
				out.Missing, out.Waits = append(out.Missing, p.Name), append(out.Waits, p)
			}
			return out
		}
		planted := w.barrier(1).At
		at := func(name string) coordinator.Standpoint {
			return coordinator.Standpoint{Name: name, State: "no result", Since: planted}
		}
		a, b, c := at("host u00"), at("host u01"), at("host u02")
		since := func(p coordinator.Standpoint, state string, minute int64) coordinator.Standpoint {
			p.State, p.Since = state, planted+1+60*minute // a second after the hosts began
			return p
		}
		want := []coordinator.Outcome{
			standing(0, none, none, a, b, c),
			standing(1, none, none, b, c),
			standing(1, none, []string{b.Name}, since(b, profile.Stopped, 2), c),
			standing(1, none, none, since(b, profile.Running, 3), c),
			standing(1, []string{b.Name}, none, c),
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
		last := standing(2, []string{b.Name}, none)
		last.Verdict = profile.VerdictFailed
		if diff := cmp.Diff(last, out); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
	})
}

func TestAVerdictStandsAboveRecordsThatAreOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		hosts := w.all(2)
		hosts[1].fail("")
		pass(time.Minute)
		old := w.Document()
		hosts[1].retry()
		for _, h := range hosts {
			h.finish(1)
		}
		pass(time.Minute)
		now := w.Document()
		d := old.With(now.Params, []string{profile.ParamBarriers})
		out, err := coordinator.Wait(t.Context(), profile.NewView(d), profile.BarrierComplete, w.nth(1), nil)
		want := w.outcome(profile.VerdictComplete, 2, 2)
		if diff := cmp.Diff(want, out); diff != "" || err != nil {
			t.Errorf("error %v, outcome (-want +got):\n%s", err, diff)
		}
	})
}

package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

// roller runs a rolling step on hosts, and takes note of who runs it when.
type roller struct {
	*world
	spec  profile.RollingSpec
	fails map[string]bool // who fails, by UUID

	mu      sync.Mutex
	running map[string]bool
	most    int
	ran     []string
	ends    map[string]error
}

func (w *world) roller(spec profile.RollingSpec) *roller {
	return &roller{world: w, spec: spec, fails: map[string]bool{}, running: map[string]bool{}, ends: map[string]error{}}
}

// begin has the host take part in the background.
func (r *roller) begin(ctx context.Context, h *host) {
	go func() {
		err := r.take(ctx, h)
		r.mu.Lock()
		r.ends[h.uuid] = err
		r.mu.Unlock()
	}()
}

func (r *roller) take(ctx context.Context, h *host) error {
	round, err := coordinator.TakeSeat(ctx, h.member, h.view, r.spec, nil)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.running[h.uuid] = true
	r.most = max(r.most, len(r.running))
	r.ran = append(r.ran, h.uuid)
	failed := ""
	if r.fails[h.uuid] {
		failed = h.uuid + " failed"
	}
	r.mu.Unlock()
	select {
	case <-time.After(7 * time.Second):
	case <-ctx.Done():
		return context.Cause(ctx) // it dies in its seat
	}
	r.mu.Lock()
	delete(r.running, h.uuid)
	r.mu.Unlock()
	_, err = h.member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		c := &profile.Change{}
		if err := coordinator.LeaveSeat(d, c, r.spec.Name, round, h.uuid, failed); err != nil || c.Empty() {
			return nil, err
		}
		return c, nil
	})
	return err
}

func (r *roller) step() profile.RollingStep {
	r.t.Helper()
	s, there, err := r.Document().RollingStep(r.spec.Name, r.round())
	if err != nil || !there {
		r.t.Fatalf("step is there: %v, error %v", there, err)
	}
	return s
}

func (r *roller) continued() {
	r.t.Helper()
	if _, err := profile.NewOperator(r.Store(nil)).Write(r.t.Context(), profile.ContinueStep{Name: r.spec.Name}.Plan); err != nil {
		r.t.Fatal(err)
	}
}

func TestNeverMoreThanSoManyRunAStepAndAllDo(t *testing.T) {
	for atOnce, most := range map[string]int{"2": 2, "30%": 3, "1%": 1, "100": 10} {
		t.Run(atOnce, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(10), Leaders: 1})
				r := w.roller(profile.RollingSpec{Name: "s", AtOnce: atOnce})
				for _, h := range w.all(10) {
					r.begin(t.Context(), h)
				}
				pass(10 * time.Minute)
				if r.most != most || len(r.ran) != 10 || len(slices.Compact(slices.Sorted(slices.Values(r.ran)))) != 10 {
					t.Errorf("at most %d at once, want %d; ran on %v", r.most, most, r.ran)
				}
				for uuid, err := range r.ends {
					if err != nil {
						t.Errorf("%s: %v", uuid, err)
					}
				}
			})
		})
	}
}

func TestAFailureStopsAStepForEverybodyUntilItIsContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(10), Leaders: 1})
		r := w.roller(profile.RollingSpec{Name: "s", AtOnce: "2"})
		hosts := w.all(10)
		r.fails["u03"] = true
		for _, h := range hosts[3:5] { // it is among the first
			r.begin(t.Context(), h)
		}
		pass(5 * time.Second)
		for _, h := range slices.Concat(hosts[:3], hosts[5:]) {
			r.begin(t.Context(), h)
		}
		pass(time.Hour)
		if diff := cmp.Diff([]string{"u03", "u04"}, slices.Sorted(slices.Values(r.ran))); diff != "" {
			t.Errorf("ran (-want +got):\n%s", diff)
		}
		if s := r.step(); s.Stopped != "u03 failed" || !slices.Equal(s.Failed, []string{"u03"}) {
			t.Errorf("step %+v", s)
		}
		r.mu.Lock()
		r.fails["u03"] = false
		r.mu.Unlock()
		r.continued()
		r.begin(t.Context(), hosts[3]) // tries again
		pass(time.Hour)
		if r.most != 2 || len(r.ran) != 11 || r.step().Stopped != "" {
			t.Errorf("at most %d at once, ran on %v, step %+v", r.most, r.ran, r.step())
		}
	})
}

func TestSoManyFailuresAreTolerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(4), Leaders: 1})
		two := 2
		r := w.roller(profile.RollingSpec{Name: "s", AtOnce: "1", MaxFailures: &two})
		r.fails = map[string]bool{"u00": true, "u01": true, "u02": true}
		hosts := w.all(4)
		for i, h := range hosts {
			r.begin(t.Context(), h)
			pass(time.Minute)
			if stopped := r.step().Stopped != ""; stopped != (i >= 2) {
				t.Errorf("stopped: %v after %d failures", stopped, min(3, i+1))
			}
		}
		if len(r.ran) != 3 {
			t.Errorf("ran on %v", r.ran)
		}
	})
}

func TestADeadMemberKeepsItsSeatUntilItIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(3), Leaders: 1})
		r := w.roller(profile.RollingSpec{Name: "s", AtOnce: "1"})
		hosts := w.all(3)
		ctx, die := context.WithCancel(t.Context())
		r.begin(ctx, hosts[0])
		pass(time.Second)
		die()
		hosts[0].stop()
		r.begin(t.Context(), hosts[1])
		r.begin(t.Context(), hosts[2])
		pass(time.Hour)
		if len(r.ran) != 1 {
			t.Errorf("ran on %v while the dead one has the seat", r.ran)
		}
		if _, err := profile.NewOperator(w.Store(nil)).Write(t.Context(), profile.Forget{Member: "u00", Force: true}.Plan); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if len(r.ran) != 3 {
			t.Errorf("ran on %v", r.ran)
		}
	})
}

func TestAMemberThatStartsAnewKeepsItsSeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
		r := w.roller(profile.RollingSpec{Name: "s", AtOnce: "1"})
		hosts := w.all(2)
		for range 2 {
			if _, err := coordinator.TakeSeat(t.Context(), hosts[0].member, hosts[0].view, r.spec, nil); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(map[string]string{"1": "u00"}, r.step().Seats); diff != "" {
			t.Errorf("seats (-want +got):\n%s", diff)
		}
	})
}

func TestARollingStepEndsWithItsRoundAndByEscape(t *testing.T) {
	for want, end := range map[error]func(w *world){
		coordinator.ErrSuperseded: func(w *world) { w.open(1, true) },
		coordinator.ErrBrokenOut:  func(w *world) { w.put(profile.At(profile.ParamEscape), 1) },
	} {
		t.Run(want.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(2), Leaders: 1})
				r := w.roller(profile.RollingSpec{Name: "s", AtOnce: "1"})
				hosts := w.all(2)
				if _, err := coordinator.TakeSeat(t.Context(), hosts[0].member, hosts[0].view, r.spec, nil); err != nil {
					t.Fatal(err)
				}
				r.begin(t.Context(), hosts[1])
				pass(time.Minute)
				end(w)
				pass(time.Minute)
				if err := r.ends["u01"]; !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			})
		})
	}
}

func TestAnotherStepThanTheRecordedOneIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := seeded(t, profile.Seed{Members: members(4), Leaders: 1})
		h := w.all(4)[0]
		take := func(spec profile.RollingSpec) error {
			_, err := coordinator.TakeSeat(t.Context(), h.member, h.view, spec, nil)
			return err
		}
		one, none := 1, -1
		for name, row := range map[string]struct {
			spec profile.RollingSpec
			want error
		}{
			"not begun, and not said how": {profile.RollingSpec{Name: "s"}, coordinator.ErrUsage},
			"none at once":                {profile.RollingSpec{Name: "s", AtOnce: "0"}, profile.ErrInvalid},
			"more than all":               {profile.RollingSpec{Name: "s", AtOnce: "101%"}, profile.ErrInvalid},
			"no number":                   {profile.RollingSpec{Name: "s", AtOnce: "few"}, profile.ErrInvalid},
			"a name that is a path":       {profile.RollingSpec{Name: "../s", AtOnce: "1"}, profile.ErrInvalid},
			"fewer failures than none":    {profile.RollingSpec{Name: "s", AtOnce: "1", MaxFailures: &none}, profile.ErrInvalid},
		} {
			if err := take(row.spec); !errors.Is(err, row.want) {
				t.Errorf("%s: error %v, want %v", name, err, row.want)
			}
		}
		if err := take(profile.RollingSpec{Name: "s", AtOnce: "2"}); err != nil {
			t.Fatal(err)
		}
		for name, row := range map[string]struct {
			spec profile.RollingSpec
			want error
		}{
			"another count":  {profile.RollingSpec{Name: "s", AtOnce: "3"}, profile.ErrCriteria},
			"more failures":  {profile.RollingSpec{Name: "s", AtOnce: "2", MaxFailures: &one}, profile.ErrCriteria},
			"as it is there": {profile.RollingSpec{Name: "s"}, nil},
		} {
			if err := take(row.spec); !errors.Is(err, row.want) {
				t.Errorf("%s: error %v, want %v", name, err, row.want)
			}
		}
	})
}

// Requests are lost and late, and answers are lost.
func TestSeatsAreNeverTakenTwiceUnderFaults(t *testing.T) {
	for seed := range 20 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, profile.Seed{Members: members(8), Leaders: 1})
				r := w.roller(profile.RollingSpec{Name: "s", AtOnce: "2"})
				var calls atomic.Int64
				for _, uuid := range members(8) {
					h := w.host(uuid)
					h.faults = func(c memory.Call) memory.Fault {
						if c.Method != "Apply" {
							return memory.Fault{}
						}
						switch (int(calls.Add(1))*7 + seed) % 11 {
						case 0:
							return memory.Fault{LoseReply: true}
						case 1:
							return memory.Fault{LoseRequest: true}
						case 2:
							return memory.Fault{Delay: 3 * time.Second}
						}
						return memory.Fault{}
					}
					h.start()
				}
				pass(time.Minute)
				for _, h := range w.hosts {
					r.begin(t.Context(), h)
				}
				pass(time.Hour)
				if r.most > 2 || len(r.ran) != 8 {
					t.Errorf("at most %d at once, ran on %v, ends %v", r.most, r.ran, maps.Collect(maps.All(r.ends)))
				}
			})
		})
	}
}

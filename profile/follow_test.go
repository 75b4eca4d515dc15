package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

// source answers Changed as a script says, and notes when it is asked.
type source struct {
	changed func(since string, wait time.Duration) (string, error)
	start   time.Time
	mu      sync.Mutex
	asked   []time.Duration // since start
}

func (s *source) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Since(s.start))
	s.mu.Unlock()
	version, err := s.changed(since, wait)
	if err == nil && version == since && version != "" {
		select { // a long poll in vain
		case <-time.After(wait):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	return version, err
}

// follow runs f for a time of the bubble, and returns the versions looked at and
// when.
func follow(t *testing.T, f profile.Follow, lasting time.Duration) (looks []string, at []time.Duration) {
	t.Helper()
	start, end := time.Now(), errors.New("end of the test")
	f.Random = func() float64 { return 0.5 }
	if look := f.Look; look != nil {
		f.Look = func(ctx context.Context, version string) error {
			looks, at = append(looks, version), append(at, time.Since(start))
			return look(ctx, version)
		}
	} else {
		f.Look = func(_ context.Context, version string) error {
			looks, at = append(looks, version), append(at, time.Since(start))
			return nil
		}
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), lasting, end)
	defer cancel()
	if err := f.Run(ctx); !errors.Is(err, end) {
		t.Errorf("Run: %v, want the cause of its context", err)
	}
	return looks, at
}

func TestALongPollLooksAtNewsAndOnceAfterEveryWait(t *testing.T) {
	const rest = 150 * time.Millisecond // the least hold-off, by the middle of its chances
	synctest.Test(t, func(t *testing.T) {
		p := memory.New(cluster, nil)
		time.AfterFunc(30*time.Second, func() { p.Replace(nil) })
		looks, at := follow(t, profile.Follow{Source: p.Store(nil), Since: "1"}, 5*time.Minute)
		if diff := cmp.Diff([]string{"2", "", ""}, looks); diff != "" {
			t.Errorf("looks (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{30*time.Second + rest, 150*time.Second + rest, 270*time.Second + rest}, at); diff != "" {
			t.Errorf("times (-want +got):\n%s", diff)
		}
	})
}

func TestWithoutVersionsItPollsAndProbesHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{start: time.Now(), changed: func(string, time.Duration) (string, error) { return "", nil }}
		looks, _ := follow(t, profile.Follow{Source: s}, 90*time.Minute)
		if want := 90 * 60 / 5; len(looks) < want-3 || len(looks) > want {
			t.Errorf("%d looks in 90 minutes, want about %d", len(looks), want)
		}
		if len(s.asked) != 2 || s.asked[0] != 0 || s.asked[1] < time.Hour {
			t.Errorf("waiting was tried at %v, want at the start and an hour later", s.asked)
		}
	})
}

func TestAnEndpointThatDoesNotWaitIsPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &ignoring{}
		looks, _ := follow(t, profile.Follow{Source: s, Since: "1"}, 30*time.Minute)
		if s.asked != 1 {
			t.Errorf("waiting was tried %d times in half an hour, want once", s.asked)
		}
		if want := 30 * 60 / 5; len(looks) < want-2 || len(looks) > want {
			t.Errorf("%d looks in half an hour, want about %d", len(looks), want)
		}
	})
}

// ignoring has versions, and answers at once.
type ignoring struct{ asked int }

func (s *ignoring) Changed(_ context.Context, since string, _ time.Duration) (string, error) {
	s.asked++
	return since, nil
}

func TestErrorsAreOutlivedAndToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &source{start: start, changed: func(since string, _ time.Duration) (string, error) {
			if time.Since(start) < 10*time.Minute {
				return "", profile.ErrUnavailable
			}
			return "9", nil
		}}
		var told []error
		var seen []time.Duration // looks that succeeded
		look := func(context.Context, string) error {
			if time.Since(start) < 10*time.Minute {
				return profile.ErrUnavailable
			}
			seen = append(seen, time.Since(start))
			return nil
		}
		f := profile.Follow{Source: s, Since: "1", Look: look, Trouble: func(err error) { told = append(told, err) }}
		follow(t, f, 11*time.Minute)
		if len(told) != 2 || !errors.Is(told[0], profile.ErrUnavailable) || told[1] != nil {
			t.Errorf("told %v, want the trouble and its end", told)
		}
		if len(seen) == 0 || seen[0] > 10*time.Minute+20*time.Second {
			t.Errorf("looked at %v, want one soon after the outage", seen)
		}
		if n := len(s.asked); n > 200 {
			t.Errorf("asked %d times in 11 minutes of outage", n)
		}
	})
}

func TestALookThatFailsIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memory.New(cluster, nil)
		failures := 0
		look := func(context.Context, string) error {
			if failures++; failures <= 3 {
				return profile.ErrUnavailable
			}
			return nil
		}
		looks, at := follow(t, profile.Follow{Source: p.Store(nil), Since: "0", Look: look}, time.Minute)
		if diff := cmp.Diff([]string{"1", "1", "1", "1"}, looks); diff != "" {
			t.Errorf("looks (-want +got):\n%s", diff)
		}
		if last := at[len(at)-1]; last > 10*time.Second {
			t.Errorf("looked at %v, want it repeated soon", at)
		}
	})
}

func TestNewsAreHeldOffButNotTheFirstLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memory.New(cluster, nil)
		for i := range 10 { // a burst of commits, 50 ms apart
			time.AfterFunc(10*time.Second+time.Duration(i)*50*time.Millisecond, func() { p.Replace(nil) })
		}
		f := profile.Follow{Source: p.Store(nil), HoldOff: func() time.Duration { return time.Second }}
		looks, at := follow(t, f, time.Minute)
		if diff := cmp.Diff([]time.Duration{0, 11 * time.Second, 12 * time.Second}, at); diff != "" {
			t.Errorf("looks %q at (-want +got):\n%s", looks, diff)
		}
	})
}

func TestWhereALookMayBeOldItIsTakenThatRarelyAndNoHintIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{start: time.Now(), changed: func(string, time.Duration) (string, error) { return "2", nil }}
		var hurry atomic.Bool
		time.AfterFunc(99*time.Second+900*time.Millisecond, func() { hurry.Store(true) })
		pace := func() time.Duration {
			if hurry.Load() {
				return 0
			}
			return 30 * time.Second
		}
		_, at := follow(t, profile.Follow{Source: s, Since: "1", Pace: pace}, 101*time.Second)
		at = at[:min(4, len(at))]
		if diff := cmp.Diff([]time.Duration{30 * time.Second, 60 * time.Second, 90 * time.Second, 100 * time.Second}, at); diff != "" {
			t.Errorf("looks (-want +got):\n%s", diff)
		}
		if len(s.asked) == 0 || s.asked[0] < 99*time.Second {
			t.Errorf("hints were asked for at %v, want none while it rested", s.asked)
		}
	})
}

func TestWatchKeepsTheViewUpToDate(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"by long poll": func(*world) {},
		"by polling":   func(w *world) { w.WithoutVersions() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := seeded(t, two())
				prepare(w)
				h := w.host("u1")
				h.join()
				ctx, stop := context.WithCancel(t.Context())
				watched := make(chan error)
				h.calls = map[string]int{}
				go func() { watched <- profile.Watch{Store: h.store, View: h.view}.Run(ctx) }()
				synctest.Wait()

				w.put(profile.At(profile.ParamEscape), 1)
				time.Sleep(10 * time.Second)
				if d, _ := h.view.Latest(); !d.Escaped() {
					t.Error("the view has not got what somebody else wrote")
				}
				c := &profile.Change{}
				c.Remove(profile.At(profile.ParamEscape))
				if _, err := w.Store(nil).Apply(ctx, c); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				if d, _ := h.view.Latest(); d.Escaped() {
					t.Error("the view keeps a param that was removed")
				}
				stop()
				<-watched
				if h.calls["Read"] != 0 {
					t.Errorf("the whole profile was read %d times by watching", h.calls["Read"])
				}
			})
		})
	}
}

func TestOnesOwnWriteCostsNoReadOfTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := seeded(t, two()).host("u1")
		h.join()
		ctx, stop := context.WithCancel(t.Context())
		watched := make(chan error)
		go func() { watched <- profile.Watch{Store: h.store, View: h.view}.Run(ctx) }()
		synctest.Wait()
		if _, err := h.Write(ctx, h.name("new")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		stop()
		<-watched
		if got := h.calls["ReadParams"]; got != 0 {
			t.Errorf("%d reads after one's own write, want none: its answer said it all", got)
		}
	})
}

func TestTheHoldOffGrowsWithTheClusterAndIsBounded(t *testing.T) {
	lease := json.RawMessage(`{"leader":{"1":{"holder":"u1","ttl":"15s"}}}`)
	for count, most := range map[int]time.Duration{1: 50 * time.Millisecond, 100: 500 * time.Millisecond, 1000: time.Second, 10_000: 10 * time.Second, 100_000: 22 * time.Second} {
		d := document(t, profile.ParamExpected, fmt.Sprintf(`{"count":%d}`, count))
		for name, row := range map[string]struct {
			d    *profile.Document
			most time.Duration
		}{
			"without leases": {d, most},
			"with a lease":   {d.With(profile.Params{profile.ParamSlots: lease}, []string{profile.ParamSlots}), min(most, 5*time.Second)},
		} {
			for range 100 {
				if got := profile.HoldOff(row.d, rand.Float64); got < row.most/2 || got > row.most {
					t.Fatalf("hold-off of %d members %s is %v, want it within %v and %v", count, name, got, row.most/2, row.most)
				}
			}
		}
	}
}

func TestWhereOnlyWaitingFailsItLooksAndThenPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{start: time.Now(), changed: func(string, time.Duration) (string, error) { return "", profile.ErrInvalid }}
		var troubles []error
		looks, _ := follow(t, profile.Follow{Source: s, Trouble: func(err error) { troubles = append(troubles, err) }}, 30*time.Minute)
		if len(s.asked) != 3 {
			t.Errorf("asked to wait %d times, want 3 and then polling", len(s.asked))
		}
		if len(looks) < 300 || len(troubles) > 0 {
			t.Errorf("%d looks in 30 minutes, want one in about 5 s; troubles %v, want none", len(looks), troubles)
		}
	})
}

func TestTroubleEndsSoonAfterTheEndpointIsBackThoughNothingHasChanged(t *testing.T) {
	const outage = 10 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		away := func() error {
			if since := time.Since(start); since > time.Second && since < outage {
				return profile.ErrUnavailable
			}
			return nil
		}
		s := &source{start: start, changed: func(since string, _ time.Duration) (string, error) { return "1", away() }}
		var over time.Duration
		follow(t, profile.Follow{Source: s, Since: "1", Look: func(context.Context, string) error { return away() }, Trouble: func(err error) {
			if err == nil {
				over = time.Since(start)
			}
		}}, outage+time.Minute)
		if over < outage || over > outage+10*time.Second {
			t.Errorf("the trouble was over after %v, want at most 10 s after %v", over, outage)
		}
	})
}

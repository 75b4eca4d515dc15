package profile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
	"muster/profile/memory"
)

// outlook says what a test sets.
type outlook struct {
	mu   sync.Mutex
	due  time.Time
	held time.Duration
}

func (o *outlook) set(due time.Time, held time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due, o.held = due, held
}

func (o *outlook) Due() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.due
}

func (o *outlook) Hold() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held
}

// watched is a view that is watched under an outlook, and the requests for it.
type watched struct {
	*memory.Profile
	view *profile.View
	outlook
	calls []string
	deaf  func(c memory.Call) error // how a long poll that reads fails; nil if it works
	stays bool                      // looks stay due
	hot   atomic.Bool               // looks need the hot params alone
	mu    sync.Mutex
}

// heedless answers long polls that read at once, as some proxies do.
type heedless struct{ profile.Store }

func (h heedless) ReadChanged(ctx context.Context, since string, _ time.Duration) (*profile.Document, error) {
	return h.Store.ReadChanged(ctx, since, 0)
}

func watch(t *testing.T, do func(w *watched)) {
	t.Helper()
	watchThrough(t, func(s profile.Store) profile.Store { return s }, do)
}

// watchThrough is watch with the store behind what through returns.
func watchThrough(t *testing.T, through func(profile.Store) profile.Store, do func(w *watched)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		params, err := profile.Seed{Profile: cluster, Members: []string{"u1"}, Leaders: 1}.Params()
		if err != nil {
			t.Fatal(err)
		}
		w := &watched{Profile: memory.New(cluster, params)}
		w.view = profile.NewView(w.Document())
		store := w.Store(func(c memory.Call) memory.Fault {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.calls = append(w.calls, c.Method)
			if c.Method == "ReadChanged" && !w.stays {
				w.set(time.Time{}, 0)
			}
			if c.Method == "ReadChanged" && w.deaf != nil {
				return memory.Fault{Refuse: w.deaf(c)}
			}
			return memory.Fault{}
		})
		ctx, stop := context.WithCancelCause(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { profile.Watch{Store: through(store), View: w.view, Outlook: w, Hot: w.hot.Load}.Run(ctx) })
		time.Sleep(time.Second)
		do(w)
		stop(errors.New("end of the test"))
		ended.Wait()
	})
}

// stir has somebody else change the profile.
func (w *watched) stir() {
	params := w.Document().Params
	params["k"] = []byte("1")
	w.Replace(params)
}

func (w *watched) wantCalls(t *testing.T, when string, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(want, slices.Clone(w.calls)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
	w.calls = nil
}

func TestALookThatIsDueReadsTheWholeAndTheNextPollAsksAfterIt(t *testing.T) {
	watch(t, func(w *watched) {
		w.wantCalls(t, "at first", "Changed")
		w.set(time.Now().Add(time.Minute), 0)
		w.stir()
		time.Sleep(time.Second)
		w.wantCalls(t, "a hint", "ReadParams")
		time.Sleep(30 * time.Second)
		w.stir()
		time.Sleep(28 * time.Second)
		w.wantCalls(t, "before it is due")
		time.Sleep(time.Minute)
		w.wantCalls(t, "since it was", "ReadChanged", "Changed")
	})
}

func TestALookThatNeedsNoMoreReadsTheHotParams(t *testing.T) {
	watch(t, func(w *watched) {
		w.hot.Store(true)
		w.set(time.Now().Add(30*time.Second), 0)
		w.stir() // a hint that was asked for before
		time.Sleep(time.Second)
		w.wantCalls(t, "a hint", "Changed", "ReadParams")
		time.AfterFunc(29100*time.Millisecond, func() { w.set(time.Now().Add(time.Hour), 0) })
		time.Sleep(time.Minute)
		w.wantCalls(t, "since it was due", "ReadParams")
	})
}

func TestALookThatStaysDueIsTakenWhenThereIsNewsAndCostsOneRequest(t *testing.T) {
	watch(t, func(w *watched) {
		w.stays = true
		w.set(time.Now(), 0)
		w.stir()
		time.Sleep(time.Second)
		w.wantCalls(t, "a hint that was asked for before", "Changed", "ReadParams", "ReadChanged", "ReadChanged")
		_, before := w.view.Latest()
		time.Sleep(90 * time.Second)
		if _, n := w.view.Latest(); n != before {
			t.Error("there was news without a change")
		}
		w.stir()
		time.Sleep(time.Millisecond)
		if _, n := w.view.Latest(); n == before {
			t.Error("the change is not seen at once")
		}
		time.Sleep(time.Second)
		w.wantCalls(t, "the change", "ReadChanged")
	})
}

func TestWhereLongPollsThatReadDoNotWorkHintsAreAskedForAndPlainReadsTellTheNews(t *testing.T) {
	watch(t, func(w *watched) {
		w.stays, w.deaf = true, func(memory.Call) error { return profile.ErrUnavailable }
		w.set(time.Now(), 0)
		w.stir()
		time.Sleep(10 * time.Second)
		w.wantCalls(t, "they fail", "Changed", "ReadParams", "ReadChanged", "Read", "ReadChanged", "Read", "ReadChanged", "Read", "Changed")
		w.stir()
		time.Sleep(10 * time.Second)
		w.wantCalls(t, "a change", "ReadParams", "Changed")
	})
}

func TestAHintIsHeldUntilTheAnswerToAnOwnWriteSaysMore(t *testing.T) {
	watch(t, func(w *watched) {
		w.set(time.Time{}, time.Minute)
		w.stir()
		time.Sleep(30 * time.Second)
		w.wantCalls(t, "a hint that is held", "Changed")
		if _, n := w.view.Latest(); !w.view.Put(w.Document(), n) {
			t.Fatal("the answer is out of order")
		}
		time.Sleep(time.Second)
		w.wantCalls(t, "after the answer", "Changed")
		w.stir()
		time.Sleep(61 * time.Second)
		w.wantCalls(t, "another hint", "ReadParams", "Changed")
	})
}

func TestWhereLongPollsThatReadDoNotWaitHintsAreAskedFor(t *testing.T) {
	watchThrough(t, func(s profile.Store) profile.Store { return heedless{s} }, func(w *watched) {
		w.stays = true
		w.set(time.Now(), 0)
		w.stir()
		time.Sleep(10 * time.Second)
		w.wantCalls(t, "they do not wait", "Changed", "ReadParams", "ReadChanged", "ReadChanged", "Changed")
	})
}

func TestAnEndpointThatIsSlowIsAskedTheMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		params, err := profile.Seed{Profile: cluster, Members: []string{"u1"}, Leaders: 1}.Params()
		if err != nil {
			t.Fatal(err)
		}
		p := memory.New(cluster, params)
		var reads atomic.Int64
		var takes atomic.Int64 // what a read takes, as a time.Duration
		store := p.Store(func(c memory.Call) memory.Fault {
			if c.Method != "ReadParams" {
				return memory.Fault{}
			}
			reads.Add(1)
			return memory.Fault{Delay: time.Duration(takes.Load())}
		})
		ctx, stop := context.WithCancelCause(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { profile.Watch{Store: store, View: profile.NewView(p.Document())}.Run(ctx) })
		minute := func(take time.Duration) int64 {
			takes.Store(int64(take))
			before := reads.Load()
			for n := range 600 {
				params := p.Document().Params
				params["k"] = fmt.Append(nil, n)
				p.Replace(params)
				time.Sleep(100 * time.Millisecond)
			}
			return reads.Load() - before
		}
		quick, slow, again := minute(0), minute(time.Second), minute(0)
		if slow > 60/(1+4)+1 || slow < 60/(1+4)-1 || quick < 10*slow || again < quick-100 {
			t.Errorf("looks in a minute: %d at an endpoint that is quick, %d when a look takes a second, %d when it is quick again; want about 12 when slow", quick, slow, again)
		}
		stop(errors.New("end of the test"))
		ended.Wait()
	})
}

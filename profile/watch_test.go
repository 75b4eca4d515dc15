package profile_test

import (
	"context"
	"errors"
	"slices"
	"sync"
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
	mu    sync.Mutex
}

func watch(t *testing.T, do func(w *watched)) {
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
			if c.Method == "Read" { // which says all, so that nothing is due any more
				w.set(time.Time{}, 0)
			}
			return memory.Fault{}
		})
		ctx, stop := context.WithCancelCause(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { profile.Watch{Store: store, View: w.view, Outlook: w}.Run(ctx) })
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
		w.wantCalls(t, "since it was", "Read", "Changed")
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

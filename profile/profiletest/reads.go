package profiletest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/profile"
)

func readReturnsTheWholeProfile(t *testing.T, open Open) {
	f := open(t, planted())
	d := read(t, f.Store())
	if d.Name != Name {
		t.Errorf("Name = %q, want %q", d.Name, Name)
	}
	sameParams(t, "Read", d.Params, planted())
	if got := d.Version != ""; got != f.Versioned {
		t.Errorf("Version = %q, want one: %v", d.Version, f.Versioned)
	}
	if d.Date.Unix() <= 0 {
		t.Errorf("Date = %v, want the endpoint's clock", d.Date)
	}
}

func readParamsReturnsOnlyThosePresent(t *testing.T, open Open) {
	f := open(t, planted())
	s := f.Store()
	for _, test := range []struct{ names, want []string }{
		{names: []string{"test/count", "test/absent", "test/größe"}, want: []string{"test/count", "test/größe"}},
		{names: []string{"test/absent"}},
		{names: nil},
	} {
		got, err := s.ReadParams(t.Context(), test.names...)
		if err != nil {
			t.Fatalf("ReadParams(%q): %v", test.names, err)
		}
		want := profile.Params{}
		for _, name := range test.want {
			want[name] = planted()[name]
		}
		if diff := cmp.Diff(text(want), text(got)); diff != "" {
			t.Errorf("ReadParams(%q) (-want +got):\n%s", test.names, diff)
		}
	}
}

// everyCall makes each call of s and wants its error to be want.
func everyCall(ctx context.Context, t *testing.T, s profile.Store, want error) {
	t.Helper()
	c := &profile.Change{}
	c.Set(profile.At("test/count"), 2)
	for name, call := range map[string]func() error{
		"Read":        func() error { _, err := s.Read(ctx); return err },
		"ReadParams":  func() error { _, err := s.ReadParams(ctx, "test/count"); return err },
		"Apply":       func() error { _, err := s.Apply(ctx, c); return err },
		"Changed":     func() error { _, err := s.Changed(ctx, "", time.Minute); return err },
		"ReadChanged": func() error { _, err := s.ReadChanged(ctx, `"1"`, time.Minute); return err },
	} {
		if err := call(); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", name, err, want)
		}
	}
}

func missingProfileIsNotFound(t *testing.T, open Open) {
	everyCall(t.Context(), t, open(t, planted()).Missing, profile.ErrNotFound)
}

func refusedTokenIsRefused(t *testing.T, open Open) {
	f := open(t, planted())
	everyCall(t.Context(), t, f.Refused, profile.ErrRefused)
	sameParams(t, "after a refusal", read(t, f.Store()).Params, planted())
}

func nobodyListeningIsUnavailable(t *testing.T, open Open) {
	everyCall(t.Context(), t, open(t, planted()).Unreachable, profile.ErrUnavailable)
}

func endedContextEndsEveryCall(t *testing.T, open Open) {
	f := open(t, planted())
	stop := errors.New("stopped by the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	everyCall(ctx, t, f.Store(), profile.ErrUnavailable)
	everyCall(ctx, t, f.Store(), stop)
	sameParams(t, "after calls under an ended context", read(t, f.Store()).Params, planted())
}

// versioned is false, and the rule without versions checked, where the endpoint
// has none.
func versioned(t *testing.T, f Fixture) bool {
	t.Helper()
	if f.Versioned {
		return true
	}
	for _, since := range []string{"", `"1"`} {
		got, err := f.Store().Changed(t.Context(), since, time.Hour)
		if got != "" || err != nil {
			t.Errorf("Changed(%q) = %q, %v without versions, want none at once", since, got, err)
		}
	}
	return false
}

func changedWithoutSinceTellsTheVersion(t *testing.T, open Open) {
	f := open(t, planted())
	if !versioned(t, f) {
		return
	}
	got, err := f.Store().Changed(t.Context(), "", time.Hour)
	if want := read(t, f.Store()).Version; got != want || err != nil {
		t.Errorf("Changed = %q, %v, want %q", got, err, want)
	}
}

// polls are the two ways to wait for another version; each returns the one that
// there is then.
var polls = map[string]func(ctx context.Context, s profile.Store, since string, wait time.Duration) (string, error){
	"Changed": func(ctx context.Context, s profile.Store, since string, wait time.Duration) (string, error) {
		return s.Changed(ctx, since, wait)
	},
	"ReadChanged": func(ctx context.Context, s profile.Store, since string, wait time.Duration) (string, error) {
		d, err := s.ReadChanged(ctx, since, wait)
		if d == nil {
			return since, err
		}
		return d.Version, err
	},
}

func changedReturnsAtOnceWhenItHasChanged(t *testing.T, open Open) {
	f := open(t, planted())
	if !versioned(t, f) {
		return
	}
	s := f.Store()
	before := read(t, s)
	after, err := s.Apply(t.Context(), set(before, 2))
	if err != nil {
		t.Fatal(err)
	}
	if after.Version == before.Version {
		t.Errorf("the version stays %q after a change", after.Version)
	}
	for name, poll := range polls {
		got, err := poll(t.Context(), s, before.Version, time.Hour)
		if got != after.Version || err != nil {
			t.Errorf("%s = %q, %v, want %q", name, got, err, after.Version)
		}
	}
	d, err := s.ReadChanged(t.Context(), before.Version, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	sameParams(t, "what has changed", d.Params, after.Params)
}

func changedReturnsSinceAfterTheWait(t *testing.T, open Open) {
	f := open(t, planted())
	if !versioned(t, f) {
		return
	}
	since := read(t, f.Store()).Version
	const wait = 300 * time.Millisecond
	for name, poll := range polls {
		start := time.Now()
		got, err := poll(t.Context(), f.Store(), since, wait)
		if got != since || err != nil {
			t.Errorf("%s = %q, %v, want %q", name, got, err, since)
		}
		if took := time.Since(start); took < wait {
			t.Errorf("%s returned after %v, want it to wait %v", name, took, wait)
		}
	}
}

func changedWakesOnACommit(t *testing.T, open Open) {
	f := open(t, planted())
	if !versioned(t, f) {
		return
	}
	s := f.Store()
	before := read(t, s)
	type answer struct {
		name, version string
		err           error
	}
	woken := make(chan answer, len(polls))
	for name, poll := range polls {
		go func() {
			version, err := poll(t.Context(), f.Store(), before.Version, time.Hour)
			woken <- answer{name, version, err}
		}()
	}
	after, err := s.Apply(t.Context(), set(before, 2))
	if err != nil {
		t.Fatal(err)
	}
	for range polls {
		if got := <-woken; got.version != after.Version || got.err != nil {
			t.Errorf("%s = %q, %v, want %q", got.name, got.version, got.err, after.Version)
		}
	}
}

func changedEndsWithItsContext(t *testing.T, open Open) {
	f := open(t, planted())
	if !versioned(t, f) {
		return
	}
	stop := errors.New("stopped by the test")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, stop)
	defer cancel()
	since := read(t, f.Store()).Version
	for name, poll := range polls {
		if _, err := poll(ctx, f.Store(), since, time.Hour); !errors.Is(err, profile.ErrUnavailable) || !errors.Is(err, stop) {
			t.Errorf("%s: %v, want %v caused by %v", name, err, profile.ErrUnavailable, stop)
		}
	}
}

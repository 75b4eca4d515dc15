package facts

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func works(context.Context) (func(*Sheet), error) {
	return func(s *Sheet) { s.Memory.TotalBytes = 42 }, nil
}

func TestOneFailingSourceHidesNoOther(t *testing.T) {
	pathError := &fs.PathError{Op: "open", Path: "/etc/secret-folder/x", Err: fs.ErrPermission}
	sheet, err := collect(t.Context(), Config{}, []source{
		{"path", func(context.Context) (func(*Sheet), error) { return nil, pathError }},
		{"long", func(context.Context) (func(*Sheet), error) {
			return nil, errors.New("first line\n" + strings.Repeat("ü", 500))
		}},
		{"partial", func(context.Context) (func(*Sheet), error) {
			return func(s *Sheet) { s.CPU.Threads = 7 }, errors.New("no model")
		}},
		{"nothing", func(context.Context) (func(*Sheet), error) { return nil, nil }},
		{"works", works},
	})
	if err != nil {
		t.Fatal(err)
	}
	if sheet.Memory.TotalBytes != 42 || sheet.CPU.Threads != 7 {
		t.Errorf("a source that worked is missing: %+v", sheet)
	}
	if got, want := sheet.Errors["path"], "open: permission denied"; got != want {
		t.Errorf("path: got %q, want %q", got, want)
	}
	if got := sheet.Errors["long"]; len(got) > maxText || strings.Contains(got, "\n") || !json.Valid([]byte(`"`+got+`"`)) {
		t.Errorf("long: %q is not one short line", got)
	}
	if got, want := sheet.Errors["partial"], "no model"; got != want || len(sheet.Errors) != 3 {
		t.Errorf("errors are %q", sheet.Errors)
	}
}

func TestASourceThatHangsIsNamedAndLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		start := time.Now()
		sheet, err := collect(t.Context(), Config{Timeout: 3 * time.Second}, []source{
			{"hangs", func(context.Context) (func(*Sheet), error) {
				<-release
				return func(s *Sheet) { s.Agent = "too late" }, nil
			}},
			{"works", works},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("Collect took %v, want 3s", got)
		}
		close(release)
		synctest.Wait()
		if sheet.Errors["hangs"] != "timed out" || sheet.Memory.TotalBytes != 42 || sheet.Agent != "" {
			t.Errorf("got %+v", sheet)
		}
	})
}

func TestCollectEndsWithTheCauseOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("agent stops")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stop) })
		_, err := collect(ctx, Config{}, []source{
			{"slow", func(ctx context.Context) (func(*Sheet), error) { <-ctx.Done(); return nil, ctx.Err() }},
		})
		if !errors.Is(err, stop) {
			t.Errorf("got %v, want the cause", err)
		}
	})
}

func TestTheBootTimeIsSteadyWithinABoot(t *testing.T) {
	previous := Sheet{Boot: Boot{ID: "a", Time: 1_767_000_000}}
	for _, c := range []struct {
		name string
		now  Boot
		want int64
	}{
		{"a step of the clock by a second", Boot{"a", 1_767_000_001}, 1_767_000_000},
		{"and back by a minute", Boot{"a", 1_766_999_940}, 1_767_000_000},
		{"a clock that had been wrong", Boot{"a", 1_767_007_200}, 1_767_007_200},
		{"another boot a moment later", Boot{"b", 1_767_000_030}, 1_767_000_030},
	} {
		sheet := Sheet{Boot: c.now}
		keepBootTime(&sheet, &previous)
		if sheet.Boot.Time != c.want {
			t.Errorf("%s: boot time is %d, want %d", c.name, sheet.Boot.Time, c.want)
		}
	}
	sheet := Sheet{Boot: Boot{"a", 5}}
	keepBootTime(&sheet, nil)
	keepBootTime(&sheet, &Sheet{Boot: Boot{ID: "a"}})
	if sheet.Boot.Time != 5 {
		t.Error("a previous sheet without a boot time changed it")
	}
}

func TestTwoReadsOfThisHostAreIdentical(t *testing.T) {
	first, err := Collect(t.Context(), Config{AgentVersion: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Collect(t.Context(), Config{AgentVersion: "v1", Previous: &first})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(first)
	b, _ := json.Marshal(second)
	if string(a) != string(b) {
		t.Errorf("two reads differ:\n%s\n%s", a, b)
	}
	t.Logf("%d bytes: %s", len(a), a)
}

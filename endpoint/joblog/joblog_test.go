package joblog

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

type logs interface {
	Append(job string, text []byte) error
	Get(job string) ([]byte, error)
	Forget(job string)
}

func files(t *testing.T) *Files {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if err := root.Mkdir("logs", 0o700); err != nil {
		t.Fatal(err)
	}
	return NewFiles(root, "logs", hclog.NewNullLogger())
}

func TestLogsGrowUntilTheirEnd(t *testing.T) {
	for name, l := range map[string]logs{"memory": NewMemory(), "files": files(t)} {
		t.Run(name, func(t *testing.T) {
			want := func(text string) {
				t.Helper()
				if got, err := l.Get("j"); err != nil || string(got) != text {
					t.Errorf("got %d bytes, %v, want %d", len(got), err, len(text))
				}
			}
			want("")
			big := strings.Repeat("x", maxLog-1)
			if err := errors.Join(l.Append("j", []byte("a")), l.Append("j", []byte(big))); err != nil {
				t.Fatal(err)
			}
			want("a" + big)
			l.Forget("j")
			want("")
			if err := errors.Join(l.Append("j", []byte(big)), l.Append("j", []byte("bcd")), l.Append("j", []byte("e"))); err != nil {
				t.Fatal(err)
			}
			want(big + "b" + truncated)
		})
	}
}

// A crash can leave text behind whose length was not written.
func TestTextThatWasNotAcknowledgedIsNoPartOfTheLog(t *testing.T) {
	l := files(t)
	if err := l.Append("j", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	f, err := l.root.OpenFile(l.path("j"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("lost"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), l.Append("j", []byte("!"))); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Get("j"); err != nil || string(got) != "kept!" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSweepRemovesTheLogsOfJobsThatAreGone(t *testing.T) {
	l := files(t)
	if err := errors.Join(l.Append("old", []byte("x")), l.Append("new", []byte("y"))); err != nil {
		t.Fatal(err)
	}
	if err := l.Sweep(func(job string) bool { return job == "new" }); err != nil {
		t.Fatal(err)
	}
	gone, err1 := l.Get("old")
	kept, err2 := l.Get("new")
	if err := errors.Join(err1, err2); err != nil || len(gone) != 0 || string(kept) != "y" {
		t.Errorf("got %q and %q, %v", gone, kept, err)
	}
}

// Jobs are deleted with all objects locked, and an append syncs.
func TestForgetDoesNotWaitForAppends(t *testing.T) {
	l := files(t)
	if err := l.Append("j", []byte("x")); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock() // as an append does for as long as it syncs
	done := make(chan struct{})
	go func() { l.Forget("j"); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("it waits")
	}
	l.mu.Unlock()
	<-done
	if got, err := l.Get("j"); err != nil || len(got) != 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

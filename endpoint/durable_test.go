package endpoint

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/endpoint/disk"
)

// onDisk is a server with a data file, that logs into log.
func onDisk(t *testing.T, file string, log *lockedBuilder) (s *Server, stop func()) {
	t.Helper()
	s, err := New(Config{Listen: "127.0.0.1:0", Data: file})
	if err != nil {
		t.Fatal(err)
	}
	logInto(log)(s)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx); close(served) }()
	stop = func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// breakSync makes the next n writes of the data file end in doubt: the file is
// replaced, but its folder cannot be synced.
func (s *Server) breakSync(n int) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	whole := s.data.file.Replace
	s.data.replace = func(write func(*bufio.Writer) error) error {
		err := whole(write)
		if n--; n >= 0 && err == nil {
			err = disk.ErrInDoubt
		}
		return err
	}
}

func (s *Server) inDoubt() bool {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.data.inDoubt
}

func holds(t *testing.T, file, name string) bool {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(raw), `"Name":"`+name+`"`)
}

func TestChangeThatIsRefusedForASyncIsTakenBack(t *testing.T) {
	file, log := filepath.Join(t.TempDir(), "endpoint.json"), &lockedBuilder{}
	s, _ := onDisk(t, file, log)
	s.breakSync(1)
	if got, body := s.ask(t, "POST", "/profiles", `{"Name":"refused"}`); got != 500 || !strings.Contains(body, "was refused") {
		t.Errorf("got %d %s", got, body)
	}
	if holds(t, file, "refused") {
		t.Error("the file has the change that was refused")
	}
	if strings.Contains(log.String(), "may be there") {
		t.Errorf("the log says %s", log)
	}
}

func TestChangeInDoubtIsGoneWithTheNextWriteOrTheEnd(t *testing.T) {
	for _, how := range []string{"write", "end"} {
		file, log := filepath.Join(t.TempDir(), "endpoint.json"), &lockedBuilder{}
		s, stop := onDisk(t, file, log)
		s.breakSync(2) // of the change, and of taking it back
		if got, body := s.ask(t, "POST", "/profiles", `{"Name":"refused"}`); got != 500 {
			t.Errorf("got %d %s", got, body)
		}
		if got, _ := s.ask(t, "GET", "/profiles/refused", ""); got != 404 {
			t.Errorf("the change that was refused: %d", got)
		}
		if !s.inDoubt() || !strings.Contains(log.String(), "may be there after a restart") {
			t.Errorf("in doubt: %v; the log says %s", s.inDoubt(), log)
		}
		if how == "write" {
			if got, body := s.ask(t, "POST", "/profiles", `{"Name":"next"}`); got != 201 {
				t.Errorf("got %d %s", got, body)
			}
		} else {
			stop()
		}
		if s.inDoubt() || holds(t, file, "refused") || holds(t, file, "next") != (how == "write") {
			t.Errorf("%s: in doubt: %v, refused change there: %v", how, s.inDoubt(), holds(t, file, "refused"))
		}
	}
}

// slowSync is blobs whose folders are synced by fn.
func slowSync(t *testing.T, fn func(b *blobs) error) *blobs {
	t.Helper()
	folder := &disk.Folder{Names: []string{filesDir, isosDir}, Scratch: newDir}
	t.Cleanup(func() { _ = folder.Close() })
	b := newBlobs(folder)
	b.sync = func(root *os.Root, dir string) error {
		if err := fn(b); err != nil {
			return err
		}
		return disk.Sync(root, dir)
	}
	return b
}

func (b *blobs) store(t *testing.T, name string) error {
	t.Helper()
	up, err := b.receive(filesDir, name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.discard() }()
	return b.keep(up, filesDir, name, "sum")
}

func TestNamesOfUploadsAreLockedWhileTheyAreSynced(t *testing.T) {
	synced := 0
	b := slowSync(t, func(b *blobs) error {
		synced++
		if b.mu.TryLock() {
			t.Error("somebody could see a name, or that it is gone, before that is durable")
			b.mu.Unlock()
		}
		return nil
	})
	if err := errors.Join(b.store(t, "a/b"), b.remove(filesDir, "a/b")); err != nil || synced != 4 {
		t.Errorf("%d syncs, want files/a and files, and both again: %v", synced, err)
	}
}

func TestNamesThatCannotBeSyncedAreNotSeen(t *testing.T) {
	var fault error
	b := slowSync(t, func(*blobs) error { return fault })
	sees := func(what string, want error) {
		t.Helper()
		f, err := b.open(filesDir, "a/b")
		if err == nil {
			f.Close()
		}
		names, listErr := b.list(filesDir, "a")
		if !errors.Is(err, want) || want == nil && !slices.Equal(names, []string{"b"}) || want == fault && !errors.Is(listErr, want) {
			t.Errorf("%s: open: %v; list: %v, %v", what, err, names, listErr)
		}
	}
	broken := errors.New("broken")
	fault = broken
	if err := b.store(t, "a/b"); !errors.Is(err, broken) {
		t.Errorf("stored: %v", err)
	}
	sees("not yet durable", broken)
	fault = nil
	sees("durable", nil)
	fault = broken
	if err := b.remove(filesDir, "a/b"); !errors.Is(err, broken) {
		t.Errorf("removed: %v", err)
	}
	sees("not yet durably gone", broken)
	if err := b.remove(filesDir, "a/b"); !errors.Is(err, broken) {
		t.Errorf("removed again: %v", err)
	}
	fault = nil
	sees("gone", errNoBlob)
}

// A name that is too long for a folder must not stop others.
func TestFolderThatCannotBeMadeStopsNobody(t *testing.T) {
	b := slowSync(t, func(*blobs) error { return nil })
	if err := b.store(t, "a/"+strings.Repeat("x", 300)+"/b"); err == nil {
		t.Fatal("the folder was made")
	}
	if err := b.store(t, "c"); err != nil {
		t.Error(err)
	}
	if names, err := b.list(filesDir, ""); err != nil || !slices.Equal(names, []string{"a/", "c"}) {
		t.Errorf("got %v, %v", names, err)
	}
}

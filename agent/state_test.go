package agent_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/agent"
	"muster/profile"
)

func openState(t *testing.T, path string) *agent.StateDir {
	t.Helper()
	s, err := agent.OpenStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestOneAtATimeHasTheStateDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	first := openState(t, path)
	_, err := agent.OpenStateDir(path)
	if !errors.Is(err, agent.ErrLocked) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("second open: got %v, want ErrLocked with the directory and the process", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openState(t, path)
}

func TestStateIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := openState(t, path)
	if err := errors.Join(s.Save(profile.State{UUID: "one"}), s.SaveRun(profile.Run{N: 1})); err != nil {
		t.Fatal(err)
	}
	got := modes(t, path)
	want := map[string]fs.FileMode{
		".": fs.ModeDir | 0o700, "steps": fs.ModeDir | 0o700,
		"lock": 0o600, "identity.json": 0o600, "run.json": 0o600,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files of the state directory (-want +got):\n%s", diff)
	}
}

func modes(t *testing.T, path string) map[string]fs.FileMode {
	t.Helper()
	found := map[string]fs.FileMode{}
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(path, p)
		found[name] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestStateIsKeptAsItWasSavedLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := openState(t, path)
	if got, err := s.Load(); err != nil || !cmp.Equal(got, profile.State{}) {
		t.Errorf("state of a fresh directory: got %+v and %v, want none", got, err)
	}
	want := profile.State{
		Profile: "alpha", UUID: "one", Instance: "i", Life: "l", Hardware: "h", Seq: 7, Write: "w",
		Pending: []profile.Pending{{Write: "p", Claim: &profile.Tenure{Role: "leader", Slot: "1", Instance: "i", Epoch: 3}}},
		Tenures: map[string]profile.Tenure{"leader": {Role: "leader", Slot: "1", Instance: "i", Epoch: 3}},
	}
	run := profile.Run{N: 2, Round: 1, State: profile.Running}
	if err := errors.Join(s.Save(profile.State{UUID: "other"}), s.Save(want), s.SaveRun(run)); err != nil {
		t.Fatal(err)
	}
	// What a process that died in the middle of a write leaves behind.
	if err := os.WriteFile(filepath.Join(path, ".identity.json-123"), []byte(`{"uuid":"ha`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openState(t, path)
	got, err := again.Load()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("state after a restart (-want +got): %v\n%s", err, diff)
	}
	if got, err := again.LoadRun(); err != nil || got != run {
		t.Errorf("run after a restart: got %+v and %v, want %+v", got, err, run)
	}
}

func TestAWriteThatFailsLeavesTheOldStateAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := openState(t, path)
	if err := os.MkdirAll(filepath.Join(path, "identity.json", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := modes(t, path)
	if err := s.Save(profile.State{UUID: "one"}); !errors.Is(err, agent.ErrState) {
		t.Errorf("Save over a directory: got %v, want ErrState", err)
	}
	if diff := cmp.Diff(before, modes(t, path)); diff != "" {
		t.Errorf("files after a write that failed (-before +after):\n%s", diff)
	}
}

func TestStateThatIsNotWhatWasWrittenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := openState(t, path)
	for _, text := range []string{"", "{", "[]"} {
		for _, name := range []string{"identity.json", "run.json"} {
			if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, state := s.Load()
		_, run := s.LoadRun()
		if !errors.Is(state, agent.ErrState) || !errors.Is(run, agent.ErrState) {
			t.Errorf("files that hold %q: got %v and %v, want ErrState", text, state, run)
		}
	}
}

func TestWhatRootWritesBelongsToTheOwnerOfTheStateDirectory(t *testing.T) {
	path := t.TempDir()
	owner := os.Getuid()
	if owner == 0 { // else the owner is the one that it is anyway
		owner = 12345
		if err := os.Chown(path, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := agent.OpenStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := errors.Join(dir.Save(profile.State{UUID: "one"}), dir.SaveRun(profile.Run{N: 1})); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && int(info.Sys().(*syscall.Stat_t).Uid) != owner {
			t.Errorf("%s belongs to %d, want %d", name, info.Sys().(*syscall.Stat_t).Uid, owner)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

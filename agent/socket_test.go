package agent_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/agent"
	"muster/profile"
	"muster/profile/memory"
)

func TestTheSocketIsForOwnerAndGroupWhileTheAgentRuns(t *testing.T) {
	c := seeded(t, 1, "one")
	cfg := c.config("one", t.TempDir())
	r := run(t, cfg)
	eventually(t, "the socket has its mode", func() bool {
		info, err := os.Stat(cfg.Socket)
		return err == nil && info.Mode() == fs.ModeSocket|0o660
	})
	r.end()
	if _, err := agent.Dial(cfg.Socket); !errors.Is(err, agent.ErrNoAgent) {
		t.Errorf("dial after the end: got %v, want ErrNoAgent", err)
	}
	if _, err := os.Lstat(cfg.Socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket after the end: got %v, want it gone", err)
	}
}

func TestALeftOverSocketIsReplaced(t *testing.T) {
	c := seeded(t, 1, "one")
	cfg := c.config("one", t.TempDir())
	l, err := net.Listen("unix", cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed process leaves it
	l.Close()
	if _, err := os.Lstat(cfg.Socket); err != nil {
		t.Fatalf("nothing was left over: %v", err)
	}
	if _, err := run(t, cfg).Status(t.Context()); err != nil {
		t.Errorf("status through the new socket: %v", err)
	}
}

func TestAFileInThePlaceOfTheSocketIsLeftAlone(t *testing.T) {
	c := seeded(t, 1, "one")
	dir := t.TempDir()
	file, empty := filepath.Join(dir, "precious"), filepath.Join(dir, "empty")
	if err := errors.Join(os.WriteFile(file, []byte("text"), 0o600), os.Mkdir(empty, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, empty} {
		cfg := c.config("one", dir)
		cfg.Socket = path
		a := joined(t, cfg)
		if err := a.Run(t.Context()); !errors.Is(err, agent.ErrUsage) {
			t.Errorf("Run with %s for a socket: got %v, want ErrUsage", path, err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("what was there: %v", err)
		}
		a.Close()
	}
}

func TestTheSocketAnswersAsTheMemberWould(t *testing.T) {
	c := seeded(t, 1, "one")
	r := run(t, c.config("one", t.TempDir()))
	d, err := r.Read(t.Context())
	if err != nil || d.Name != "alpha" || d.Check() != nil {
		t.Errorf("Read: got %+v and %v, want the profile", d, err)
	}
	if _, err := r.Report(t.Context(), "done"); !errors.Is(err, agent.ErrUsage) {
		t.Errorf("report of nonsense: got %v, want ErrUsage", err)
	}
	for _, said := range []string{profile.Running, profile.Complete} {
		if round, err := r.Report(t.Context(), said); err != nil || round != 1 {
			t.Errorf("report %s: got round %d and %v, want round 1", said, round, err)
		}
	}
	if got, want := c.record(t, "one").Results, map[string]string{"1": profile.Complete}; !cmp.Equal(got, want) {
		t.Errorf("results: got %v, want %v", got, want)
	}
}

func TestReportsAreForMembersWithoutAMachineToken(t *testing.T) {
	c := seeded(t, 1, "one")
	cfg := c.config("one", t.TempDir())
	cfg.Machine = memory.NewMachine(profile.Machine{UUID: "one", Name: "n1", Runnable: true})
	if _, err := run(t, cfg).Report(t.Context(), profile.Running); !errors.Is(err, agent.ErrUsage) {
		t.Errorf("report: got %v, want ErrUsage", err)
	}
}

package install_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/install"
)

var errBroken = errors.New("broken by the test")

// manager is a service manager whose steps can fail.
type manager struct {
	root    string
	fails   string // the next step of this name fails
	kills   string // and this one ends its goroutine
	running bool
	did     []string
}

func (m *manager) step(name string) error {
	m.did = append(m.did, name)
	if m.kills == name {
		runtime.Goexit()
	}
	if m.fails == name {
		m.fails = ""
		return errBroken
	}
	return nil
}

// service implements install.Service, with one unit text.
type service struct {
	*manager
	text string
}

func (s service) path() string { return filepath.Join(s.root, "etc/systemd/system/muster.service") }

func (s service) Install() error {
	if err := os.MkdirAll(filepath.Dir(s.path()), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(s.path(), []byte(s.text), 0o644); err != nil {
		return err
	}
	return s.step("install")
}

func (s service) Uninstall() error { return errors.Join(os.Remove(s.path()), s.step("uninstall")) }

func (s service) Start() error {
	err := s.step("start")
	s.running = err == nil
	return err
}

func (s service) Stop() error {
	s.running = false
	return s.step("stop")
}

func (s service) Restart() error {
	err := s.step("restart")
	s.running = err == nil
	return err
}

func (s service) Reload() error { return s.step("reload") }

func (s service) Running() (bool, error) { return s.running, nil }

func newHost(t *testing.T) (*install.Host, *manager) {
	root := t.TempDir()
	m := &manager{root: root}
	return &install.Host{
		Root:    root,
		Service: func(unit string) (install.Service, error) { return service{m, unit}, nil },
		Users:   func(context.Context, string) (int, int, error) { return os.Getuid(), os.Getgid(), m.step("users") },
	}, m
}

func content() install.Content {
	return install.Content{
		Program: []byte("program"), Settings: []byte("profile: k3s\n"), CA: []byte("certificate"), Unit: "ExecStart=/usr/local/bin/muster agent", Sysusers: "u muster",
		Units:  map[string]string{"muster-root@.service": "root unit"},
		Tokens: map[string][]byte{"profile.token": []byte("one"), "machine.token": []byte("two")},
	}
}

// files lists what is below a folder: mode and content of each.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := ""
		if !e.IsDir() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = " " + string(raw)
		}
		list[strings.TrimPrefix(path, root)] = info.Mode().String() + text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAHostIsGivenEverythingWithItsMode(t *testing.T) {
	h, m := newHost(t)
	if _, err := h.Install(t.Context(), content()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/etc": "drwxr-xr-x", "/etc/muster": "drwxr-xr-x", "/etc/sysusers.d": "drwxr-xr-x", "/etc/systemd": "drwxr-xr-x", "/etc/systemd/system": "drwxr-xr-x",
		"/etc/muster/muster.yaml": "-rw-r--r-- profile: k3s\n", "/etc/muster/ca.pem": "-rw-r--r-- certificate", "/etc/sysusers.d/muster.conf": "-rw-r--r-- u muster",
		"/etc/systemd/system/muster.service": "-rw-r--r-- ExecStart=/usr/local/bin/muster agent", "/etc/systemd/system/muster-root@.service": "-rw-r--r-- root unit",
		"/usr": "drwxr-xr-x", "/usr/local": "drwxr-xr-x", "/usr/local/bin": "drwxr-xr-x", "/usr/local/bin/muster": "-rwxr-xr-x program",
		"/var": "drwxr-xr-x", "/var/lib": "drwxr-xr-x", "/var/lib/muster": "drwx------", "/var/lib/muster/credentials": "drwx------",
		"/var/lib/muster/credentials/profile.token": "-rw------- one", "/var/lib/muster/credentials/machine.token": "-rw------- two",
	}
	if diff := cmp.Diff(want, files(t, h.Root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"users", "reload", "install", "start"}, m.did); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestTheSameAgainChangesNothing(t *testing.T) {
	h, m := newHost(t)
	if _, err := h.Install(t.Context(), content()); err != nil {
		t.Fatal(err)
	}
	m.did = nil
	changed, err := h.Install(t.Context(), content())
	if err != nil || len(changed) > 0 || len(m.did) != 1 {
		t.Errorf("changed %v, did %v, error %v", changed, m.did, err)
	}
	other := content()
	other.Unit, other.Tokens = "unit 2", nil
	changed, err = h.Install(t.Context(), other)
	if diff := cmp.Diff([]string{"/etc/systemd/system/muster.service"}, changed); diff != "" || err != nil || m.did[len(m.did)-1] != "restart" {
		t.Errorf("error %v, did %v, changed (-want +got):\n%s", err, m.did, diff)
	}
}

func TestAnInstallationThatFailsLeavesWhatWasThere(t *testing.T) {
	for _, fails := range []string{"users", "reload", "install", "start"} {
		t.Run(fails, func(t *testing.T) {
			h, m := newHost(t)
			m.fails = fails
			if _, err := h.Install(t.Context(), content()); !errors.Is(err, errBroken) {
				t.Fatalf("error %v", err)
			}
			left := files(t, h.Root)
			for _, made := range []string{"/etc", "/etc/systemd", "/etc/systemd/system"} { // by the manager of this test
				delete(left, made)
			}
			if len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if _, err := h.Install(t.Context(), content()); err != nil {
				t.Fatalf("once it is mended: %v", err)
			}
			before := files(t, h.Root)
			if !m.running {
				t.Error("it does not run")
			}
			m.fails = map[string]string{"users": "users", "reload": "reload", "install": "install", "start": "restart"}[fails]
			if _, err := h.Install(t.Context(), install.Content{Program: []byte("newer"), Settings: []byte("profile: other\n"), Unit: "unit 2", Units: map[string]string{"muster-root@.service": "root unit 2"}, Sysusers: "u muster"}); !errors.Is(err, errBroken) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(before, files(t, h.Root)); diff != "" {
				t.Errorf("after an upgrade that failed (-want +got):\n%s", diff)
			}
			if !m.running {
				t.Error("what ran before the upgrade that failed does not run any more")
			}
		})
	}
}

func TestTheNextInstallationGoesOnFromWhereOneWasKilled(t *testing.T) {
	for _, killed := range []string{"users", "reload", "install", "restart"} {
		t.Run(killed, func(t *testing.T) {
			h, m := newHost(t)
			if _, err := h.Install(t.Context(), content()); err != nil {
				t.Fatal(err)
			}
			newer := content()
			newer.Program, newer.Unit, newer.Units = []byte("newer"), "unit 2", map[string]string{"muster-root@.service": "root unit 2"}
			m.kills = killed
			kill(func() { h.Install(t.Context(), newer) })
			m.kills, m.did = "", nil
			m.fails = "restart" // what is undone is a mixture still
			if _, err := h.Install(t.Context(), newer); !errors.Is(err, errBroken) {
				t.Fatalf("error %v", err)
			}
			m.did = nil
			if _, err := h.Install(t.Context(), newer); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(m.did, " "); !strings.HasSuffix(got, "reload uninstall install restart") {
				t.Errorf("it did %s", got)
			}
			m.did = nil
			if changed, err := h.Install(t.Context(), newer); err != nil || len(changed) > 0 || len(m.did) != 1 {
				t.Errorf("after that: changed %v, did %v, error %v", changed, m.did, err)
			}
		})
	}
}

// kill runs f up to where the manager ends its goroutine. Deferred functions still run, and
// find no error.
func kill(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func TestUnitsBesideTheAgentsAreReadAgainWithoutARestart(t *testing.T) {
	h, m := newHost(t)
	if _, err := h.Install(t.Context(), content()); err != nil {
		t.Fatal(err)
	}
	m.did = nil
	other := content()
	other.Units = map[string]string{"muster-root@.service": "root unit 2"}
	if _, err := h.Install(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"users", "reload"}, m.did); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

// A file that was made in /tmp has its label on hosts with SELinux.
func TestFilesAreMadeInTheirOwnDirectory(t *testing.T) {
	h, m := newHost(t)
	temp, long := t.TempDir(), time.Unix(1e9, 0)
	if err := os.Chtimes(temp, long, long); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	if _, err := h.Install(t.Context(), content()); err != nil {
		t.Fatal(err)
	}
	m.fails = "restart" // so that what was there is put back
	if _, err := h.Install(t.Context(), install.Content{Program: []byte("newer"), Unit: "unit 2"}); !errors.Is(err, errBroken) {
		t.Fatalf("error %v", err)
	}
	if info, err := os.Stat(temp); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("something was made in the directory of temporary files: %v, %v", info.ModTime(), err)
	}
}

// pack is what a package does to a host.
func pack(t *testing.T, h *install.Host) {
	t.Helper()
	unit := filepath.Join(h.Root, "usr/lib/systemd/system/muster.service")
	if err := os.MkdirAll(filepath.Dir(unit), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unit, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAPackagedUnitIsNotFought(t *testing.T) {
	h, m := newHost(t)
	pack(t, h)
	_, err := h.Install(t.Context(), content())
	if !errors.Is(err, install.ErrInvalid) || !strings.Contains(err.Error(), "the package of this host") {
		t.Errorf("error %v", err)
	}
	edited := filepath.Join(h.Root, "etc/systemd/system/muster.service") // by systemctl edit --full
	if err := os.MkdirAll(filepath.Dir(edited), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.Uninstall(t.Context(), []string{"muster-root@.service"}, true); !errors.Is(err, install.ErrInvalid) || len(m.did) > 0 {
			t.Errorf("error %v, did %v", err, m.did)
		}
		if err := os.WriteFile(edited, []byte("ExecStart=/usr/bin/muster agent\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUninstallUnderAPackageLeavesWhatIsThePackages(t *testing.T) {
	h, m := newHost(t)
	if _, err := h.Install(t.Context(), content()); err != nil {
		t.Fatal(err)
	}
	pack(t, h)
	if err := h.Uninstall(t.Context(), []string{"muster-root@.service"}, true); err != nil {
		t.Fatal(err)
	}
	left := files(t, h.Root)
	for path, kept := range map[string]bool{
		"/usr/local/bin/muster": false, "/etc/systemd/system/muster.service": false, "/etc/systemd/system/muster-root@.service": false, "/etc/sysusers.d/muster.conf": false,
		"/usr/lib/systemd/system/muster.service": true, "/etc/muster/muster.yaml": true, "/var/lib/muster/credentials/profile.token": true,
	} {
		if _, there := left[path]; there != kept {
			t.Errorf("%s is kept: %v, want %v", path, there, kept)
		}
	}
	if m.running {
		t.Error("the agent still runs the program that is gone")
	}
}

func TestUninstallUndoesAndPurgeLeavesNothing(t *testing.T) {
	h, _ := newHost(t)
	if _, err := h.Install(t.Context(), content()); err != nil {
		t.Fatal(err)
	}
	if err := h.Uninstall(t.Context(), []string{"muster-root@.service"}, false); err != nil {
		t.Fatal(err)
	}
	for path, kept := range map[string]bool{
		"/usr/local/bin/muster": false, "/etc/systemd/system/muster.service": false, "/etc/systemd/system/muster-root@.service": false, "/etc/sysusers.d/muster.conf": false,
		"/etc/muster/muster.yaml": true, "/var/lib/muster/credentials/profile.token": true,
	} {
		if _, err := os.Stat(h.Root + path); (err == nil) != kept {
			t.Errorf("%s is kept: %v, want %v", path, err == nil, kept)
		}
	}
	if err := h.Uninstall(t.Context(), []string{"muster-root@.service"}, true); err != nil {
		t.Fatal(err)
	}
	for path := range files(t, h.Root) {
		if strings.Contains(path, "muster") {
			t.Errorf("%s is left", path)
		}
	}
}

func TestRootDoesNotFollowWhereTheAgentsUserLeads(t *testing.T) {
	for _, link := range []string{"/var/lib/muster/credentials", "/var/lib/muster/credentials/profile.token"} {
		h, _ := newHost(t)
		elsewhere := t.TempDir()
		if err := os.MkdirAll(filepath.Join(h.Root, filepath.Dir(link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(elsewhere, h.Root+link); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(elsewhere, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Install(t.Context(), content()); !errors.Is(err, install.ErrInvalid) {
			t.Errorf("%s: %v", link, err)
		}
		info, err := os.Stat(elsewhere)
		entries, errRead := os.ReadDir(elsewhere)
		if err != nil || errRead != nil || info.Mode().Perm() != 0o755 || len(entries) > 0 {
			t.Errorf("%s: it became %v with %v", link, info.Mode(), entries)
		}
	}
}

// While root installs, the agent's user puts a link in the place of his directory, and
// takes it away again.
func TestRootStaysInTheAgentsDirectoryWhateverItsUserDoesMeanwhile(t *testing.T) {
	elsewhere := t.TempDir()
	if err := os.Chmod(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		h, _ := newHost(t)
		state := filepath.Join(h.Root, "var/lib/muster")
		if err := os.MkdirAll(filepath.Join(state, "credentials"), 0o755); err != nil {
			t.Fatal(err)
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
				}
				os.Rename(filepath.Join(state, "credentials"), filepath.Join(state, "kept"))
				os.Symlink(elsewhere, filepath.Join(state, "credentials"))
				os.Remove(filepath.Join(state, "credentials"))
				os.Rename(filepath.Join(state, "kept"), filepath.Join(state, "credentials"))
			}
		}()
		h.Install(t.Context(), content()) // it may fail
		close(stop)
		<-stopped
		info, err := os.Stat(elsewhere)
		entries, errRead := os.ReadDir(elsewhere)
		if err != nil || errRead != nil || info.Mode().Perm() != 0o755 || len(entries) > 0 {
			t.Fatalf("elsewhere it became %v with %v", info.Mode(), entries)
		}
	}
}

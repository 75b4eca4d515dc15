//go:build unix

package lab_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
)

// Tasks under DRP's own runner: to wait there for the workflow that they are part
// of is refused, with the way out in the log; to meet inside of it works.
func TestTasksCannotWaitForTheirOwnWorkflowAndMeetInsideIt(t *testing.T) {
	if err := programs(); err != nil {
		t.Fatal(err)
	}
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			st := newSite(t, compat)
			hosts := st.hosts()
			muster := "export MUSTER_CONFIG=" + hosts + "/{{.Machine.Name}}/muster.yaml\n" + filepath.Join(built, "muster")
			st.workflow(
				[]string{muster + " wait complete --timeout 1m; test $? = 2 || exit 1; echo refused"},
				[]string{muster + " arrive meet --wait --timeout 2m && echo met"},
			)
			machines := []*models.Machine{st.machine("node1"), st.machine("node2")}
			st.muster(hosts, "node1", "seed", "--filter", "Name Re ^node")
			for _, m := range machines {
				st.agent(hosts, m)
				st.runner(m)
			}
			for _, m := range machines {
				st.await(m, func(m *models.Machine) bool { return !m.Runnable || m.CurrentTask >= len(m.Tasks) })
				st.awaitLog(m, "s1-1", "waiting for oneself: this runs inside a job")
				st.awaitLog(m, "s1-1", "muster arrive NAME --wait")
				st.awaitLog(m, "s1-1", "\nrefused\n")
				st.awaitLog(m, "s2-1", "\nmet\n")
			}
			st.muster(hosts, "node2", "wait", "complete", "--timeout", "1m")
		})
	}
}

// hosts makes a directory, with a short path, for the files of machines.
func (st *site) hosts() string {
	st.t.Helper()
	dir, err := os.MkdirTemp("", "in")
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			st.t.Error(err)
		}
	})
	for _, name := range []string{"node1", "node2"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "state", "credentials"), 0o700); err != nil {
			st.t.Fatal(err)
		}
		st.write(filepath.Join(dir, name, "muster.yaml"), fmt.Sprintf("endpoint: %s\nprofile: alpha\nca_file: %s\nprofile_token_file: %s\nstate_dir: %s\nsocket: %s\n",
			st.server.URL(), st.ca, filepath.Join(dir, name, "profile.token"), filepath.Join(dir, name, "state"), filepath.Join(dir, name, "sock")))
	}
	return dir
}

func (st *site) write(file, text string) {
	st.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		st.t.Fatal(err)
	}
}

// muster runs a command on the host of this name, with an operator's token.
func (st *site) muster(hosts, name string, args ...string) {
	st.t.Helper()
	token, err := st.server.UserToken(endpoint.DefaultUser, time.Hour)
	if err != nil {
		st.t.Fatal(err)
	}
	cmd := exec.CommandContext(st.t.Context(), filepath.Join(built, "muster"), args...)
	cmd.Env = append(os.Environ(), "MUSTER_CONFIG="+filepath.Join(hosts, name, "muster.yaml"), "RS_TOKEN="+token)
	if out, err := cmd.CombinedOutput(); err != nil {
		st.t.Fatalf("muster %v: %v\n%s", args, err, out)
	}
}

// agent starts the agent of a machine, and returns once it has joined.
func (st *site) agent(hosts string, m *models.Machine) {
	st.t.Helper()
	home := filepath.Join(hosts, m.Name)
	token, err := st.server.ProfileToken(m.Key(), "alpha", time.Hour)
	if err != nil {
		st.t.Fatal(err)
	}
	st.write(filepath.Join(home, "profile.token"), token)
	if token, err = st.server.MachineToken(m.Key(), time.Hour); err != nil {
		st.t.Fatal(err)
	}
	st.write(filepath.Join(home, "state", "credentials", "machine.token"), token)
	out := &output{}
	cmd := exec.Command(filepath.Join(built, "muster"), "agent")
	cmd.Env = append(os.Environ(), "MUSTER_CONFIG="+filepath.Join(home, "muster.yaml"), "RS_UUID="+m.Key())
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if st.t.Failed() {
			st.t.Logf("agent of %s:\n%s", m.Name, out)
		}
	})
	st.until(out.String, func() bool {
		_, err := os.Stat(filepath.Join(home, "sock"))
		return err == nil
	})
}

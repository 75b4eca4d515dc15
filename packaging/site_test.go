package packaging

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var flagBin = flag.String("bin", "", "directory of bin/muster-lab and bin/muster")

// site is an endpoint with machines and a seeded profile.
type site struct {
	t     *testing.T
	dir   string
	url   string
	env   []string
	uuids map[string]string // of machines, by name
}

// newSite is an endpoint with these machines, and a seeded profile k3s with a slot of
// role leader.
func newSite(t *testing.T, machines ...string) *site {
	t.Helper()
	st := newEndpoint(t)
	st.do("muster-lab", append(append([]string{"endpoint", "machine", "add"}, machines...), "--profile", "k3s")...)
	st.do("muster-lab", "endpoint", "workflow", "add", "try")
	st.do("muster", "seed", "--leaders", "1")
	st.do("muster-lab", "endpoint", "workflow", "start", "try", "--all")
	st.listed()
	return st
}

// newEndpoint starts muster-lab's endpoint.
func newEndpoint(t *testing.T) *site {
	t.Helper()
	st := &site{t: t, dir: t.TempDir(), uuids: map[string]string{}}
	ca := filepath.Join(st.dir, "ca.pem")
	serve := exec.Command(filepath.Join(*flagBin, "muster-lab"), "endpoint", "serve", "--listen=127.0.0.1:0", "--ca-file="+ca, "--control="+filepath.Join(st.dir, "lab.sock"))
	out, err := serve.StdoutPipe()
	if err == nil {
		err = serve.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		serve.Process.Signal(os.Interrupt)
		serve.Wait()
	})
	for lines := bufio.NewScanner(out); st.url == "" && lines.Scan(); {
		for _, word := range strings.Fields(lines.Text()) {
			if strings.HasPrefix(word, "https://") {
				st.url = word
			}
		}
	}
	st.env = append(os.Environ(), "RS_ENDPOINT="+st.url, "RS_KEY=rocketskates:r0cketsk8ts", "RS_CA_CERT="+ca, "MUSTER_PROFILE=k3s", "PATH="+*flagBin+":"+os.Getenv("PATH"), "MUSTER_LAB_CONTROL="+filepath.Join(st.dir, "lab.sock"))
	return st
}

// machine is what the endpoint says of one.
type machine struct {
	Name     string `json:"name"`
	UUID     string `json:"uuid"`
	Workflow string `json:"workflow"`
	State    string `json:"state"`
}

// listed returns the machines by name, and notes their UUIDs.
func (st *site) listed() map[string]machine {
	st.t.Helper()
	var all []machine
	if err := json.Unmarshal([]byte(st.do("muster-lab", "endpoint", "machine", "list", "-o", "json")), &all); err != nil {
		st.t.Fatal(err)
	}
	byName := map[string]machine{}
	for _, m := range all {
		byName[m.Name], st.uuids[m.Name] = m, m.UUID
	}
	return byName
}

// do runs one of our programs as an operator.
func (st *site) do(program string, args ...string) string {
	st.t.Helper()
	cmd := exec.CommandContext(st.t.Context(), filepath.Join(*flagBin, program), args...)
	cmd.Env = st.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		st.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// token makes a token of the kind profile or machine, for this host.
func (st *site) token(h *host, kind string) string {
	st.t.Helper()
	of := map[string]string{"profile": "k3s", "machine": h.name}[kind]
	path := filepath.Join(st.t.TempDir(), "token")
	st.do("muster-lab", "endpoint", "token", kind, of, "--out", path)
	return st.read(path)
}

func (st *site) read(path string) string {
	st.t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		st.t.Fatal(err)
	}
	return string(raw)
}

// configure gives a host what it needs to be the machine of its name.
func (st *site) configure(h *host) {
	st.t.Helper()
	h.file("etc/muster/drp-ca.pem", st.read(filepath.Join(st.dir, "ca.pem")))
	h.sh("chmod 644 /etc/muster/drp-ca.pem")
	conf := st.read(filepath.Join(h.root, "etc/muster/muster.yaml")) + fmt.Sprintf("endpoint: %s\nprofile: k3s\nuuid: %s\nca_file: /etc/muster/drp-ca.pem\n", st.url, st.uuids[h.name])
	h.sh("cat >/etc/muster/muster.yaml <<'END'\n" + conf + "END")
	for _, kind := range []string{"profile", "machine"} {
		h.file("var/lib/muster/credentials/"+kind+".token", st.token(h, kind))
	}
	h.sh("chown -R muster: /var/lib/muster")
}

// slot is what `muster leaders` says of one.
type slot struct {
	Role   string `json:"role"`
	Slot   string `json:"slot"`
	Holder string `json:"holder"` // name of the machine; "" is free
	Epoch  int64  `json:"epoch"`
}

// slots lists those that are held, as an operator sees them.
func (st *site) slots() (held []slot) {
	st.t.Helper()
	var all []slot
	if err := json.Unmarshal([]byte(st.do("muster", "leaders", "-o", "json")), &all); err != nil {
		st.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(s slot) bool { return s.Holder == "" })
}

// of returns the tenures of a role, once it has so many holders.
func (st *site) of(role string, holders int) (held []slot) {
	st.t.Helper()
	await(st.t, fmt.Sprintf("%d holders of %s", holders, role), func() error {
		held = slices.DeleteFunc(st.slots(), func(s slot) bool { return s.Role != role })
		if len(held) != holders {
			return fmt.Errorf("%v", held)
		}
		return nil
	})
	return held
}

// member is what `muster members` says of one.
type member struct {
	Name    string `json:"name"`
	Joined  bool   `json:"joined"`
	Version string `json:"version"`
	Steps   map[string]struct {
		Round  int    `json:"round"`
		Result string `json:"result"`
		Exit   int    `json:"exit"`
	} `json:"steps"`
}

func (st *site) member(h *host) member {
	st.t.Helper()
	var all []member
	if err := json.Unmarshal([]byte(st.do("muster", "members", "-o", "json")), &all); err != nil {
		st.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(m member) bool { return m.Name == h.name })
	if i < 0 {
		st.t.Fatalf("no member %s in %v", h.name, all)
	}
	return all[i]
}

// stepped waits until the member's record says this of a step.
func (st *site) stepped(h *host, step, result string) {
	st.t.Helper()
	await(st.t, step+" of "+h.name+" to be "+result, func() error {
		if got := st.member(h).Steps[step]; got.Result != result {
			return fmt.Errorf("it is %+v\n%s", got, h.journal())
		}
		return nil
	})
}

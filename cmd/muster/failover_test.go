package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"muster/endpoint"
	"muster/internal/boottime"
	"muster/profile"
	"muster/profile/drp"
)

// proof is the size of a test: short in an ordinary run, and with MUSTER_PROOF
// set what is said of it. Times are held to what is said only then.
func proof(short, long int) int {
	if os.Getenv("MUSTER_PROOF") != "" {
		return long
	}
	return short
}

const leaseTTL = 6 * time.Second

// The agent that holds a lease is killed at any moment between two renewals,
// every second time with the `muster lead` that runs a command under it, again
// and again; it is started again when another holds the lease. The command
// takes no notice of TERM.
func TestTheLeaseOfAKilledAgentIsTakenOverAfterOneAndAHalfTTLsAndNotBefore(t *testing.T) {
	for _, compat := range []string{"", "3.13"} {
		t.Run("compat "+compat, func(t *testing.T) {
			t.Parallel() // nearly all of it is waiting
			c := newHosts(t, compat, 3)
			for _, h := range c.hosts {
				h.start()
			}
			var waits []time.Duration
			for i := range proof(2, 20) {
				tenure := c.await("an agent holds the lease", func(s profile.Slot) bool { return !s.Free() })
				holder := c.host(tenure.Holder)
				holder.awaitBeat(tenure.Epoch)
				<-time.After(time.Duration(rand.Float64() * float64(profile.RenewEvery(leaseTTL))))
				if i%2 == 1 {
					holder.kill("lead")
				}
				holder.kill("agent")
				took := c.await("another agent holds it", func(s profile.Slot) bool { return !s.Free() && s.Holder != holder.uuid })
				if took.beforeHolder != holder.uuid {
					t.Fatalf("the slot went from %s to %s, but the killed holder is %s", took.beforeHolder, took.Holder, holder.uuid)
				}
				waits = append(waits, took.since-took.before)
				holder.kill("lead")
				holder.start()
			}
			last := c.await("an agent holds the lease", func(s profile.Slot) bool { return !s.Free() })
			c.host(last.Holder).awaitBeat(last.Epoch)
			c.checkWaits(waits)
			c.checkBeats(len(waits) + 1)
		})
	}
}

// checkWaits looks at how long each lease outlived its last renewal.
func (c *hosts) checkWaits(waits []time.Duration) {
	c.t.Helper()
	slices.Sort(waits)
	least, most := profile.TakeOverAfter(leaseTTL), profile.TakeOverAfter(leaseTTL)+time.Second
	for _, waited := range waits {
		if waited < least || proof(0, 1) == 1 && waited > most {
			c.t.Errorf("taken over %v after the last renewal was committed, want %v to %v", waited, least, most)
		}
	}
	c.t.Logf("%d kills; from the commit of the last renewal to that of the next claim: p50 %v, max %v", len(waits), waits[len(waits)/2], waits[len(waits)-1])
}

// span is when the command of a tenure ran, by its own account.
type span struct{ first, last time.Duration }

// checkBeats wants the commands of this many tenures, one after the other.
func (c *hosts) checkBeats(tenures int) {
	c.t.Helper()
	spans := map[int64]span{}
	for _, h := range c.hosts {
		for _, b := range h.beats() {
			s, known := spans[b.epoch]
			if !known {
				s.first = b.at
			}
			spans[b.epoch] = span{min(s.first, b.at), max(s.last, b.at)}
		}
	}
	epochs := slices.Sorted(maps.Keys(spans))
	spare := leaseTTL
	for i := 1; i < len(epochs); i++ {
		before, after := spans[epochs[i-1]], spans[epochs[i]]
		if after.first <= before.last {
			c.t.Errorf("the command of epoch %d began %v before that of epoch %d ended", epochs[i], before.last-after.first, epochs[i-1])
		}
		spare = min(spare, after.first-before.last)
	}
	if len(epochs) != tenures {
		c.t.Errorf("commands ran in %d tenures, want %d\n%s", len(epochs), tenures, c.logs())
	}
	c.t.Logf("commands of %d tenures; the least time between two: %v, which is %.0f %% of the TTL", len(epochs), spare, 100*float64(spare)/float64(leaseTTL))
}

// hosts are machines with a seeded profile, in which leader is a lease.
type hosts struct {
	t      *testing.T
	server *endpoint.Server
	store  *drp.Store
	dir    string
	hosts  []*host

	mu      sync.Mutex
	slot    heldSlot // leader/1
	changed chan struct{}
}

// heldSlot is a slot as it was committed last. Moments are of CLOCK_BOOTTIME.
type heldSlot struct {
	profile.Slot
	at           time.Duration // of the last claim or renewal
	since        time.Duration // of the claim
	before       time.Duration // of the last renewal of the tenure before
	beforeHolder string
}

// host is one machine.
type host struct {
	of      *hosts
	uuid    string
	home    string
	environ []string             // beside the usual
	started map[string]*exec.Cmd // the last one of each name
}

func newHosts(t *testing.T, compat string, n int) *hosts {
	t.Helper()
	server, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: compat})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	client, err := drp.New(drp.Config{Endpoint: server.URL(), Fingerprint: server.Fingerprint()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c := &hosts{t: t, server: server, store: client.Profile("alpha", drp.Basic(endpoint.DefaultUser, endpoint.DefaultPassword)), changed: make(chan struct{})}
	if c.dir, err = os.MkdirTemp("", "hosts"); err != nil { // short enough for a socket
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(c.dir) })
	c.furnish(n)
	server.OnCommit(c.take)
	return c
}

// furnish seeds the profile, and makes the machines and their hosts' files.
func (c *hosts) furnish(n int) {
	c.t.Helper()
	for i := range n {
		c.hosts = append(c.hosts, &host{of: c, uuid: fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1), home: filepath.Join(c.dir, fmt.Sprintf("n%d", i+1)), started: map[string]*exec.Cmd{}})
	}
	seed := profile.Seed{Profile: "alpha", Leaders: 1, Options: map[string]profile.RoleOptions{profile.Leader: {TTL: leaseTTL.String()}}}
	for _, h := range c.hosts {
		seed.Members = append(seed.Members, h.uuid)
	}
	params, err := seed.Params()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.store.Create(c.t.Context(), "made by a test", params); err != nil {
		c.t.Fatal(err)
	}
	c.write(filepath.Join(c.dir, "ca.pem"), string(c.server.CertPEM()))
	for _, h := range c.hosts {
		c.post("machines", map[string]any{"Name": filepath.Base(h.home), "Uuid": h.uuid, "Profiles": []string{"alpha"}})
		token, err := c.server.ProfileToken(h.uuid, "alpha", time.Hour)
		if err != nil {
			c.t.Fatal(err)
		}
		c.write(filepath.Join(h.home, "machine-id"), fmt.Sprintf("%032s\n", h.uuid[24:]))
		c.write(filepath.Join(h.home, "profile.token"), token)
		c.write(filepath.Join(h.home, "muster.yaml"), fmt.Sprintf("endpoint: %s\nprofile: alpha\nuuid: %s\nname: %s\nca_file: %s\nprofile_token_file: %s\nstate_dir: %s\nsocket: %s\n",
			c.server.URL(), h.uuid, filepath.Base(h.home), filepath.Join(c.dir, "ca.pem"), filepath.Join(h.home, "profile.token"), filepath.Join(h.home, "state"), filepath.Join(h.home, "sock")))
	}
}

func (c *hosts) write(file, text string) {
	c.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// post makes an object, as an administrator.
func (c *hosts) post(prefix string, object map[string]any) {
	c.t.Helper()
	c.admin("POST", prefix, object)
}

// admin makes one request with the powers of an administrator, and returns the
// answer.
func (c *hosts) admin(method, path string, body any) []byte {
	c.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.server.URL()+"/api/v3/"+path, bytes.NewReader(raw))
	if err != nil {
		c.t.Fatal(err)
	}
	req.SetBasicAuth(endpoint.DefaultUser, endpoint.DefaultPassword)
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		c.t.Fatalf("%s %s: status %d: %s (%v)", method, path, resp.StatusCode, answer, err)
	}
	return answer
}

// take notes the slot leader/1 of a commit.
func (c *hosts) take(commit endpoint.Commit) {
	var object struct{ Params profile.Params }
	if commit.Prefix != "profiles" || json.Unmarshal(commit.Object, &object) != nil {
		return
	}
	slots, err := (&profile.Document{Params: object.Params}).Slots()
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now, was := slots[profile.Leader]["1"], c.slot
	c.slot.Slot = now
	if now.Instance != was.Instance || now.Epoch != was.Epoch {
		c.slot.since, c.slot.before, c.slot.beforeHolder = commit.Boottime, was.at, was.Holder
	}
	if now.Renewal != was.Renewal {
		c.slot.at = commit.Boottime
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits until the slot is as wanted.
func (c *hosts) await(what string, wanted func(profile.Slot) bool) heldSlot {
	c.t.Helper()
	late := time.After(patience)
	for {
		c.mu.Lock()
		slot, changed := c.slot, c.changed
		c.mu.Unlock()
		if wanted(slot.Slot) {
			return slot
		}
		select {
		case <-changed:
		case <-late:
			c.t.Fatalf("not within %s: %s; the slot is %+v\n%s", patience, what, slot, c.logs())
		}
	}
}

// logs are what the processes said.
func (c *hosts) logs() string {
	var all string
	for _, h := range c.hosts {
		for _, name := range []string{"agent.log", "lead.log"} {
			raw, _ := os.ReadFile(filepath.Join(h.home, name))
			all += filepath.Join(filepath.Base(h.home), name) + ":\n" + string(raw)
		}
	}
	return all
}

func (c *hosts) host(uuid string) *host {
	i := slices.IndexFunc(c.hosts, func(h *host) bool { return h.uuid == uuid })
	if i < 0 {
		c.t.Fatalf("no host has the UUID %q", uuid)
	}
	return c.hosts[i]
}

// command is muster on this host.
func (h *host) command(args ...string) *exec.Cmd {
	h.of.t.Helper()
	path, err := exec.LookPath("muster")
	if err != nil {
		h.of.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = h.home
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "NO_PROXY=*", "MUSTER_CONFIG=" + filepath.Join(h.home, "muster.yaml"),
		"HOST_SYS=" + filepath.Join(h.home, "sys"), "HOST_ETC=" + h.home, "GORACE=atexit_sleep_ms=0",
	}
	cmd.Env = append(cmd.Env, h.environ...)
	return cmd
}

// start starts the agent, and `muster lead` with a command that says when it
// runs.
func (h *host) start() {
	h.of.t.Helper()
	h.startAgent()
	h.begin("lead", "lead", profile.Leader, "--", "beat", filepath.Join(h.home, "beats"))
}

// startAgent starts the agent and returns once it has joined.
func (h *host) startAgent() {
	h.of.t.Helper()
	socket := filepath.Join(h.home, "sock")
	os.Remove(socket) // what is left of an agent that was killed
	h.begin("agent", "agent")
	for late := time.After(patience); ; {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-late:
			h.of.t.Fatalf("the agent does not join within %s:\n%s", patience, h.of.logs())
		}
	}
}

// begin starts a muster, which is killed when the test ends.
func (h *host) begin(name string, args ...string) {
	h.of.t.Helper()
	log, err := os.OpenFile(filepath.Join(h.home, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		h.of.t.Fatal(err)
	}
	defer log.Close()
	cmd := h.command(args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		h.of.t.Fatal(err)
	}
	h.started[name] = cmd
	h.of.t.Cleanup(func() { h.kill(name) })
}

// kill ends what was started under this name by SIGKILL, if it has not ended.
func (h *host) kill(name string) {
	cmd := h.started[name]
	cmd.Process.Kill()
	cmd.Wait()
}

// beatEvery is how often the command of a tenure says that it runs.
const beatEvery = 5 * time.Millisecond

// beat is that command: it notes its epoch and CLOCK_BOOTTIME in a file until it
// is killed.
func beat() {
	signal.Ignore(syscall.SIGTERM)
	f, err := os.OpenFile(os.Args[1], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	for err == nil {
		_, err = fmt.Fprintf(f, "%s %d\n", os.Getenv("MUSTER_EPOCH"), boottime.Now())
		time.Sleep(beatEvery)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// noted is one line of it.
type noted struct {
	epoch int64
	at    time.Duration
}

func (h *host) beats() []noted {
	raw, _ := os.ReadFile(filepath.Join(h.home, "beats")) // none yet
	var list []noted
	for line := range strings.Lines(string(raw)) {
		var b noted
		if _, err := fmt.Sscanf(line, "%d %d\n", &b.epoch, &b.at); err == nil {
			list = append(list, b)
		}
	}
	return list
}

// awaitBeat waits until the command of a tenure runs.
func (h *host) awaitBeat(epoch int64) {
	h.of.t.Helper()
	for late := time.After(patience); ; {
		if list := h.beats(); len(list) > 0 && list[len(list)-1].epoch == epoch {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-late:
			h.of.t.Fatalf("no command runs under epoch %d within %s:\n%s", epoch, patience, h.of.logs())
		}
	}
}

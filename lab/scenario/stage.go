package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"muster/lab"
)

// maxSocketPath is how long the path of a Unix socket may be.
const maxSocketPath = 103

// stage is an endpoint with the cluster profile, its machines and their hosts.
type stage struct {
	cfg      Config
	s        *Scenario
	dir      string
	site     site
	operator *lab.Operator
	print    string // fingerprint of the endpoint's certificate
	world    *world
	witness  *witness
	procs    *lab.Processes
	hosts    map[string]*host // by member
	lost     func(error)      // ends the run
	labels   map[string][]string
	watchers sync.WaitGroup // of processes
	closing  atomic.Bool
	planted  bool     // the profile is there
	made     []string // workflows
}

// open sets everything up, and starts nothing yet. Close the stage in any case.
func (st *stage) open(ctx context.Context) (err error) {
	if st.dir, err = os.MkdirTemp("", "muster-run-"); err != nil {
		return err
	}
	if err := st.roomForSockets(); err != nil {
		return err
	}
	if err := os.WriteFile(st.operatorConfig(), []byte("log_level: warn\n"), 0o600); err != nil {
		return err
	}
	if st.cfg.Operator != nil {
		st.site = newForeign(st.cfg.Operator)
	} else if st.site, err = newEmbedded(st.cfg.Compat); err != nil {
		return err
	}
	st.operator = st.site.operator()
	if st.print, err = st.operator.Fingerprint(ctx); err != nil {
		return err
	}
	if err := st.machines(ctx); err != nil {
		return err
	}
	if err := st.muster(ctx, st.seedWords()...); err != nil {
		return err
	}
	st.world.start = time.Now()
	if st.witness, err = openWitness(filepath.Join(st.dir, "witness"), st.world, func() { st.site.drain(ctx) }); err != nil {
		return err
	}
	for _, h := range st.hosts {
		if err := st.equip(ctx, h); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	if err := st.startWorkflow(ctx, st.s.Round.Workflow); err != nil { // making tokens may take a workflow of its own
		return err
	}
	return st.site.watch(ctx, st.world.takeProfile)
}

// roomForSockets refuses a directory whose path leaves none for a member's socket.
func (st *stage) roomForSockets() error {
	for _, m := range st.s.Members {
		if socket := filepath.Join(st.dir, m, "sock"); len(socket) > maxSocketPath {
			return fmt.Errorf("%w: expected a shorter path than %s, which is too long for a socket: set TMPDIR, or name the member otherwise", ErrInvalid, socket)
		}
	}
	return nil
}

// machines makes the profile, the workflows and the machines.
func (st *stage) machines(ctx context.Context) error {
	if _, err := st.operator.EnsureProfile(ctx, st.site.profile()); err != nil {
		return err
	}
	st.planted = true
	for _, w := range st.s.Workflows {
		if err := st.operator.AddWorkflow(ctx, w, st.work(w)); err != nil {
			return err
		}
		st.made = append(st.made, w)
	}
	st.world.names = map[string]string{}
	for _, name := range st.s.Members {
		m, err := st.operator.AddMachine(ctx, name, "", []string{st.site.profile()}, nil)
		if err != nil {
			return err
		}
		st.world.names[m.UUID] = name
		st.hosts[name] = &host{stage: st, name: name, uuid: m.UUID, home: filepath.Join(st.dir, name)}
	}
	return nil
}

// work is the task of a workflow, which has a name of its own: what is removed at the end
// is nobody else's.
func (st *stage) work(workflow string) string { return st.site.profile() + "-" + workflow }

// seedWords are the words by which `muster seed` plants the profile.
func (st *stage) seedWords() []string {
	leader := st.s.Roles[0]
	words := []string{"seed", "--leaders", strconv.Itoa(leader.Slots)}
	if leader.TTL != "" {
		words = append(words, "--leader-ttl", leader.TTL)
	}
	for _, r := range st.s.Roles[1:] {
		word := fmt.Sprintf("%s=%d", r.Name, r.Slots)
		if r.TTL != "" {
			word += ",ttl=" + r.TTL
		}
		if r.OnDemand {
			word += ",on-demand"
		}
		words = append(words, "--role", word)
	}
	return append(words, st.s.Round.words()...)
}

// words are the flags of `muster seed` and `muster round` for a round.
func (r Round) words() []string {
	var words []string
	if r.Workflow != "" {
		words = append(words, "--workflow", r.Workflow)
	}
	if r.FailFast {
		words = append(words, "--fail-fast")
	}
	if r.Deadline > 0 {
		words = append(words, "--deadline", r.Deadline.String())
	}
	if r.AllowMissing != "" {
		words = append(words, "--allow-missing", r.AllowMissing)
	}
	if r.Force {
		words = append(words, "--force")
	}
	return words
}

func (st *stage) operatorConfig() string { return filepath.Join(st.dir, "operator.yaml") }

// muster runs a command of muster as the operator.
func (st *stage) muster(ctx context.Context, words ...string) error {
	cmd := exec.CommandContext(ctx, st.cfg.Muster, words...)
	cmd.Env = append(lab.CleanEnv(), "MUSTER_CONFIG="+st.operatorConfig(), "MUSTER_PROFILE="+st.site.profile(), "MUSTER_FINGERPRINT="+st.print)
	cmd.Env = append(cmd.Env, st.operator.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("muster %s: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// startWorkflow starts a workflow on every machine, if it has a name.
func (st *stage) startWorkflow(ctx context.Context, workflow string) error {
	if workflow == "" {
		return nil
	}
	for _, name := range st.s.Members {
		if _, err := st.operator.StartWorkflow(ctx, workflow, st.hosts[name].uuid); err != nil {
			return err
		}
	}
	return nil
}

// equip opens the host's way to the endpoint, and writes what is on it.
func (st *stage) equip(ctx context.Context, h *host) error {
	to, err := url.Parse(st.site.url())
	if err != nil {
		return err
	}
	address := to.Host
	if to.Port() == "" {
		address += ":443"
	}
	if h.line, err = openLine(address); err != nil {
		return err
	}
	if err := os.MkdirAll(h.at("steps.d"), 0o700); err != nil {
		return err
	}
	if err := h.writeTokens(ctx); err != nil {
		return err
	}
	config := fmt.Sprintf("endpoint: %s\nfingerprint: %s\nprofile: %s\nuuid: %s\nprofile_token_file: %s\nmachine_token_file: %s\nstate_dir: %s\nsocket: %s\nsteps_dir: %s\nroot_socket: %s\n",
		h.line.url(), st.print, st.site.profile(), h.uuid, h.at("profile.token"), h.at("machine.token"), h.at("state"), h.socket(), h.at("steps.d"), h.at("root"))
	if err := os.WriteFile(h.at("muster.yaml"), []byte(config), 0o600); err != nil {
		return err
	}
	for i, s := range st.s.Steps {
		if s.byHand() {
			continue
		}
		raw, err := h.stepFile(s)
		if err == nil {
			err = os.WriteFile(filepath.Join(h.at("steps.d"), fmt.Sprintf("%03d-%s.yaml", i, s.Name)), raw, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// close ends all processes and takes everything down again.
func (st *stage) close() error {
	st.closing.Store(true)
	for _, h := range st.hosts {
		h.kill()
	}
	cut(st.dir)
	st.procs.Stop()
	st.watchers.Wait()
	if st.witness != nil {
		st.witness.close()
	}
	for _, h := range st.hosts {
		if h.line != nil {
			h.line.close()
		}
	}
	var err error
	if st.site != nil {
		err = st.site.close(st)
	}
	return errors.Join(err, os.RemoveAll(st.dir))
}

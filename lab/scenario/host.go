package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"gopkg.in/yaml.v2"

	"muster/lab"
	"muster/profile"
)

// host is what one member runs on.
type host struct {
	*stage
	name, uuid string
	home       string
	line       *line
	agent      *lab.Process // nil before the first start
	asked      *atomic.Bool // whether its agent was told to end
}

func (h *host) at(file string) string { return filepath.Join(h.home, file) }
func (h *host) socket() string        { return h.at("sock") }

func (h *host) env() []string {
	path := filepath.Dir(h.cfg.Muster) + string(os.PathListSeparator) + os.Getenv("PATH") // commands of steps may call muster
	return append(lab.CleanEnv(), "MUSTER_CONFIG="+h.at("muster.yaml"), "MUSTER_SOCKET="+h.socket(), "PATH="+path)
}

// writeTokens has the host's tokens made, and writes them.
func (h *host) writeTokens(ctx context.Context) error {
	shared, own, err := h.site.tokens(ctx, h.uuid)
	if err != nil {
		return err
	}
	for file, token := range map[string]string{"profile.token": shared, "machine.token": own} {
		next := h.at(file + ".new")
		if err := errors.Join(os.WriteFile(next, []byte(token+"\n"), 0o600), os.Rename(next, h.at(file))); err != nil {
			return err
		}
	}
	return nil
}

// stepFile is a step as a file of the host.
func (h *host) stepFile(s Step) ([]byte, error) {
	keys := yaml.MapSlice{{Key: "name", Value: s.Name}}
	add := func(key string, value any, given bool) {
		if given {
			keys = append(keys, yaml.MapItem{Key: key, Value: value})
		}
	}
	add("after", s.After, len(s.After) > 0)
	add("role", s.Role, s.Role != "")
	add("limit", s.Limit.String(), s.Limit > 0)
	add("timeout", s.Timeout.String(), s.Timeout > 0)
	add("workflow", s.Workflow, s.Workflow != "")
	add("command", h.body(s), s.Workflow == "")
	return yaml.Marshal(keys)
}

// body is the command of a step: it lets itself be seen, and then does what it is to.
func (h *host) body(s Step) []string {
	words := []string{h.cfg.Lab, "body", "--socket", filepath.Join(h.dir, "witness"), "--step", s.Name, "--member", h.name}
	if len(s.Command) > 0 {
		return append(append(words, "--"), s.Command...)
	}
	if s.Takes > 0 {
		words = append(words, "--takes", s.Takes.String())
	}
	if slices.Contains(h.resolve(s.Fails), h.name) {
		words = append(words, "--exit", "1")
	}
	return words
}

// start starts the agent. One that ends unasked ends the run.
func (h *host) start() error {
	_ = os.Remove(h.socket()) // of an agent that was killed: its appearing is the sign of the next
	proc, err := h.procs.Start(h.home, "agent", h.env(), h.cfg.Muster, "agent")
	if err != nil {
		return err
	}
	asked := &atomic.Bool{}
	h.agent, h.asked = proc, asked
	h.watchers.Go(func() {
		if <-proc.Ended(); !asked.Load() {
			h.lost(fmt.Errorf("%w, though nothing told it to", proc.Fault()))
		}
	})
	return nil
}

func (h *host) runs() bool {
	if h.agent == nil {
		return false
	}
	select {
	case <-h.agent.Ended():
		return false
	default:
		return true
	}
}

// stopTime bounds how long an agent may take to end once it is told to.
const stopTime = time.Minute

// stop tells the agent to end, and waits for it.
func (h *host) stop(ctx context.Context) error {
	if !h.runs() {
		return nil
	}
	h.asked.Store(true)
	h.agent.Terminate()
	ctx, cancel := context.WithTimeoutCause(ctx, stopTime, fmt.Errorf("the agent did not end within %s of being told to", stopTime))
	defer cancel()
	return h.agent.Wait(ctx)
}

// kill ends every process of the host at one moment, as the loss of power does.
func (h *host) kill() {
	if h.agent == nil {
		return
	}
	h.asked.Store(true)
	cut(h.home)
	<-h.agent.Ended() // so that nothing takes it for one that runs
}

// joinTime bounds how long an agent may take to join.
const joinTime = time.Minute

// awaitSocket waits until the agent has joined.
func (h *host) awaitSocket(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, joinTime, fmt.Errorf("its agent has not joined within %s", joinTime))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if !h.runs() {
			return errors.New("its agent does not run; restart it before")
		}
		if _, err := os.Stat(h.socket()); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// seeTime bounds how long agents may take to see that their machines' workflows run.
const seeTime = 20 * time.Second

// awaitRuns waits until every agent that can see its machine has seen that the workflow
// of the present round runs there: workflows take a while, and one that is over before
// anybody saw it counts for no round.
func (st *stage) awaitRuns(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, seeTime)
	defer cancel()
	var round string
	st.world.do(func(s *state) { round = s.id })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, h := range st.hosts {
		for h.runs() && h.line.clear() && h.sawRun() != round {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// sawRun is the id of the round of the last run that the agent has seen, by the
// member's own journal.
func (h *host) sawRun() string {
	var seen profile.Run
	if raw, err := os.ReadFile(h.at("state/run.json")); err != nil || json.Unmarshal(raw, &seen) != nil {
		return ""
	}
	return seen.RoundID
}

// run starts a step that the timeline runs. How it ends is seen, not waited for.
func (h *host) run(ctx context.Context, s Step) error {
	if err := h.awaitSocket(ctx); err != nil {
		return err
	}
	words := []string{"lead", s.Lead}
	if s.AtOnce != "" {
		words = []string{"step", s.Name, "--at-once", s.AtOnce, "--max-failures", strconv.Itoa(s.MaxFailures)}
	}
	proc, err := h.procs.Start(h.home, "step-"+s.Name, h.env(), h.cfg.Muster, append(append(words, "--"), h.body(s)...)...)
	if err != nil {
		return err
	}
	h.watchers.Go(func() {
		if <-proc.Ended(); !h.closing.Load() {
			h.world.told("%s: muster %s %s", h.name, words[0], proc.Outcome())
		}
	})
	return nil
}

// cut kills all processes whose configuration lies below a directory. They are
// stopped before, so that none can start another, or see another end.
func cut(dir string) {
	stopped := map[int]bool{}
	for before := -1; before < len(stopped); {
		before = len(stopped)
		for _, pid := range processesOf(dir) {
			if !stopped[pid] {
				stopped[pid] = true
				_ = syscall.Kill(pid, syscall.SIGSTOP) // it may have ended just now
			}
		}
	}
	for pid := range stopped {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// processesOf finds the processes whose environment names a configuration below a
// directory.
func processesOf(dir string) []int {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, file := range environs {
		raw, err := os.ReadFile(file)
		if err != nil || !strings.Contains("\x00"+string(raw), "\x00MUSTER_CONFIG="+dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

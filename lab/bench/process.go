package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"muster/agent"
	"muster/coordinator"
	"muster/internal/backoff"
	"muster/lab"
)

// process is a member that is `muster agent` in a process of its own.
type process struct {
	name    string
	home    lab.Home
	members int    // of the cluster
	program string // a muster
	procs   *lab.Processes

	proc   *lab.Process // once started, as all below
	client *agent.Client
	last   string // what it had counted when it was killed
	killed atomic.Bool
}

func (s *stage) newProcess(own, shared, uuid, name string) (*process, error) {
	p := &process{name: name, home: lab.Home(s.homeOf(name)), members: s.cfg.Members, program: s.cfg.Muster, procs: s.procs}
	return p, p.home.Furnish(lab.Place{
		Endpoint: s.url, CAFile: s.caFile, Insecure: s.insecure, Profile: s.name, UUID: uuid, ProfileToken: shared, MachineToken: own,
	})
}

func (p *process) called() string { return p.name }

// join returns when the agent answers on its socket, which it does once it has
// joined.
func (p *process) join(ctx context.Context) (err error) {
	if p.proc, err = p.procs.Start(string(p.home), "agent", p.home.Env(), p.program, "agent"); err != nil {
		return err
	}
	for {
		if p.client, err = agent.Dial(p.home.Socket()); err == nil {
			return nil
		}
		select {
		case <-p.proc.Ended():
			return p.proc.Fault()
		default:
		}
		if err := backoff.Sleep(ctx, looksLeast/5); err != nil {
			return err
		}
	}
}

func (p *process) run(ctx context.Context) error {
	select {
	case <-p.proc.Ended():
		if !p.killed.Load() {
			return p.proc.Fault()
		}
		<-ctx.Done()
	case <-ctx.Done():
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errOver) {
		return cause
	}
	return nil
}

// kill ends the process as a host that loses its power would. Its last metrics stay.
func (p *process) kill(ctx context.Context) (err error) {
	p.last, err = p.metrics(ctx)
	p.killed.Store(true)
	p.proc.Signal(syscall.SIGKILL)
	return err
}

// sees has the agent read the profile, at the pace of a member in this process.
func (p *process) sees(ctx context.Context, leaders int) error {
	first := sighting{at: time.Now()}
	for {
		d, err := p.client.Read(ctx)
		if err != nil {
			return err
		}
		now := sightingOf(d, p.members)
		if now.joined == p.members && held(d) >= leaders {
			return nil
		}
		if err := backoff.Sleep(ctx, first.next(now, p.members)); err != nil {
			return err
		}
	}
}

func (p *process) wait(ctx context.Context) (coordinator.Outcome, error) {
	return p.client.Wait(ctx, agent.Waiting{}, nil)
}

func (p *process) metrics(ctx context.Context) (string, error) {
	if p.proc == nil || p.killed.Load() {
		return p.last, nil
	}
	var d net.Dialer
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", p.home.Socket())
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the agent answers with %s", resp.Status)
	}
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func (p *process) usage() usage {
	if p.proc == nil || p.killed.Load() {
		return usage{}
	}
	return usageOf(strconv.Itoa(p.proc.PID()))
}

func (p *process) close() {}

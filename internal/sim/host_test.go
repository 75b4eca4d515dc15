package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/agent"
	"muster/coordinator"
	"muster/profile"
	"muster/profile/memory"
)

var (
	errKilled = errors.New("killed by the simulation")
	errOver   = errors.New("the simulation is over")
)

// host is one machine: its runner, its state directory and the process of its
// agent, which lives again and again.
type host struct {
	world   *world
	uuid    string
	rate    float64 // of its clock
	machine *memory.Machine
	jobs    int

	mu     sync.Mutex // guards what follows
	state  profile.State
	run    profile.Run
	disk   int            // how many disks the machine has had: each is an agent's life
	births map[string]int // id of a life → the disk that it was born on
	turns  map[point]turn
	resume time.Time          // the process is stopped until then
	window map[kind]time.Time // until when calls are cut
	life   *life
}

// life is one process of a host's agent.
type life struct {
	*host
	ctx    context.Context
	cancel context.CancelCauseFunc
	killed chan struct{}

	view   *profile.View
	member *profile.Member
	peer   *agent.Peer
	pauses []span        // when the process was stopped
	died   time.Duration // when it was killed, or 0
}

// supervise starts the agent whenever it is not there, as an init system would.
func (h *host) supervise(ctx context.Context, random *rand.Rand) {
	time.Sleep(between(random, 0, 20*time.Second))
	for ctx.Err() == nil {
		l := &life{host: h, killed: make(chan struct{})}
		l.ctx, l.cancel = context.WithCancelCause(ctx)
		h.mu.Lock()
		h.life, h.resume = l, time.Time{} // a process that was stopped is another
		h.mu.Unlock()
		ended := make(chan error, 1)
		h.world.procs.Go(func() { ended <- l.live() })
		select {
		case err := <-ended:
			h.world.ended(h, err)
		case <-l.killed:
		}
		l.cancel(errKilled)
		time.Sleep(between(random, time.Millisecond, 2*h.world.ttl))
	}
}

// live is the agent from its start, as agent.Agent does it.
func (l *life) live() error {
	var first coordinator.Found
	var err error
	for wait := time.Second; ; wait = min(2*wait, 5*time.Second) {
		if first, err = l.join(); !errors.Is(err, profile.ErrUnavailable) && !errors.Is(err, profile.ErrNotSeeded) {
			break
		}
		time.Sleep(wait)
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
	}
	if err != nil {
		return err
	}
	peer := agent.NewPeer(agent.PeerConfig{
		Member: l.member, Store: way{l}, View: l.view, Machine: ownMachine{l}, First: first,
		Runs: journal{l}, Logger: hclog.NewNullLogger(), Clock: l.clock(), Random: l.random,
	})
	l.mu.Lock()
	l.peer = peer
	l.mu.Unlock()
	l.work(peer)
	return peer.Run(l.ctx)
}

func (l *life) join() (first coordinator.Found, err error) {
	l.mu.Lock()
	state := l.state
	l.mu.Unlock()
	d, err := profile.ReadToJoin(l.ctx, way{l}, cluster, state)
	if err == nil {
		err = d.Check()
	}
	if err != nil {
		return first, err
	}
	first.Known = coordinator.RoundID(d)
	l.view = profile.NewView(d)
	ids := l.source("ids")
	member := profile.NewMember(profile.MemberConfig{
		Store: way{l}, View: l.view, Journal: journal{l}, State: state, Random: l.random,
		NewID: func() string {
			l.mu.Lock()
			defer l.mu.Unlock()
			return fmt.Sprintf("%016x%016x", ids.Uint64(), ids.Uint64())
		},
	})
	l.mu.Lock()
	l.member = member
	l.mu.Unlock()
	if first.Machine, err = (ownMachine{l}).Read(l.ctx); err != nil {
		return first, err
	}
	_, err = l.member.Join(l.ctx, profile.Joining{Name: "host " + l.uuid, Address: "10.0.0.1", Version: "v1", Hardware: "hardware of " + l.uuid})
	_, n := l.view.Latest()
	first.Later = n > 1 // it was written, and the answer is the second state
	return first, err
}

// leads returns the slot of role that the host leads, or "".
func (h *host) leads(role string) string {
	h.mu.Lock()
	l := h.life
	var peer *agent.Peer
	if l != nil {
		peer = l.peer
	}
	h.mu.Unlock()
	if peer == nil {
		return ""
	}
	now, cancel := context.WithCancel(l.ctx)
	cancel()
	led, err := peer.Elector.Await(now, role)
	if err != nil {
		return ""
	}
	return led.Tenure().Slot
}

// turn counts the uses that a host makes of something at one moment.
type turn struct {
	at time.Duration
	n  int
}

// source returns random numbers that depend on the seed, the host, the use and
// the moment, and on nothing else: what one goroutine draws changes nothing for
// another, whichever runs first.
func (h *host) source(use point) *rand.Rand {
	now := time.Since(h.world.began)
	h.mu.Lock()
	t := h.turns[use]
	if t.at != now {
		t = turn{at: now}
	}
	t.n++
	h.turns[use] = t
	h.mu.Unlock()
	return h.world.at(now, fmt.Sprint(h.uuid, "/", use, "/", t.n))
}

// random is what the agent draws from [0, 1): for one use at one moment always
// the same, since how often a loop turns at one moment is not the seed's to say.
func (h *host) random() float64 {
	return h.world.at(time.Since(h.world.began), fmt.Sprint(h.uuid, "/", stacks.of("random"))).Float64()
}

// stopped blocks while the process is stopped: nothing that it does goes on,
// and it is late for everything.
func (l *life) stopped() {
	var late time.Duration // so that not everything that was stopped goes on at one moment
	for {
		l.mu.Lock()
		left := time.Until(l.resume)
		gone := l.host.life != l
		l.mu.Unlock()
		if left <= 0 || gone {
			return
		}
		if late == 0 {
			late = between(l.source("stopped"), time.Nanosecond, time.Millisecond)
		}
		time.Sleep(left + late)
	}
}

// dead reports whether the process is gone: what is left of it here has no
// effect any more.
func (l *life) dead() bool {
	select {
	case <-l.killed:
		return true
	default:
		return false
	}
}

// pause stops the process for a while; one that is stopped stays so at least
// that long.
func (l *life) pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.world.began)
	end := now + d
	if n := len(l.pauses); n > 0 && l.pauses[n-1].to > now {
		end = max(end, l.pauses[n-1].to)
		l.pauses[n-1].to = end
	} else {
		l.pauses = append(l.pauses, span{now, end})
	}
	if l.host.life == l {
		l.resume = l.world.began.Add(end)
	}
}

func (l *life) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dead() {
		l.died = time.Since(l.world.began)
		close(l.killed)
		l.cancel(errKilled)
	}
}

// journal is the state directory, as one process uses it. It implements
// profile.Journal and coordinator.RunJournal.
type journal struct{ *life }

func (j journal) Save(s profile.State) error {
	return j.keep("Save", func() {
		if _, known := j.births[s.Life]; !known {
			j.births[s.Life] = j.disk
		}
		j.state = s
	})
}

func (j journal) SaveRun(r profile.Run) error {
	return j.keep("SaveRun", func() { j.run = r })
}

func (j journal) keep(method string, write func()) error {
	end, ok := j.await(method)
	if !ok {
		return errKilled
	}
	j.mu.Lock()
	if !j.dead() {
		write()
	}
	j.mu.Unlock()
	if !end() {
		return errKilled
	}
	return nil
}

func (j journal) LoadRun() (profile.Run, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.run, nil
}

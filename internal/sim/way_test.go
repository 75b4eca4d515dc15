package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"muster/internal/backoff"
	"muster/profile"
	"muster/profile/memory"
)

// misfortune is what happens to a process at one call.
type misfortune struct {
	*life
	point
	kind
	random *rand.Rand
	fault  memory.Fault
}

// await is an await point at which nobody else is asked. The process may be
// stopped or killed before it, and by what it returns, after it; ok and end
// report whether it still lives.
func (l *life) await(method string) (end func() bool, ok bool) {
	m, ok := l.meet(method)
	return m.after, ok
}

// meet is the beginning of every await point.
func (l *life) meet(method string) (misfortune, bool) {
	m := misfortune{life: l, point: stacks.of(method)}
	m.alone("meet")
	l.stopped()
	if l.dead() {
		return m, false
	}
	m = l.choose(m.point)
	switch m.kind {
	case pauseBefore:
		l.pause(l.world.longPause(m.random))
	case killBefore:
		l.kill()
	}
	l.stopped()
	return m, !l.dead()
}

// alone gives a process the moment to itself: what begins and ends at one moment
// would go on in an order that the seed does not decide.
func (m misfortune) alone(why point) {
	time.Sleep(between(m.source(why+m.point), time.Nanosecond, time.Millisecond))
}

// after is the end of every await point.
func (m misfortune) after() bool {
	m.alone("after")
	m.stopped()
	switch m.kind {
	case pauseAfter:
		m.pause(m.world.longPause(m.random))
	case killAfter:
		m.kill()
	}
	m.stopped()
	return !m.dead()
}

// choose draws what happens at an await point: what this seed prefers, or
// something by chance, or what a window that is open does to every call.
func (l *life) choose(p point) misfortune {
	w := l.world
	random := l.source(p)
	m := misfortune{life: l, point: p, random: random}
	m.fault.Delay, m.fault.Late = between(random, 100*time.Microsecond, w.latency), between(random, 100*time.Microsecond, w.latency)
	w.tally.call(p)
	if w.isCalm() {
		return m
	}
	aim := w.wanted(p, random)
	if aim != nil {
		m.kind = aim.kind
	} else if random.Float64() < w.chance {
		if k := draw(random); k.hits(p) {
			m.kind = k
		}
	}
	if slices.Contains([]kind{restore, edit, foreign, jump}, m.kind) && !w.begin(m.kind) {
		m.kind = "" // it is under way
	}
	if m.kind != "" {
		if aim != nil {
			aim.met.Add(1)
		}
		w.tally.hit(m.kind, p, true)
	}
	switch m.kind {
	case cut, cutReads, cutWrites, cutReplies:
		l.cutFor(m.kind, between(random, time.Second, 4*w.ttl))
	case restore, edit, foreign, jump:
		w.procs.Go(func() { w.suffer(m.kind, random) })
	case refused:
		m.fault.Refuse = fmt.Errorf("%w: refused by the simulation", profile.ErrUnavailable)
	default:
		m.kind.memoryFault(random, &m.fault)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, until := range l.window {
		if time.Now().Before(until) && k.hits(p) {
			if k != m.kind {
				w.tally.hit(k, p, false)
			}
			m.fault.LoseRequest = m.fault.LoseRequest || k != cutReplies
			m.fault.LoseReply = m.fault.LoseReply || k == cutReplies
		}
	}
	w.happens(l.uuid, p, m.kind, m.fault)
	return m
}

func (l *life) cutFor(k kind, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window[k] = time.Now().Add(d)
}

// way is a process's way to the profile. It implements profile.Store.
type way struct{ *life }

func (w way) Read(ctx context.Context) (*profile.Document, error) {
	return through(w.life, "Read", profile.ErrUnavailable, func(s *memory.Store, _ memory.Fault) (*profile.Document, error) { return s.Read(ctx) })
}

func (w way) ReadParams(ctx context.Context, names ...string) (profile.Params, error) {
	return through(w.life, "ReadParams", profile.ErrUnavailable, func(s *memory.Store, _ memory.Fault) (profile.Params, error) { return s.ReadParams(ctx, names...) })
}

func (w way) Apply(ctx context.Context, c *profile.Change) (*profile.Document, error) {
	_, maker, _ := strings.Cut(string(stacks.of("Apply")), "@")
	w.world.tally.test(maker, c)
	return through(w.life, "Apply", profile.ErrUnknownOutcome, func(s *memory.Store, f memory.Fault) (*profile.Document, error) {
		return w.world.applied(s, ctx, c, f.Again > 0)
	})
}

func (w way) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	return through(w.life, "Changed", profile.ErrUnavailable, func(s *memory.Store, _ memory.Fault) (string, error) { return s.Changed(ctx, since, wait) })
}

func (w way) ReadChanged(ctx context.Context, since string, wait time.Duration) (*profile.Document, error) {
	return through(w.life, "ReadChanged", profile.ErrUnavailable, func(s *memory.Store, _ memory.Fault) (*profile.Document, error) {
		return s.ReadChanged(ctx, since, wait)
	})
}

// No process here has secure params.
func (w way) Secure(ctx context.Context, key string) (bool, error) {
	return w.world.Store(nil).Secure(ctx, key)
}

func (w way) Seal(ctx context.Context, value json.RawMessage) (json.RawMessage, error) {
	return w.world.Store(nil).Seal(ctx, value)
}

func (w way) ReadOpened(ctx context.Context, key string) (json.RawMessage, error) {
	return w.world.Store(nil).ReadOpened(ctx, key)
}

// through makes one call of the profile, with what happens to it. silence is
// what is known by a process that dies over it.
func through[T any](l *life, method string, silence error, call func(*memory.Store, memory.Fault) (T, error)) (T, error) {
	var none T
	m, alive := l.meet(method)
	if !alive {
		return none, fmt.Errorf("%w: %w", profile.ErrUnavailable, errKilled)
	}
	v, err := call(l.world.Store(func(memory.Call) memory.Fault { return m.fault }), m.fault)
	l.world.happens(l.uuid, m.point, "ends", err == nil)
	l.world.trace("%s %s: ends with %v", l.uuid, m.point, err)
	if !m.after() {
		return none, fmt.Errorf("%w: %w", silence, errKilled)
	}
	return v, err
}

// ownMachine is a process's way to its machine. It implements
// profile.MachineStore.
type ownMachine struct{ *life }

func (o ownMachine) Read(ctx context.Context) (profile.Machine, error) {
	return visit(ctx, o.life, "machine.Read", func() (profile.Machine, error) { return o.machine.Read(ctx) })
}

func (o ownMachine) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	return visit(ctx, o.life, "machine.Changed", func() (string, error) { return o.machine.Changed(ctx, since, wait) })
}

func (o ownMachine) Mark(ctx context.Context, leader bool) error {
	_, err := visit(ctx, o.life, "Mark", func() (bool, error) { return leader, o.machine.Mark(ctx, leader) })
	return err
}

// visit makes one call of the machine, with what happens to it.
func visit[T any](ctx context.Context, l *life, method string, call func() (T, error)) (T, error) {
	var none T
	m, alive := l.meet(method)
	if !alive {
		return none, fmt.Errorf("%w: %w", profile.ErrUnavailable, errKilled)
	}
	v, err := func() (T, error) {
		f := m.fault
		if f.Refuse != nil {
			return none, f.Refuse
		}
		if err := backoff.Sleep(ctx, min(f.Delay, memory.Timeout)); err != nil {
			return none, fmt.Errorf("%w: %w", profile.ErrUnavailable, err)
		}
		if f.LoseRequest || f.Delay > memory.Timeout {
			backoff.Sleep(ctx, memory.Timeout)
			return none, fmt.Errorf("%w: no answer", profile.ErrUnavailable)
		}
		v, err := call()
		if f.Again > 0 {
			call()
		}
		if f.LoseReply {
			backoff.Sleep(ctx, memory.Timeout)
			return none, fmt.Errorf("%w: no answer", profile.ErrUnavailable)
		}
		time.Sleep(f.Late)
		return v, err
	}()
	if !m.after() {
		return none, fmt.Errorf("%w: %w", profile.ErrUnavailable, errKilled)
	}
	return v, err
}

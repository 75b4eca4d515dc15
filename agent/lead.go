package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"muster/election"
	"muster/internal/backoff"
	"muster/internal/boottime"
	"muster/profile"
)

// whyEvery is how often a waiting command is told why it waits, if that changed,
// releaseWait how long one that has ended waits for its slot to be given back, and
// stopWait how long that still takes when the agent stops.
const (
	whyEvery    = 500 * time.Millisecond
	releaseWait = 10 * time.Second
	stopWait    = 3 * time.Second
)

// stickyRest is for how long after a start the slot of a sticky role is left to
// a command of before, which comes back within that time if it still runs.
const stickyRest = 10 * time.Second

// errGone means that the command's connection ended.
var errGone = errors.New("the command went away")

// serveLead turns the connection of a request into a stream of lines. ctx is the
// agent's.
func (a *Agent) serveLead(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	var ask LeadAsk
	if !asked(w, r, &ask) {
		return
	}
	if err := a.ensureRole(r.Context(), ask); err != nil {
		answer(w, nil, err)
		return
	}
	a.streams.Add(1)
	defer a.streams.Done()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		answer(w, nil, err)
		return
	}
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", leadProtocol) // a client that is gone is noticed by reading
	a.stream(ctx, conn, buffered.Reader, ask)
}

// Lead is Client.Lead for the process that is the member itself, inside Do with Config.OnDemand.
func (a *Agent) Lead(ctx context.Context, ask LeadAsk) (*Hold, error) {
	if err := a.ensureRole(ctx, ask); err != nil {
		return nil, err
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[0]), "hold")
	file := os.NewFile(uintptr(pair[1]), "member")
	conn, err := net.FileConn(file)
	file.Close() // the connection is a duplicate
	if err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	a.streams.Go(func() { a.stream(ctx, conn, conn, ask) })
	return newHold(theirs, theirs), nil
}

// stream is the member's side of one command that is to run under a slot.
type stream struct {
	agent *Agent
	ask   LeadAsk
	conn  net.Conn
	said  chan leadWord
	gone  context.Context // ends with the connection
}

// stream lets a command run under a slot, from its question to its end.
func (a *Agent) stream(ctx context.Context, conn net.Conn, in io.Reader, ask LeadAsk) {
	gone, leave := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &stream{agent: a, ask: ask, conn: conn, said: make(chan leadWord), gone: gone}
	var listening sync.WaitGroup
	waiting, stop := context.WithCancelCause(ctx)
	listening.Go(func() { s.listen(in, leave, stop) })
	defer listening.Wait()
	defer stop(nil)
	defer leave(nil)
	defer conn.Close()
	free, err := s.turn(waiting)
	if err != nil {
		return
	}
	defer free()
	withdraw := a.peer.Elector.Ask(ask.Role)
	l, use, err := s.await(waiting)
	switch {
	case err != nil:
		withdraw()
	case use == nil:
		s.send(LeadLine{Ended: "the slot is held under another tenure by now"})
		s.outlast(ctx)
		withdraw()
	default:
		s.hold(ctx, l, use, withdraw)
	}
}

// listen takes what the command says, until its connection ends. stop ends its
// waiting.
func (s *stream) listen(in io.Reader, leave, stop context.CancelCauseFunc) {
	for lines := json.NewDecoder(in); ; {
		var w leadWord
		if lines.Decode(&w) != nil {
			stop(errGone)
			leave(errGone)
			return
		}
		if w.Done {
			stop(errGone)
		}
		select {
		case s.said <- w:
		case <-s.gone.Done():
			return
		}
	}
}

// send says a line. Who does not take it is gone.
func (s *stream) send(l LeadLine) {
	s.conn.SetWriteDeadline(time.Now().Add(5 * time.Second)) // what follows fails if this does
	if json.NewEncoder(s.conn).Encode(l) != nil {
		s.conn.Close()
	}
}

// turn waits until no other command of this host runs under a slot of the role,
// nor may still run from before a restart, and returns what ends the turn.
func (s *stream) turn(ctx context.Context) (free func(), err error) {
	if err := s.rest(ctx); err != nil {
		return nil, err
	}
	turn := s.agent.turnOf(s.ask.Role)
	select {
	case turn <- struct{}{}:
	default:
		s.send(LeadLine{Why: "another command of this host has the role"})
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return func() { <-turn }, nil
}

func (a *Agent) turnOf(role string) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.turns[role] == nil {
		a.turns[role] = make(chan struct{}, 1)
	}
	return a.turns[role]
}

// rest leaves a slot that was held before this process began to the command
// that may still run under it: until that has come back or is dead.
func (s *stream) rest(ctx context.Context) error {
	a := s.agent
	d, _ := a.view.Latest()
	t, held := a.member.Tenure(d, s.ask.Role)
	if s.ask.Tenure != nil || !held || a.past[s.ask.Role] != t {
		return nil
	}
	rest := stickyRest
	if ttl, err := profile.ParseTTL(t.TTL); err == nil && ttl > 0 {
		rest = profile.ActFor(ttl)
	}
	if boottime.Now() < a.began+rest {
		s.send(LeadLine{Why: "a command from before the start of the agent may still run"})
	}
	return boottime.System.Until(ctx, a.began+rest)
}

// await blocks until the member leads, and begins a use of that, saying
// meanwhile why it waits. There is no use if the command runs already, under a
// tenure that is not led any more.
func (s *stream) await(ctx context.Context) (*election.Leadership, *election.Use, error) {
	ctx, cancel := context.WithCancel(ctx)
	var saying sync.WaitGroup
	defer saying.Wait()
	defer cancel()
	saying.Go(func() { s.explain(ctx) })
	for {
		l, err := s.agent.peer.Elector.Await(ctx, s.ask.Role)
		if err != nil {
			return nil, nil, err
		}
		t := l.Tenure()
		if past := s.ask.Tenure; past != nil && (past.Instance != t.Instance || past.Epoch != t.Epoch || past.Slot != t.Slot) {
			return l, nil, nil
		}
		if use, err := l.Use(); err == nil {
			return l, use, nil
		}
	}
}

// explain says why the slot is waited for, when that changes.
func (s *stream) explain(ctx context.Context) {
	said := ""
	for backoff.Sleep(ctx, whyEvery) == nil {
		for _, standing := range s.agent.peer.Elector.Standings() {
			if standing.Role == s.ask.Role && standing.Why != "" && standing.Why != said {
				said = standing.Why
				s.send(LeadLine{Why: said})
			}
		}
	}
}

// outlast waits until the command says that it has ended, or is gone.
func (s *stream) outlast(ctx context.Context) {
	for {
		select {
		case w := <-s.said:
			if w.Done {
				return
			}
		case <-s.gone.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// hold passes the deadlines on until the command has ended, and gives the slot
// back then.
func (s *stream) hold(ctx context.Context, l *election.Leadership, use *election.Use, withdraw func()) {
	t := l.Tenure()
	d, changed := l.Deadlines()
	s.send(LeadLine{Tenure: &t, Term: d.Term, Kill: d.Kill})
	over, stopping := l.Context().Done(), ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case <-changed:
			last := d
			if d, changed = l.Deadlines(); d != last {
				s.send(LeadLine{Tenure: &t, Term: d.Term, Kill: d.Kill})
			}
		case w := <-s.said:
			if w.Done {
				s.done(ctx, t, use, withdraw)
				return
			}
			use.Ack(w.Ack)
		case <-over:
			if over = nil; d.Kill == 0 && !displacing(context.Cause(l.Context())) && ctx.Err() != nil {
				return // the slot is kept, and the command comes back to the next agent
			}
			s.send(LeadLine{Ended: context.Cause(l.Context()).Error()})
		case <-stopping:
			stopping, late = nil, time.After(max(time.Second, d.Kill-boottime.Now()))
		case <-late:
			return
		case <-s.gone.Done():
			s.abandoned(ctx, l, use, withdraw)
			return
		}
	}
}

// displacing reports whether a cause means that this is not the member any more.
func displacing(cause error) bool {
	return errors.Is(cause, profile.ErrTwin) || errors.Is(cause, profile.ErrForgotten)
}

// done ends the use of a command that has ended, and says so once the slot is
// given back, if it is to be.
func (s *stream) done(ctx context.Context, t profile.Tenure, use *election.Use, withdraw func()) {
	use.Done()
	withdraw()
	late, stopping := time.NewTimer(releaseWait), ctx.Done()
	defer late.Stop()
	for {
		d, n := s.agent.view.Latest()
		now, held := s.agent.member.Tenure(d, t.Role)
		options, err := d.RoleOptions(t.Role)
		if !held || now != t || err != nil || !options.OnDemand {
			break
		}
		select {
		case <-s.agent.view.After(n):
			continue
		case <-stopping:
			stopping = nil
			late.Reset(stopWait)
			continue
		case <-s.gone.Done(): // nobody waits for it
		case <-late.C:
		}
		break
	}
	s.send(LeadLine{Released: true})
}

// abandoned deals with a command whose processes went without a word. A lease
// is left to lapse, and used again only when others would take it over. A
// sticky slot stays as it is.
func (s *stream) abandoned(ctx context.Context, l *election.Leadership, use *election.Use, withdraw func()) {
	t := l.Tenure()
	log := s.agent.log.With("role", t.Role, "slot", t.Slot)
	ttl, err := profile.ParseTTL(t.TTL)
	if err != nil || ttl == 0 {
		log.Warn("the command of a sticky slot went away without a word: the slot is kept until the agent is started again")
		backoff.Sleep(ctx, stickyRest) // for what may be left of the command
		return
	}
	log.Warn("the command of a lease went away without a word: the lease is left to lapse")
	select {
	case <-l.Context().Done():
	case <-ctx.Done():
	}
	d, _ := l.Deadlines()
	if boottime.System.Until(ctx, d.Kill+profile.TakeOverAfter(ttl)-profile.ActFor(ttl)) == nil {
		use.Done()
		withdraw()
	}
}

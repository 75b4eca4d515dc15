package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"muster/coordinator"
	"muster/facts"
	"muster/internal/backoff"
	"muster/internal/boottime"
	"muster/internal/metrics"
	"muster/internal/pulse"
	"muster/profile"
	"muster/steps"
)

// ErrUsage means that what was asked for makes no sense on this host.
var ErrUsage = errors.New("agent: usage")

// Config is what an Agent needs. Fields are required unless they say otherwise.
type Config struct {
	Profile string // name of the cluster profile
	UUID    string // of this host's DRP machine
	Name    string // of the member, if the machine cannot be read; "" takes the host name
	Store   profile.Store
	Machine profile.MachineStore // nil without a machine token
	// MachineToken is the file of the machine token, and Tokens makes new ones to
	// be written there; "" and nil leave it alone.
	MachineToken string
	Tokens       TokenSource
	StateDir     string
	Socket       string // path of the local socket; "" serves none
	Version      string // of the program
	NewLife      bool   // take the member's record over from whoever has it
	// Steps are those of this host, in order, which RunStep runs; nil for none.
	Steps   []steps.Step
	RunStep RunStep
	// AllowWorkflows are those that the profile may have this host start.
	AllowWorkflows []string
	// OnDemand competes for nothing that no command asks for.
	OnDemand bool
	// Brief is for a process that takes part for one command alone, by Do.
	Brief  bool
	Logger hclog.Logger
	// Metrics are those that others count; they are shown with the agent's own.
	Metrics *metrics.Set
	// Notify tells the service manager, in the words of sd_notify(3); nil tells
	// nobody. Watchdog is within which time it wants to be told that the agent
	// lives; 0 is never.
	Notify   func(state string)
	Watchdog time.Duration
}

// Agent is one machine's member of the cluster. Open makes it, Join takes part,
// Run works until told to stop, Close releases the state directory.
type Agent struct {
	cfg     Config
	log     hclog.Logger
	dir     *StateDir
	view    *profile.View
	member  *profile.Member
	machine profile.Machine // as read before joining
	peer    *Peer           // once joined
	renewal *renewal        // of the machine token
	board   *pulse.Board    // what the loops do
	clock   boottime.Clock  // on which leases are counted; nil is the host's, as in all but tests in simulated time
	health  health
	waited  atomic.Bool // a command has begun to wait
	lost    chan error  // why this is not the member any more, from a command's write

	steps   sync.Mutex    // guards the notes of steps
	renoted chan struct{} // closed and replaced when one changes

	mu      sync.Mutex
	trouble error                    // why the profile cannot be watched, or nil
	turns   map[string]chan struct{} // role → holds a token while a command has it

	streams sync.WaitGroup            // connections of commands that run under slots
	past    map[string]profile.Tenure // role → tenure of before this process joined
	began   time.Duration             // when it joined, on CLOCK_BOOTTIME
	joined  time.Time                 // the same on the wall clock

	reload  sync.Mutex // guards started
	started bool       // the service manager was told that the agent is ready
}

// Open locks the state directory. ErrLocked and ErrState say why it cannot be
// used. ErrLocked is also returned if another agent serves the socket.
func Open(cfg Config) (*Agent, error) {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	dir, err := OpenStateDir(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	// Before anything is written: joining could take the record over from the agent there.
	if err := unanswered(cfg.Socket); cfg.Socket != "" && err != nil {
		dir.Close()
		return nil, err
	}
	if cfg.Notify == nil {
		cfg.Notify = func(string) {}
	}
	a := &Agent{
		cfg: cfg, log: cfg.Logger, dir: dir, lost: make(chan error, 1), renoted: make(chan struct{}), turns: map[string]chan struct{}{},
		renewal: newRenewal(cfg.MachineToken, cfg.Tokens, cfg.Logger.Named("credentials"), random),
		board:   &pulse.Board{},
	}
	a.cfg.Store = observedStore{cfg.Store}
	if cfg.Machine != nil {
		a.cfg.Machine = observedMachine{cfg.Machine}
	}
	return a, nil
}

// Close releases the state directory. Call it after Run has returned.
func (a *Agent) Close() error { return a.dir.Close() }

// joinPoll is how often an agent that waits to join tries again, at most, and
// joinExtend how long the service manager is asked to wait for it meanwhile.
const (
	joinPoll   = 5 * time.Second
	joinExtend = 2 * time.Minute
)

// Join makes this machine a member. With wait it outlives an endpoint that
// cannot be reached or refuses every write as a conflict, a profile that is not
// seeded yet and, on a host that has joined before, a token that is refused and a
// profile that is not there, saying so; without, these are errors.
// Other errors are those of profile.Member.Join.
func (a *Agent) Join(ctx context.Context, wait bool) error {
	retry := backoff.New(joinPoll/5, joinPoll, random)
	said := ""
	for {
		err := a.join(ctx)
		if !wait || !a.passes(err) {
			return err
		}
		a.cfg.Notify(fmt.Sprintf("STATUS=waiting to join: %s\nEXTEND_TIMEOUT_USEC=%d", oneLine(err), joinExtend.Microseconds()))
		if text := err.Error(); text != said {
			a.log.Warn("waiting to join", "err", err)
			said = text
		}
		if err := backoff.Sleep(ctx, retry.Next()); err != nil {
			return err
		}
	}
}

// passes reports whether what keeps this machine from joining may pass by
// itself. A token that is refused and a profile that is not there do where they
// were good before: then the one has expired, and the other may be put back. On
// a host that never joined they are most likely the wrong ones.
func (a *Agent) passes(err error) bool {
	if errors.Is(err, profile.ErrRefused) || errors.Is(err, profile.ErrNotFound) {
		state, err := a.dir.Load()
		return err == nil && state.Instance != ""
	}
	return errors.Is(err, profile.ErrNotSeeded) || errors.Is(err, profile.ErrUnavailable) || errors.Is(err, profile.ErrConflict)
}

func (a *Agent) join(ctx context.Context) error {
	state, err := a.dir.Load()
	if err != nil {
		return err
	}
	if state.UUID != "" && state.UUID != a.cfg.UUID || state.Profile != "" && state.Profile != a.cfg.Profile {
		return fmt.Errorf("%w: %s belongs to machine %s in profile %q, but this is machine %s in profile %q: one cluster a host, one state directory a machine; name another directory, or remove this one",
			ErrState, a.cfg.StateDir, state.UUID, state.Profile, a.cfg.UUID, a.cfg.Profile)
	}
	state.UUID, state.Profile = a.cfg.UUID, a.cfg.Profile
	d, err := profile.ReadToJoin(ctx, a.cfg.Store, a.cfg.Profile, state)
	if err == nil {
		err = d.Check()
	}
	if err == nil {
		err = a.checkSteps(d)
	}
	if err != nil {
		return err
	}
	a.view = profile.NewView(d)
	a.member = profile.NewMember(profile.MemberConfig{Store: a.cfg.Store, View: a.view, Journal: a.dir, State: state, Board: a.board, Metrics: a.cfg.Metrics})
	joining, err := a.introduce(ctx, d)
	if err != nil {
		return err
	}
	before, n := a.view.Latest()
	d, err = a.member.Join(ctx, joining)
	if err != nil {
		return fmt.Errorf("join %q: %w", a.cfg.Profile, err)
	}
	_, now := a.view.Latest()
	first := coordinator.Found{Machine: a.machine, Known: coordinator.RoundID(before), Later: now > n}
	a.peer = NewPeer(PeerConfig{
		Member: a.member, Store: a.cfg.Store, View: a.view, Machine: a.cfg.Machine, First: first,
		Runs: a.dir, OnDemand: a.cfg.OnDemand, Brief: a.cfg.Brief, Logger: a.log, Trouble: a.watchTrouble, Looked: a.health.seen, Board: a.board, Clock: a.clock,
	})
	a.past, a.began, a.joined = a.member.State().Tenures, boottime.Now(), time.Now()
	a.health.seen()
	a.log.Info("joined", "profile", d.Name, "machine", a.cfg.UUID, "name", joining.Name)
	return nil
}

// introduce collects what this member says about itself.
func (a *Agent) introduce(ctx context.Context, d *profile.Document) (profile.Joining, error) {
	var previous *facts.Sheet
	if raw, ok := d.Lookup(profile.At(profile.ParamFacts, a.cfg.UUID)); ok {
		previous = &facts.Sheet{}
		if json.Unmarshal(raw, previous) != nil {
			previous = nil // edited by hand: replaced
		}
	}
	sheet, err := facts.Collect(ctx, facts.Config{AgentVersion: a.cfg.Version, Previous: previous})
	if err != nil {
		return profile.Joining{}, fmt.Errorf("facts: %w", err)
	}
	for source, fault := range sheet.Errors {
		a.log.Warn("a fact is missing", "source", source, "err", fault)
	}
	hardware, err := facts.HardwareID(ctx)
	if err != nil {
		return profile.Joining{}, fmt.Errorf("hardware id: %w", err)
	}
	j := profile.Joining{
		Name: a.cfg.Name, Address: facts.PrimaryAddress(sheet), Version: a.cfg.Version, Hardware: hardware,
		Facts:   func(budget int) (json.RawMessage, error) { return sheet.Fit(budget) },
		NewLife: a.cfg.NewLife,
	}
	if a.cfg.Machine != nil {
		m, err := a.cfg.Machine.Read(ctx)
		if errors.Is(err, profile.ErrNotFound) {
			err = fmt.Errorf("%w: is this the UUID of this host's DRP machine, and the machine token that one's?", err)
		}
		if err != nil {
			return j, fmt.Errorf("own machine %s: %w", a.cfg.UUID, err)
		}
		a.machine = m
		j.Name = m.Name
		if m.Address != "" {
			j.Address = m.Address
		}
	}
	if j.Name == "" {
		if j.Name, err = os.Hostname(); err != nil {
			return j, fmt.Errorf("host name: %w", err)
		}
	}
	return j, nil
}

// Run works as an agent until ctx ends, and then returns its cause: it competes
// for slots, serves the socket and runs the steps of this host. It returns early
// with the error of whatever cannot go on. Join comes first.
func (a *Agent) Run(ctx context.Context) error {
	listener, err := a.listen()
	if err != nil {
		return err
	}
	// All else outlasts the steps, which note their ends through the socket.
	g, lasting := errgroup.WithContext(context.WithoutCancel(ctx))
	working, end := context.WithCancelCause(lasting)
	defer end(nil)
	defer context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })()
	g.Go(func() error { return a.runSteps(working) })
	g.Go(func() error { return a.displaced(lasting) })
	g.Go(func() error { return a.peer.Run(lasting) })
	g.Go(func() error { return a.serve(lasting, listener) })
	g.Go(func() error { return a.report(lasting) })
	if a.cfg.Tokens != nil {
		g.Go(func() error { return a.renewal.run(lasting) })
	}
	return g.Wait()
}

// Do works as the member for the time of one command, without an agent: it
// keeps watch and completion going while do runs. With Config.OnDemand it also
// keeps slots, and competes for those that do asks for; else it does neither.
func (a *Agent) Do(ctx context.Context, do func(ctx context.Context) error) error {
	defer a.streams.Wait()
	asked := ctx
	ctx, cancel := context.WithCancelCause(asked)
	defer cancel(nil)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.displaced(ctx) })
	if a.cfg.OnDemand {
		g.Go(func() error { return a.peer.Run(ctx) })
	} else {
		g.Go(func() error { return a.peer.Attend(ctx) })
	}
	done := errors.New("the command has ended")
	var result error
	g.Go(func() error {
		result = do(ctx)
		cancel(done)
		return nil
	})
	err := g.Wait()
	if errors.Is(err, done) || errors.Is(err, context.Canceled) || asked.Err() != nil || errors.Is(result, err) {
		return result
	}
	return errors.Join(result, err)
}

// displaced ends when a command's write showed that this is not the member any
// more, with the error of that write, or with ctx and its cause.
func (a *Agent) displaced(ctx context.Context) error {
	select {
	case err := <-a.lost:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// written takes note of how a command's write ended: when it shows that this is
// not the member any more, the loops end too, as they would by a write of theirs.
func (a *Agent) written(err error) error {
	if errors.Is(err, profile.ErrTwin) || errors.Is(err, profile.ErrForgotten) {
		select {
		case a.lost <- err:
		default: // said already
		}
	}
	return err
}

func (a *Agent) watchTrouble(err error) {
	a.mu.Lock()
	a.trouble = err
	a.mu.Unlock()
	if err != nil {
		a.log.Warn("the profile cannot be watched; gates stay shut", "err", err)
	} else {
		a.log.Info("the profile is watched again")
	}
}

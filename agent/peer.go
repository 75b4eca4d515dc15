package agent

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"muster/coordinator"
	"muster/election"
	"muster/internal/backoff"
	"muster/internal/boottime"
	"muster/internal/pulse"
	"muster/profile"
)

// PeerConfig is what a Peer needs. Fields are required unless they say otherwise.
type PeerConfig struct {
	Member  *profile.Member // has joined
	Store   profile.Store
	View    *profile.View
	Machine profile.MachineStore // nil without a machine token
	First   coordinator.Found    // that machine before joining
	Runs    coordinator.RunJournal
	Logger  hclog.Logger
	// Trouble is told when the profile cannot be watched, and with nil when it
	// can be again; it may be nil.
	Trouble func(error)
	// Looked is told whenever the view is known to be up to date; it may be nil.
	Looked func()
	// OnDemand leaves roles alone that nobody asks for.
	OnDemand bool
	// Brief is for a process that takes part for one command alone.
	Brief bool
	// Clock counts leases; nil takes the host's.
	Clock boottime.Clock
	// Random draws from [0, 1); nil takes math/rand/v2.
	Random func() float64
	// Board is told what the loops do; nil tells nobody.
	Board *pulse.Board
}

// briefStart is what a command is given to say what it waits for.
const briefStart = 100 * time.Millisecond

// Peer is a member at work: the loops that every member runs, without the
// files, facts and socket of a host. Agent runs it, and so do simulations,
// which therefore simulate what is run in production.
type Peer struct {
	Elector *election.Elector

	cfg        PeerConfig
	referee    *coordinator.Referee
	completion *coordinator.Completion // nil without a machine token
	outlook    *coordinator.Outlook
}

// NewPeer puts the loops of one member together.
func NewPeer(cfg PeerConfig) *Peer {
	log := cfg.Logger.Named("coordinator")
	p := &Peer{
		cfg:     cfg,
		outlook: coordinator.NewOutlook(cfg.View, cfg.Member.UUID()),
		Elector: election.New(election.Config{
			Member: cfg.Member, Store: cfg.Store, View: cfg.View, Machine: cfg.Machine, Marked: cfg.First.Leader,
			OnDemand: cfg.OnDemand, Clock: cfg.Clock, Logger: cfg.Logger.Named("election"), Random: cfg.Random,
		}),
		referee: &coordinator.Referee{Member: cfg.Member, Store: cfg.Store, View: cfg.View, Logger: log, Random: cfg.Random},
	}
	if cfg.Machine != nil {
		p.completion = &coordinator.Completion{
			Member: cfg.Member, Store: cfg.Store, View: cfg.View, Machine: cfg.Machine, Journal: cfg.Runs, Logger: log, Random: cfg.Random,
		}
		if cfg.Brief {
			p.completion.Machine = restingMachine{cfg.Machine, p.outlook}
		}
		if cfg.First.Version == "" { // else hints come, and cost nothing while nothing changes
			p.completion.Outlook = p.outlook.Own()
		}
	}
	return p
}

// restingMachine spares the long poll that would be cut when the command ends.
type restingMachine struct {
	profile.MachineStore
	outlook *coordinator.Outlook
}

func (m restingMachine) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	if err := backoff.Sleep(ctx, m.outlook.OwnRest()); err != nil {
		return "", err
	}
	return m.MachineStore.Changed(ctx, since, wait)
}

// Run watches, competes for slots, records runs of the machine and judges
// rounds until ctx ends, and then returns its cause. It returns early with the
// error of whatever cannot go on: profile.ErrTwin and profile.ErrForgotten.
func (p *Peer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.cfg.Board.Run(ctx, "election", p.Elector.Run) })
	g.Go(func() error { return p.Attend(ctx) })
	return g.Wait()
}

// Look takes note of the machine as it is now, if this member watches it.
func (p *Peer) Look(ctx context.Context) error {
	if p.completion == nil {
		return nil
	}
	return p.completion.Look(ctx)
}

// Attend is Run without competing for slots.
func (p *Peer) Attend(ctx context.Context) error {
	pace := func() time.Duration {
		if p.outlook.Rests() {
			return p.Elector.RestingPace()
		}
		return p.Elector.Pace()
	}
	watch := profile.Watch{Store: p.cfg.Store, View: p.cfg.View, Pace: pace, Outlook: p.outlook, Hot: p.outlook.Hot, Random: p.cfg.Random, Trouble: p.cfg.Trouble, Looked: p.cfg.Looked}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if p.cfg.Brief { // else its first long poll is under way before it has said what it waits for
			if err := backoff.Sleep(ctx, briefStart); err != nil {
				return err
			}
		}
		return p.cfg.Board.Run(ctx, "watch", watch.Run)
	})
	g.Go(func() error { return p.cfg.Board.Run(ctx, "referee", p.referee.Run) })
	if p.completion != nil {
		g.Go(func() error {
			return p.cfg.Board.Run(ctx, "completion", func(ctx context.Context) error { return p.completion.Run(ctx, p.cfg.First) })
		})
	}
	return g.Wait()
}

// Wait blocks until a barrier has a verdict, as Local.Wait does.
func (p *Peer) Wait(ctx context.Context, w Waiting, progress func(coordinator.Outcome)) (coordinator.Outcome, error) {
	return p.waiter().wait(ctx, w, progress)
}

func (p *Peer) waiter() waiter {
	write := func(ctx context.Context, plan profile.Plan) error {
		_, err := p.cfg.Member.Write(ctx, plan)
		return err
	}
	return waiter{store: p.cfg.Store, view: p.cfg.View, outlook: p.outlook, uuid: p.cfg.Member.UUID(), log: p.cfg.Logger, write: write, joined: true}
}

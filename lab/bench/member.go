package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/agent"
	"muster/coordinator"
	"muster/facts"
	"muster/internal/backoff"
	"muster/internal/metrics"
	"muster/profile"
	"muster/profile/drp"
)

// errOver ends members whose run is over.
var errOver = errors.New("the run is over")

// member is one of the cluster.
type member struct {
	uuid, name string
	profile    string
	members    int // of the cluster
	counted    metrics.Set
	client     *drp.Client
	way        *way
	store      profile.Store
	machine    profile.MachineStore
	sheet      facts.Sheet
	dir        *agent.StateDir
	view       *profile.View // once joined, as all below
	peer       *agent.Peer
	seen       sighting // before it joined
}

// newMember sends nothing yet. own and shared are its tokens.
func (s *stage) newMember(own, shared, uuid, name string) (_ *member, err error) {
	m := &member{uuid: uuid, name: name, profile: s.name, members: s.cfg.Members, way: newWay(), sheet: s.sheet}
	m.sheet.Identity.Hostname = name
	if m.client, err = drp.New(s.reach(&m.counted)); err != nil {
		return nil, err
	}
	if m.dir, err = agent.OpenStateDir(s.homeOf(name)); err != nil {
		m.client.Close()
		return nil, err
	}
	m.store = wayStore{m.client.Profile(s.name, drp.Token(shared)), m.way}
	m.machine = wayMachine{m.client.Machine(uuid, drp.Token(own)), m.way}
	return m, nil
}

// join makes the member part of the cluster as the agent does: two reads and one
// write, and again for as long as the endpoint is too busy to answer.
func (m *member) join(ctx context.Context) error {
	retry := backoff.New(time.Second, 5*time.Second, rand.Float64) // as agent.Agent
	for {
		err := m.tryToJoin(ctx)
		if !errors.Is(err, profile.ErrUnavailable) && !errors.Is(err, profile.ErrConflict) {
			return err
		}
		if err := backoff.Sleep(ctx, retry.Next()); err != nil {
			return err
		}
	}
}

func (m *member) tryToJoin(ctx context.Context) error {
	state, err := m.dir.Load()
	if err != nil {
		return err
	}
	state.UUID, state.Profile = m.uuid, m.profile
	d, err := profile.ReadToJoin(ctx, m.store, m.profile, state)
	if err != nil {
		return err
	}
	first, err := m.machine.Read(ctx)
	if err != nil {
		return err
	}
	m.view = profile.NewView(d)
	m.seen = sighting{at: time.Now()}
	_, n := m.view.Latest()
	own := profile.NewMember(profile.MemberConfig{Store: m.store, View: m.view, Journal: m.dir, State: state})
	_, err = own.Join(ctx, profile.Joining{
		Name: m.name, Address: first.Address, Version: "bench", Hardware: "of " + m.uuid,
		Facts: func(budget int) (json.RawMessage, error) { return m.sheet.Fit(budget) },
	})
	if err != nil {
		return err
	}
	_, now := m.view.Latest()
	m.peer = agent.NewPeer(agent.PeerConfig{
		Member: own, Store: m.store, View: m.view, Machine: m.machine, First: coordinator.Found{Machine: first, Known: coordinator.RoundID(d), Later: now > n},
		Runs: m.dir, Logger: hclog.NewNullLogger(),
	})
	return nil
}

// run works until ctx ends; whatever else ends it is an error.
func (m *member) run(ctx context.Context) error {
	if err := m.peer.Run(ctx); !errors.Is(err, errOver) {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	return nil
}

func (m *member) called() string { return m.name }

func (m *member) wait(ctx context.Context) (coordinator.Outcome, error) {
	return m.peer.Wait(ctx, agent.Waiting{}, func(coordinator.Outcome) {})
}

func (m *member) metrics(context.Context) (string, error) {
	var text strings.Builder
	err := metrics.Write(&text, &m.counted)
	return text.String(), err
}

func (m *member) usage() usage { return usage{} }

func (m *member) close() {
	m.client.Close()
	m.dir.Close()
}

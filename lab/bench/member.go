package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"muster/agent"
	"muster/facts"
	"muster/profile"
	"muster/profile/drp"
)

// errOver ends members whose run is over.
var errOver = errors.New("the run is over")

// member is one of the cluster.
type member struct {
	uuid, name string
	client     *drp.Client
	way        *way
	store      profile.Store
	machine    profile.MachineStore
	sheet      facts.Sheet
	dir        *agent.StateDir
	view       *profile.View // once joined, as all below
	peer       *agent.Peer
}

// newMember sends nothing yet.
func (s *stage) newMember(ctx context.Context, uuid, name string) (*member, error) {
	own, err := s.served.Control.MachineToken(ctx, uuid, tokenLife)
	if err != nil {
		return nil, err
	}
	shared, err := s.served.Control.ProfileToken(ctx, uuid, profileName, tokenLife)
	if err != nil {
		return nil, err
	}
	m := &member{uuid: uuid, name: name, way: newWay(), sheet: s.sheet}
	m.sheet.Identity.Hostname = name
	if m.client, err = drp.New(drp.Config{Endpoint: s.served.URL, CA: s.ca}); err != nil {
		return nil, err
	}
	if m.dir, err = agent.OpenStateDir(filepath.Join(s.dir, name)); err != nil {
		m.client.Close()
		return nil, err
	}
	m.store = wayStore{m.client.Profile(profileName, drp.Token(shared)), m.way}
	m.machine = wayMachine{m.client.Machine(uuid, drp.Token(own)), m.way}
	return m, nil
}

// join makes the member part of the cluster as the agent does: two reads and one
// write.
func (m *member) join(ctx context.Context) error {
	state, err := m.dir.Load()
	if err != nil {
		return err
	}
	state.UUID, state.Profile = m.uuid, profileName
	d, err := m.store.Read(ctx)
	if err != nil {
		return err
	}
	first, err := m.machine.Read(ctx)
	if err != nil {
		return err
	}
	m.view = profile.NewView(d)
	own := profile.NewMember(profile.MemberConfig{Store: m.store, View: m.view, Journal: m.dir, State: state})
	_, err = own.Join(ctx, profile.Joining{
		Name: m.name, Address: first.Address, Version: "bench", Hardware: "of " + m.uuid,
		Facts: func(budget int) (json.RawMessage, error) { return m.sheet.Fit(budget) },
	})
	if err != nil {
		return err
	}
	m.peer = agent.NewPeer(agent.PeerConfig{
		Member: own, Store: m.store, View: m.view, Machine: m.machine, First: first, Runs: m.dir, Logger: hclog.NewNullLogger(),
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

// sees blocks until the member has itself seen so many members and leaders.
func (m *member) sees(ctx context.Context, members, leaders int) error {
	defer m.view.Want(profile.ParamMembers)()
	for {
		d, n := m.view.Latest()
		if all, err := formed(d, members, leaders); err != nil || all {
			return err
		}
		if _, _, err := m.view.Wait(ctx, n); err != nil {
			return err
		}
	}
}

// formed reports whether so many members have joined and so many slots are held.
func formed(d *profile.Document, members, leaders int) (bool, error) {
	slots, err := d.Slots()
	if err != nil {
		return false, err
	}
	for _, s := range slots[profile.Leader] {
		if !s.Free() {
			leaders--
		}
	}
	if leaders > 0 {
		return false, nil
	}
	records, err := d.Members()
	if err != nil {
		return false, err
	}
	for _, r := range records {
		if r.Joined() {
			members--
		}
	}
	return members <= 0, nil
}

func (m *member) close() {
	m.client.Close()
	m.dir.Close()
}

package memory

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"muster/profile"
)

// Machine is a DRP machine in memory. It implements profile.MachineStore.
type Machine struct {
	mu      sync.Mutex
	state   profile.Machine
	version int
	changed chan struct{}
	refuse  error
}

var _ profile.MachineStore = (*Machine)(nil)

// NewMachine returns a machine in this state.
func NewMachine(state profile.Machine) *Machine {
	return &Machine{state: state, version: 1, changed: make(chan struct{})}
}

// Set changes the machine as its runner or an operator would.
func (m *Machine) Set(change func(*profile.Machine)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.state)
	m.version++
	close(m.changed)
	m.changed = make(chan struct{})
}

// Refuse makes every call fail with err, until it is called with nil.
func (m *Machine) Refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// Read implements profile.MachineStore.
func (m *Machine) Read(context.Context) (profile.Machine, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	s.Version = strconv.Itoa(m.version)
	return s, m.refuse
}

// Mark implements profile.MachineStore.
func (m *Machine) Mark(_ context.Context, leader bool) error {
	m.mu.Lock()
	err := m.refuse
	m.mu.Unlock()
	if err == nil {
		m.Set(func(s *profile.Machine) { s.Leader = leader })
	}
	return err
}

// Changed implements profile.MachineStore.
func (m *Machine) Changed(ctx context.Context, since string, wait time.Duration) (string, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		m.mu.Lock()
		version, changed, err := strconv.Itoa(m.version), m.changed, m.refuse
		m.mu.Unlock()
		if err != nil || version != since {
			return version, err
		}
		select {
		case <-changed:
		case <-timer.C:
			return since, nil
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %w", profile.ErrUnavailable, context.Cause(ctx))
		}
	}
}

//go:build linux

package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"muster/agent"
	"muster/internal/backoff"
	"muster/profile"
	"muster/profile/drp"
)

var (
	errKilled  = errors.New("the agent is killed")
	errStopped = errors.New("the agent is told to stop")
)

// member is one machine with its agent, through all its lives.
type member struct {
	s          *soak
	uuid, name string
	home       string
	line       line
	leads      bool // it has commands to run under leases

	busy sync.Mutex // held by whoever disturbs it

	mu     sync.Mutex
	client *agent.Client // nil while no agent runs
	end    context.CancelCauseFunc
	ended  chan struct{}
}

// add makes a machine with a home and tokens; its agent is not started. If the endpoint
// is away for a moment the machine may be there all the same: another try makes one of
// another name.
func (s *soak) add(ctx context.Context, name string) (*member, error) {
	m := &member{s: s, name: name}
	err := insist(ctx, func() error {
		made, err := s.operator.AddMachine(ctx, m.name, "", []string{profileName}, nil)
		if err != nil {
			m.name += "b"
			return err
		}
		m.uuid, m.home = made.UUID, filepath.Join(s.dir, m.name)
		return os.Mkdir(m.home, 0o700)
	})
	if err != nil {
		return nil, err
	}
	return m, insist(ctx, func() error { return m.newTokens(ctx) })
}

func (m *member) at(file string) string { return filepath.Join(m.home, file) }

// newTokens puts tokens there that were made now.
func (m *member) newTokens(ctx context.Context) error {
	shared, err := m.s.served.Control.ProfileToken(ctx, m.uuid, profileName, tokenLife)
	if err != nil {
		return err
	}
	own, err := m.s.served.Control.MachineToken(ctx, m.uuid, tokenLife)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(m.at("profile.token"), []byte(shared), 0o600), os.WriteFile(m.at("machine.token"), []byte(own), 0o600))
}

// start starts the agent, and the commands of its host, until stop.
func (m *member) start(ctx context.Context) error {
	client, err := drp.New(drp.Config{Endpoint: m.s.served.URL, CA: m.s.ca, Dial: m.line.dial})
	if err != nil {
		return err
	}
	machine := client.Machine(m.uuid, drp.TokenFile(m.at("machine.token")))
	a, err := agent.Open(agent.Config{
		Profile: profileName, UUID: m.uuid, Store: client.Profile(profileName, drp.TokenFile(m.at("profile.token"))), Machine: machine,
		StateDir: m.at("state"), Socket: m.at("sock"), Version: "soak", Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	m.mu.Lock()
	m.end, m.ended = end, ended
	m.mu.Unlock()
	var work sync.WaitGroup
	work.Go(func() { m.commands(ctx) })
	go func() {
		defer close(ended)
		err := a.Join(ctx, true)
		if err == nil {
			err = a.Run(ctx)
		}
		if ctx.Err() == nil {
			m.s.fail("the agent of %s ended: %v", m.name, err)
			end(err)
		}
		work.Wait()
		if err := a.Close(); err != nil {
			m.s.fail("the agent of %s: %v", m.name, err)
		}
		client.Close()
	}()
	return nil
}

// stop ends the agent, by a kill without another word to the endpoint.
func (m *member) stop(why error) {
	m.mu.Lock()
	end, ended := m.end, m.ended
	m.mu.Unlock()
	if errors.Is(why, errKilled) {
		m.line.drop(true)
		defer m.line.mend()
	}
	end(why)
	<-ended
}

// dial waits for the socket of an agent that was started.
func (m *member) dial(ctx context.Context) (*agent.Client, error) {
	m.mu.Lock()
	ended := m.ended
	m.mu.Unlock()
	for {
		c, err := agent.Dial(m.at("sock"))
		if err == nil {
			return c, nil
		}
		select {
		case <-ended:
			return nil, fmt.Errorf("the agent of %s ended before it joined", m.name)
		default:
		}
		if err := backoff.Sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// commands are those that the host runs beside the agent, for as long as it lives.
func (m *member) commands(ctx context.Context) {
	client, err := m.dial(ctx)
	if err != nil {
		return
	}
	m.mu.Lock()
	m.client = client
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.client = nil
		m.mu.Unlock()
	}()
	for ctx.Err() == nil {
		if m.leads {
			m.lead(ctx, client)
		}
		_ = backoff.Sleep(ctx, 100*time.Millisecond)
	}
}

// run is the last run of the machine that the agent has noted.
func (m *member) run() (run profile.Run) {
	raw, err := os.ReadFile(m.at("state/run.json"))
	if err != nil || json.Unmarshal(raw, &run) != nil {
		return profile.Run{} // none yet
	}
	return run
}

// local is the agent's client, or nil.
func (m *member) local() *agent.Client {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.client
}

// lead runs a command under a lease, until it ends or the agent does.
func (m *member) lead(ctx context.Context, client *agent.Client) {
	hold, err := client.Lead(ctx, agent.LeadAsk{Role: leaseRole})
	if err != nil {
		return
	}
	defer hold.Close()
	// A host that loses its power: nobody says a last word, and the command is dead by its
	// deadline. An agent that is told to stop says so itself.
	defer context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), errKilled) {
			hold.Close()
		}
	})()
	run := &command{member: m.name}
	done := func() {
		m.s.book.end(run)
		_ = hold.Done() // else the connection is gone
	}
	var later *time.Timer
	for {
		said, err := hold.Next()
		switch {
		case err != nil || said.Released:
			return
		case said.Tenure != nil:
			if later == nil {
				later = time.AfterFunc(m.s.draw(time.Second, 8*time.Second), done)
				defer later.Stop()
			}
			if err := m.s.book.run(run, *said.Tenure, said.Kill); err != nil {
				m.s.fail("%v", err)
			}
			_ = hold.Ack(said.Kill)
		case said.Ended != "":
			done()
		}
	}
}

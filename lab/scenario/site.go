package scenario

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"muster/endpoint"
	"muster/lab"
	"muster/profile"
)

// site is the endpoint of a run.
type site interface {
	url() string
	profile() string
	operator() *lab.Operator
	// tokens makes a profile token and a machine token for a machine.
	tokens(ctx context.Context, uuid string) (shared, own string, err error)
	// watch has every state of the profile told, from now on and in order.
	watch(ctx context.Context, told func(*profile.Document)) error
	// drain returns when what is at the endpoint by now has been told.
	drain(ctx context.Context)
	// expire makes the tokens of a machine be refused.
	expire(machine string) error
	// close takes down what was set up.
	close(st *stage) error
}

// tokenLife is how long the members' tokens are good for.
const tokenLife = 24 * time.Hour

// embedded is an endpoint in this process.
type embedded struct {
	server  *endpoint.Server
	boss    *lab.Operator
	stop    context.CancelFunc
	served  chan error
	commits chan sighting
	watcher sync.WaitGroup

	mu      sync.Mutex
	watched bool
}

// sighting is one commit of the profile, or a mark in their order.
type sighting struct {
	object json.RawMessage
	mark   chan struct{} // closed when its turn comes; nil for a commit
}

const embeddedProfile = "scenario"

func newEmbedded(compat string) (site, error) {
	server, err := endpoint.New(endpoint.Config{Listen: "127.0.0.1:0", Compat: compat})
	if err != nil {
		return nil, err
	}
	e := &embedded{server: server, served: make(chan error, 1), commits: make(chan sighting, 1<<16)}
	serving, stop := context.WithCancel(context.Background())
	e.stop = stop
	go func() { e.served <- server.Serve(serving) }()
	e.boss, err = lab.NewOperator(lab.OperatorConfig{Endpoint: server.URL()})
	return e, err
}

func (e *embedded) url() string             { return e.server.URL() }
func (e *embedded) profile() string         { return embeddedProfile }
func (e *embedded) operator() *lab.Operator { return e.boss }

func (e *embedded) tokens(_ context.Context, uuid string) (shared, own string, err error) {
	if shared, err = e.server.ProfileToken(uuid, embeddedProfile, tokenLife); err != nil {
		return "", "", err
	}
	own, err = e.server.MachineToken(uuid, tokenLife)
	return shared, own, err
}

func (e *embedded) watch(ctx context.Context, told func(*profile.Document)) error {
	e.mu.Lock()
	e.watched = true
	e.mu.Unlock()
	e.watcher.Go(func() {
		for s := range e.commits {
			var p struct{ Params profile.Params }
			switch {
			case s.mark != nil:
				close(s.mark)
			case json.Unmarshal(s.object, &p) == nil:
				told(&profile.Document{Name: embeddedProfile, Params: p.Params})
			}
		}
	})
	e.server.OnCommit(func(c endpoint.Commit) {
		if c.Prefix == "profiles" && c.Key == embeddedProfile {
			e.pass(sighting{object: c.Object})
		}
	})
	now, err := e.boss.Profile(ctx, embeddedProfile)
	if err == nil {
		told(now) // the seed; no agent runs yet
	}
	return err
}

// pass hands on what the watcher is to take in, unless it has ended.
func (e *embedded) pass(s sighting) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watched {
		e.commits <- s
	} else if s.mark != nil {
		close(s.mark)
	}
}

func (e *embedded) drain(context.Context) {
	mark := make(chan struct{})
	e.pass(sighting{mark: mark})
	<-mark
}

func (e *embedded) expire(machine string) error { return e.server.ExpireTokens("machine:" + machine) }

func (e *embedded) close(*stage) error {
	if e.boss != nil {
		e.boss.Close()
	}
	e.stop()
	err := <-e.served
	e.mu.Lock()
	e.watched = false
	close(e.commits)
	e.mu.Unlock()
	e.watcher.Wait()
	return err
}

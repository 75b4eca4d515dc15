package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint"
	"muster/profile"
)

// Cluster is how a demo's cluster stands.
type Cluster struct {
	Verdict string
	Members []Member // by name
}

// Member is how one machine of a demo stands.
type Member struct {
	Name   string
	Joined bool
	Task   int    // tasks of the workflow that are done
	Tasks  int    // tasks of the workflow
	Slot   string // held, as ROLE/NUMBER, or ""
	Result string // recorded for round 1, or ""
	Step   string // recorded result of the step, or ""
}

// tower sees every commit of the endpoint, in order, and takes them in beside
// the endpoint's lock.
type tower struct {
	told    func(Cluster)
	commits chan sighting
	done    chan struct{}

	mu       sync.Mutex
	closed   bool
	raw      json.RawMessage // the profile's object
	members  map[string]*Member
	verdict  string
	complete map[string]time.Duration // UUID → commit of its completion in round 1
}

// sighting is one commit, or a mark in their order.
type sighting struct {
	endpoint.Commit
	mark chan struct{} // closed when its turn comes; nil for a commit
}

func newTower(uuids map[string]string, told func(Cluster)) *tower {
	t := &tower{
		told: told, members: map[string]*Member{}, complete: map[string]time.Duration{},
		commits: make(chan sighting, 1<<16), done: make(chan struct{}),
	}
	for name, uuid := range uuids {
		t.members[uuid] = &Member{Name: name}
	}
	return t
}

// watch sees what happens from now on. close ends it.
func watch(server *endpoint.Server, uuids map[string]string, told func(Cluster)) *tower {
	t := newTower(uuids, told)
	go t.run()
	server.OnCommit(func(c endpoint.Commit) {
		if c.Prefix != "profiles" && c.Prefix != "machines" {
			return
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.closed {
			t.commits <- sighting{Commit: c}
		}
	})
	return t
}

func (t *tower) close() {
	t.mu.Lock()
	t.closed = true
	close(t.commits)
	t.mu.Unlock()
	<-t.done
}

// drain waits until every commit so far is taken in.
func (t *tower) drain() {
	mark := make(chan struct{})
	t.commits <- sighting{mark: mark}
	<-mark
}

func (t *tower) run() {
	defer close(t.done)
	for s := range t.commits {
		if s.mark != nil {
			close(s.mark)
			continue
		}
		if cluster, changed := t.take(s.Commit); changed && t.told != nil {
			t.told(cluster)
		}
	}
}

// take takes one commit in, and reports whether it changed the picture.
func (t *tower) take(c endpoint.Commit) (Cluster, bool) {
	var machine models.Machine
	var doc *profile.Document
	switch c.Prefix {
	case "machines":
		if json.Unmarshal(c.Object, &machine) != nil {
			return Cluster{}, false
		}
	case "profiles":
		var err error
		if doc, err = decodeProfile(c.Object); err != nil || doc.Name != demoProfile {
			return Cluster{}, false
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.clusterLocked()
	if doc != nil {
		t.raw = c.Object
		t.takeProfileLocked(doc, c.Boottime)
	} else if m := t.members[machine.Key()]; m != nil {
		m.Tasks = len(machine.Tasks)
		m.Task = max(0, min(machine.CurrentTask, m.Tasks))
	}
	after := t.clusterLocked()
	return after, before.Verdict != after.Verdict || !slices.Equal(before.Members, after.Members)
}

func (t *tower) takeProfileLocked(doc *profile.Document, at time.Duration) {
	records, err := doc.Members()
	if err != nil {
		return
	}
	slots, err := doc.Slots()
	if err != nil {
		return
	}
	for uuid, m := range t.members {
		r := records[uuid]
		m.Joined, m.Result, m.Step, m.Slot = r.Joined(), r.Results["1"], r.Steps["demo"].Result, ""
		if _, known := t.complete[uuid]; m.Result == profile.Complete && !known {
			t.complete[uuid] = at
		}
		for role, of := range slots {
			for n, s := range of {
				if s.Holder == uuid {
					m.Slot = role + "/" + n
				}
			}
		}
	}
	if b, ok, err := doc.Barrier(profile.BarrierComplete, 1); ok && err == nil {
		t.verdict = b.Verdict
	}
}

func (t *tower) clusterLocked() Cluster {
	c := Cluster{Verdict: t.verdict}
	for _, m := range t.members {
		c.Members = append(c.Members, *m)
	}
	slices.SortFunc(c.Members, func(a, b Member) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return c
}

// lastCompletion is when the last member's completion was committed, on
// CLOCK_BOOTTIME, and whether all have completed.
func (t *tower) lastCompletion() (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last time.Duration
	for _, at := range t.complete {
		last = max(last, at)
	}
	return last, len(t.complete) == len(t.members)
}

// latestProfile is the profile as it was last committed.
func (t *tower) latestProfile(context.Context) (json.RawMessage, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw == nil {
		return nil, fmt.Errorf("demo: nothing was ever written to profile %s", demoProfile)
	}
	return t.raw, nil
}

func decodeProfile(raw json.RawMessage) (*profile.Document, error) {
	var p struct {
		Name   string
		Params profile.Params
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("demo: profile: %w", err)
	}
	return &profile.Document{Name: p.Name, Params: p.Params}, nil
}

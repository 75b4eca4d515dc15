package mutation

import (
	"context"
	"sync"
	"time"

	"muster/internal/backoff"
	"muster/profile"
)

// host is one machine and the process of its member.
type host struct {
	*world
	uuid     string
	hardware string
	way      *way
	view     *profile.View
	*profile.Member

	mu    sync.Mutex
	state profile.State
}

// Save implements profile.Journal.
func (h *host) Save(s profile.State) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = s
	return nil
}

// machine returns a host whose process has not joined yet.
func (w *world) machine(uuid string) *host {
	h := &host{world: w, uuid: uuid, hardware: "hardware of " + uuid, state: profile.State{UUID: uuid, Profile: cluster}}
	w.hosts[uuid] = h
	h.boot()
	return h
}

// boot starts the host's process anew.
func (h *host) boot() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.way, h.view = h.world.way(), profile.NewView(h.Document())
	h.Member = profile.NewMember(profile.MemberConfig{Store: h.way, View: h.view, Journal: h, State: h.state})
}

func (h *host) join() *host {
	h.t.Helper()
	if _, err := h.Join(h.t.Context(), h.joining()); err != nil {
		h.t.Fatalf("join %s: %v", h.uuid, err)
	}
	return h
}

func (h *host) joining() profile.Joining {
	return profile.Joining{Name: "host " + h.uuid, Address: "10.0.0.1", Version: "v1", Hardware: h.hardware}
}

// restart goes on with the next process of the host.
func (h *host) restart() *host {
	h.boot()
	return h.join()
}

// members makes u1, u2 and u3 join.
func (w *world) members() {
	for _, uuid := range []string{"u1", "u2", "u3"} {
		w.machine(uuid).join()
	}
}

// look reads the profile into the host's view.
func (h *host) look() {
	_, n := h.view.Latest()
	h.view.Put(h.Document(), n)
}

// writes has the host carry a plan out.
func (h *host) writes(plan profile.Plan) {
	h.t.Helper()
	h.look()
	if _, err := h.Write(h.t.Context(), plan); err != nil {
		h.t.Fatal(err)
	}
}

// claims has the host take a slot, as a lease if there is a ttl.
func (h *host) claims(role, n, ttl string) profile.Tenure {
	h.t.Helper()
	h.writes(func(d *profile.Document) (*profile.Change, error) {
		me := profile.Tenure{Role: role, Slot: n, Instance: h.State().Instance, Epoch: h.State().Epochs[role], TTL: ttl}
		renewal := ""
		if ttl != "" {
			renewal = "first"
		}
		return profile.Claim(d, me, h.uuid, renewal)
	})
	t, held := h.Tenure(h.Document(), role)
	if !held {
		h.t.Fatalf("%s does not hold %s/%s", h.uuid, role, n)
	}
	return t
}

// resigns has the host give its slot of a role up.
func (h *host) resigns(role string) {
	h.t.Helper()
	t, _ := h.Tenure(h.Document(), role)
	h.writes(func(d *profile.Document) (*profile.Change, error) {
		return profile.Release(d, t, h.uuid, profile.EventResigned)
	})
}

// renames is a write of the member that is about nothing else.
func (h *host) renames(name string) {
	h.t.Helper()
	h.writes(func(*profile.Document) (*profile.Change, error) {
		c := &profile.Change{}
		c.Set(profile.At(profile.ParamMembers, h.uuid, "name"), name)
		return c, nil
	})
}

// clock is the hosts' clock, in simulated time.
type clock struct{}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when every bubble begins

// Now implements boottime.Clock.
func (clock) Now() time.Duration { return time.Since(epoch) }

// Until implements boottime.Clock.
func (c clock) Until(ctx context.Context, moment time.Duration) error {
	return backoff.Sleep(ctx, moment-c.Now())
}

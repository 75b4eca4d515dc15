package coordinator

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"muster/profile"
)

// Outlook says when a look at the profile is worth while for those of this host
// who wait at barriers, so that many completions cost few looks and the last one
// is seen soon (DESIGN, "Watching"; ADR 16). It implements profile.Outlook. Create
// it with NewOutlook; it is safe for concurrent use. Nothing is decided by it: who
// looks late is released late.
type Outlook struct {
	view *profile.View
	uuid string

	mu      sync.Mutex
	awaited []*awaiting
}

var _ profile.Outlook = (*Outlook)(nil)

// NewOutlook returns the outlook of the member with this UUID, or of an observer
// for "".
func NewOutlook(view *profile.View, uuid string) *Outlook { return &Outlook{view: view, uuid: uuid} }

// Looks rest at most restEach for each who is awaited, so that few are quick; twice
// that as long as the own machine is missing, whose completion brings the whole
// profile with it; and never longer than MostRest, or restHolder where this member
// holds a slot: it is to give that up soon when it is asked to. After a hint they
// rest restEach for each who is missing, as more will come; not for the last one.
// The own machine is polled every pollOwn, so that there is room for polling the
// profile, and every restOwn once it is done.
const (
	restEach   = 400 * time.Millisecond
	restHolder = 8 * time.Second
	pollOwn    = 7 * time.Second
	restOwn    = time.Minute
)

// awaiting is a barrier that somebody waits for, and how it comes on.
type awaiting struct {
	name  string
	round profile.Round

	n       uint64        // number of the state that was counted
	missing int           // in that state
	own     bool          // the own machine is
	since   time.Time     // when so many were, or the first news came after a calm
	calm    bool          // that state brought nobody nearer, and no news has come
	due     time.Time     // when all will be done if they go on as fast; zero if that cannot be told
	most    time.Duration // that looks rest
	mostOwn time.Duration // that they do while the own machine is missing
}

// Await says that somebody waits for a barrier in a round, until release is called.
func (o *Outlook) Await(name string, round profile.Round) (release func()) {
	a := &awaiting{name: name, round: round}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.awaited = append(o.awaited, a)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.awaited = slices.DeleteFunc(o.awaited, func(b *awaiting) bool { return a == b })
	}
}

// Rests reports whether all who wait on this host do so at barriers.
func (o *Outlook) Rests() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.countLocked()) > 0
}

// Due implements profile.Outlook.
func (o *Outlook) Due() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	var first time.Time
	for i, a := range o.countLocked() {
		if i == 0 || a.due.Before(first) {
			first = a.due
		}
	}
	return first
}

// Hold implements profile.Outlook.
func (o *Outlook) Hold() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	var least time.Duration
	for i, a := range o.countLocked() {
		if hold := a.hold(); i == 0 || hold < least {
			least = hold
		}
	}
	return least
}

// countLocked returns the barriers that are waited for, as of now; none if
// somebody waits for something else, too, for which there is no rest.
func (o *Outlook) countLocked() []*awaiting {
	if _, waiters := o.view.Wanted(); waiters > len(o.awaited) {
		return nil
	}
	d, n := o.view.Latest()
	for _, a := range o.awaited {
		if a.n != n {
			a.count(d, o.uuid)
			a.n = n
		}
	}
	return o.awaited
}

// count takes note of the state d. Where nothing can be told from it looks do not
// rest.
func (a *awaiting) count(d *profile.Document, uuid string) {
	before, now := *a, time.Now()
	a.missing, a.own, a.since, a.calm, a.due = 0, false, now, true, time.Time{}
	b, err := barrierOf(d, a.name, a.round)
	if err != nil || b.Verdict != "" {
		return
	}
	t, err := Count(d, a.name, a.round.N, b)
	if err != nil || !t.Settled {
		return
	}
	a.missing, a.own = t.Total-len(t.Done)-len(t.Failed), slices.Contains(t.Missing, uuid)
	rest := d.MostRest()
	if holds(d, uuid) {
		rest = min(rest, restHolder)
	}
	a.most = min(rest, restEach*time.Duration(t.Total))
	a.mostOwn = min(rest, 2*a.most)
	done := before.missing - a.missing
	if before.n == 0 || done <= 0 {
		return
	}
	a.calm = false
	if !a.own && a.missing > 1 {
		pace := now.Sub(before.since) / time.Duration(done)
		a.due = now.Add(min(a.most, pace*time.Duration(a.missing)))
	}
}

// hold is how long to rest once there is news.
func (a *awaiting) hold() time.Duration {
	if a.calm {
		a.calm, a.since = false, time.Now()
	}
	switch {
	case a.own:
		return a.mostOwn
	case a.missing <= 1:
		return 0
	}
	return min(a.most, restEach*time.Duration(a.missing))
}

// holds reports whether the member with this UUID holds a slot, which it may be
// asked for.
func holds(d *profile.Document, uuid string) bool {
	slots, _ := d.Slots()
	for _, all := range slots {
		for _, s := range all {
			if !s.Free() && s.Holder == uuid {
				return true
			}
		}
	}
	return false
}

// Own is the outlook on the own machine where that is polled: what it does once its
// completion is recorded cannot bring a verdict.
func (o *Outlook) Own() profile.Outlook { return ownMachine{o} }

type ownMachine struct{ *Outlook }

// Due implements profile.Outlook.
func (ownMachine) Due() time.Time { return time.Time{} }

// Hold implements profile.Outlook. Who waits at a barrier that it is no part of, or
// has arrived at, is not done: others may wait for its machine.
func (m ownMachine) Hold() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.countLocked()
	d, _ := m.view.Latest()
	switch {
	case len(all) == 0 || slices.ContainsFunc(all, func(a *awaiting) bool { return a.missing == 0 }):
		return 0
	case completed(d, m.uuid):
		return restOwn
	case slices.ContainsFunc(all, func(a *awaiting) bool { return a.own }):
		return pollOwn
	}
	return 0
}

// completed reports whether the member's completion is recorded for the round of
// now.
func completed(d *profile.Document, uuid string) bool {
	round, err := d.Round()
	if err != nil {
		return false
	}
	record, _, err := d.Record(uuid)
	return err == nil && record.Results[strconv.Itoa(round.N)] == profile.Complete
}

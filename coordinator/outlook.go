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
// holds a slot: it is to give that up soon when it is asked to. Whoever comes first
// after a calm is given restFirst for each who is awaited, restFirstMost at most, so
// that those who come with it cost one look; restLeast for each bounds what so many
// looks cost the endpoint. Who has the verdict is about to go, within restGone.
// The own machine is polled every pollOwn, so that there is room for polling the
// profile, and every restOwn once it is done.
const (
	restEach      = 400 * time.Millisecond
	restHolder    = 8 * time.Second
	restFirst     = 20 * time.Millisecond
	restFirstMost = 5 * time.Second
	restLeast     = 2 * time.Millisecond
	restFew       = time.Second
	restGone      = time.Second
	pollOwn       = 7 * time.Second
	restOwn       = time.Minute
	progressEach  = 200 * time.Millisecond
)

// awaiting is a barrier that somebody waits for, and how it comes on.
type awaiting struct {
	name  string
	round profile.Round

	n       uint64        // number of the state that was counted
	total   int           // who are awaited, by that state
	missing int           // of them
	own     bool          // the own machine is
	counted time.Time     // when that was
	records *byte         // where their text in that state lies
	read    time.Time     // when that was read
	rest    time.Duration // from then on until the next look
	due     time.Time     // of that look; zero where nothing can be told
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

// Hot reports whether a look that is due needs no more than the hot params, as no
// record can bring what is waited for: the own machine is missing.
func (o *Outlook) Hot() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.countLocked()
	return len(all) > 0 && !slices.ContainsFunc(all, func(a *awaiting) bool {
		return !a.own || time.Since(a.read) >= progressEach*time.Duration(a.total)
	})
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
			if text := d.Params[profile.ParamMembers]; len(text) > 0 && a.records != &text[0] {
				a.records, a.read = &text[0], time.Now()
			}
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
	a.missing, a.own, a.counted, a.rest, a.due = 0, false, now, 0, time.Time{}
	b, err := barrierOf(d, a.name, a.round)
	if err == nil && b.Verdict != "" {
		a.due = now.Add(restGone)
	}
	if err != nil || b.Verdict != "" {
		return
	}
	t, err := Count(d, a.name, a.round.N, b)
	if err != nil || !t.Settled {
		return
	}
	a.total, a.missing, a.own = t.Total, t.Total-len(t.Done)-len(t.Failed), slices.Contains(t.Missing, uuid)
	rest := d.MostRest()
	if holds(d, uuid) {
		rest = min(rest, restHolder)
	}
	a.most = min(rest, restEach*time.Duration(t.Total))
	a.mostOwn = min(rest, 2*a.most)
	switch {
	case a.own:
		a.rest = a.mostOwn
	case a.missing > 1 && before.n != 0:
		ahead := time.Duration(a.missing - 1)
		a.rest = min(a.most, restFew*ahead*ahead, a.pause(before))
	}
	a.due = now.Add(a.rest)
}

// pause is how long a look rests while several are missing. Those who came while
// the last one rested say how fast they come: the look is when two thirds of those
// before the last will be there, so that a few looks come ever closer to it. Who
// came later than that broke a calm: perhaps many come with it.
func (a *awaiting) pause(before awaiting) time.Duration {
	awaited := time.Duration(a.total)
	calm := max(2*before.rest, min(restFirst*awaited, restFirstMost))
	done := before.missing - a.missing
	if done <= 0 {
		return calm
	}
	took := a.counted.Sub(before.counted)
	paced := max(restLeast*awaited, took/time.Duration(done)*time.Duration(a.missing-1))
	if took <= before.rest+time.Second {
		return paced
	}
	return min(calm, paced)
}

// hold is how long to rest at least where the profile is polled.
func (a *awaiting) hold() time.Duration {
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

// Hold implements profile.Outlook.
func (m ownMachine) Hold() time.Duration {
	if rest := m.OwnRest(); rest > 0 {
		return rest
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.countLocked(), func(a *awaiting) bool { return a.own }) {
		return pollOwn
	}
	return 0
}

// OwnRest is how long the own machine may be left alone, as its completion is
// recorded and the others are waited for; else 0. Who waits at a barrier that it is
// no part of, or has arrived at, is not done: others may wait for its machine.
func (o *Outlook) OwnRest() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.countLocked()
	d, _ := o.view.Latest()
	if len(all) == 0 || slices.ContainsFunc(all, func(a *awaiting) bool { return a.missing == 0 }) || !completed(d, o.uuid) {
		return 0
	}
	return restOwn
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

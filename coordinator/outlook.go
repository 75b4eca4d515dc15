package coordinator

import (
	"math"
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
// holds a slot: it is to give that up soon when it is asked to. restLeast for each
// who is awaited bounds what so many looks cost the endpoint, and a restShare-th of
// the wait, restSome at most, how many they are. Who has the verdict is about to go,
// within restGone.
// Where all who are awaited would read more than lookRate if they looked so often, which
// is a Gbit/s, they rest until they do not, and look at the hot params alone meanwhile:
// when all should be there, and then after a hotShare-th of the time since the last
// whole look, but hotLeast for each at least. Below restMuch that is not worth while.
// The own machine is polled every pollOwn, so that there is room for polling the
// profile, and every restOwn once it is done.
const (
	restEach     = 400 * time.Millisecond
	restHolder   = 8 * time.Second
	restLeast    = 2 * time.Millisecond
	restShare    = 50
	restSome     = 2 * time.Second
	restFew      = time.Second
	restGone     = time.Second
	restMuch     = time.Second
	lookRate     = 100e6 // bytes a second
	hotShare     = 4
	hotLeast     = time.Millisecond
	pollOwn      = 7 * time.Second
	restOwn      = time.Minute
	progressEach = 200 * time.Millisecond
)

// How others come is foretold from how they came. Once the own machine is done a
// firstShare-th of the wait, restSome at most, is taken to see whether they come
// faster than before; of those who came since then, farther than spanMost times as
// long as that took is foretold only if they came as before. calmTimes as long
// as one of them should take without anybody is a calm. unsureTimes the deviation of
// what is foretold is taken off.
const (
	firstShare  = 20
	spanMost    = 6
	calmTimes   = 4
	unsureTimes = 0.6
)

// awaiting is a barrier that somebody waits for, and how it comes on.
type awaiting struct {
	name  string
	round profile.Round
	begun time.Time // the wait

	n       uint64        // number of the state that was counted
	total   int           // who are awaited, by that state
	missing int           // of them
	own     bool          // the own machine is
	records *byte         // where their text in that state lies
	read    time.Time     // when that was read
	seen    []sight       // that tell the pace, since the own machine is done or the last calm
	before  sight         // the last one before them
	calmed  bool          // there was a calm between the two
	rest    time.Duration // from then on until the next look
	due     time.Time     // of that look; zero where nothing can be told
	much    time.Duration // that a look at the whole profile rests at least; 0 if it is small
	most    time.Duration // that looks rest
	mostOwn time.Duration // that they do while the own machine is missing
}

// sight is how many were missing at some moment.
type sight struct {
	at      time.Time
	missing int
}

// Await says that somebody waits for a barrier in a round, until release is called.
func (o *Outlook) Await(name string, round profile.Round) (release func()) {
	a := &awaiting{name: name, round: round, begun: time.Now()}
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

// Hot reports whether a look that is due is at the hot params alone: as no record can
// bring what is waited for, while the own machine is missing; or as the records are
// large.
func (o *Outlook) Hot() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.countLocked()
	return len(all) > 0 && !slices.ContainsFunc(all, func(a *awaiting) bool { return !a.hot() })
}

func (a *awaiting) hot() bool {
	age := time.Since(a.read)
	if a.own {
		return age < progressEach*time.Duration(a.total)
	}
	return a.much > 0 && (a.missing <= 1 || age < a.much)
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
	now, ownBefore, whole := time.Now(), a.own, false
	if text := d.Params[profile.ParamMembers]; len(text) > 0 && a.records != &text[0] {
		a.records, a.read, whole = &text[0], now, true
	}
	b, err := barrierOf(d, a.name, a.round)
	if err == nil && b.Verdict != "" {
		a.missing, a.own, a.due = 0, false, now.Add(restGone)
		return
	}
	var t Tally
	if err == nil {
		t, err = Count(d, a.name, a.round.N, b)
	}
	if err != nil || !t.Settled {
		a.missing, a.own, a.due = 0, false, time.Time{}
		return
	}
	a.total, a.missing, a.own = t.Total, t.Total-len(t.Done)-len(t.Failed), slices.Contains(t.Missing, uuid)
	rest := d.MostRest()
	if holds(d, uuid) {
		rest = min(rest, restHolder)
	}
	a.most = min(rest, restEach*time.Duration(t.Total))
	a.mostOwn = min(rest, 2*a.most)
	a.much = muchOf(d, a.total)
	switch due := !now.Before(a.due); {
	case a.own:
		a.seen = []sight{{now, a.missing}}
		a.rest = a.mostOwn
	case !whole && !due:
		return // the hot params, which say nothing of who came
	case !whole && a.much > 0:
		a.rest = max(hotLeast*time.Duration(a.total), now.Sub(a.read)/hotShare)
	default:
		a.rest = a.see(sight{now, a.missing}, ownBefore)
	}
	if a.due = now.Add(a.rest); a.much > 0 && a.missing <= 1 {
		a.due = time.Time{} // the hint is small
	}
}

// muchOf is how long looks of so many at the whole profile rest for its size.
func muchOf(d *profile.Document, members int) time.Duration {
	size := 0
	for _, value := range d.Params {
		size += len(value)
	}
	if rest := time.Duration(float64(members) * float64(size) / lookRate * float64(time.Second)); rest >= restMuch {
		return rest
	}
	return 0
}

// least is how long any look rests.
func (a *awaiting) least(now time.Time) time.Duration {
	return max(restLeast*time.Duration(a.total), min(now.Sub(a.begun)/restShare, restSome))
}

// see takes note of how many are missing, and returns how long the next look rests:
// until all but one of them should be there. doneNow says that the own machine was
// missing before.
func (a *awaiting) see(now sight, doneNow bool) time.Duration {
	least := a.least(now.at)
	rest, end := least, time.Duration(math.MaxInt64) // end is when all but one should be there
	switch last := len(a.seen) - 1; {
	case last < 0:
		a.seen = []sight{now}
	case doneNow:
		end = foretold(a.seen[last], now)
		rest = min(now.at.Sub(a.begun)/firstShare, restSome, end)
		a.before, a.seen, a.calmed = a.seen[last], []sight{now}, false
	case a.seen[last].missing <= now.missing: // other news
		a.seen[last], rest = now, 2*a.rest
	case a.calm(now, least): // of the pace after it nothing is known
		a.before, a.seen, a.calmed = a.seen[last], []sight{now}, true
	default:
		a.seen = append(a.seen, now)
		far := spanMost * now.at.Sub(a.seen[0].at)
		if !a.calmed {
			far = max(far, foretold(a.before, now))
		}
		end = min(foretold(a.newest(), now), far)
		rest = end
	}
	rest = max(least, rest, min(a.much, end))
	ahead := time.Duration(max(0, a.missing-1))
	return min(rest, a.most, restFew*ahead*ahead)
}

// newest returns the sight since which the newest of those came who tell the pace: a
// third as many as are missing, or all.
func (a *awaiting) newest() sight {
	for i := len(a.seen) - 2; i > 0; i-- {
		if s := a.seen[i]; 3*(s.missing-a.missing) >= a.missing {
			return s
		}
	}
	return a.seen[0]
}

// calm reports whether the look that sees now had to wait much longer for somebody
// to come than they took before it.
func (a *awaiting) calm(now sight, least time.Duration) bool {
	from, last := a.seen[0], a.seen[len(a.seen)-1]
	if len(a.seen) == 1 {
		from = a.before
	}
	var each time.Duration
	if came := time.Duration(from.missing - last.missing); came > 0 {
		each = last.at.Sub(from.at) / came
		each += each / came // few may have been fast by chance
	}
	return now.at.Sub(a.due) > max(least, calmTimes*each)
}

// foretold is how long all but one of those who are missing at now need if they come
// as fast as from then to now: less the more those may have been slow by chance.
// Where nobody came it is longer than any rest.
func foretold(then, now sight) time.Duration {
	came, ahead := float64(then.missing-now.missing), float64(now.missing-1)
	if came <= 0 {
		return math.MaxInt64
	}
	return time.Duration(float64(now.at.Sub(then.at)) / came * ahead / (1 + unsureTimes/math.Sqrt(came)))
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

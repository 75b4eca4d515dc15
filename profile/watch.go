package profile

import (
	"bytes"
	"context"
	"errors"
	mathrand "math/rand/v2"
	"time"
)

// Watch keeps a view up to date with the hot params of a store.
type Watch struct {
	Store Store
	View  *View
	// Pace says how old a look may be, 0 for the usual; nil is always the usual.
	Pace func() time.Duration
	// Outlook says how long looks may rest for the sake of those who wait, while
	// Pace is the usual; nil is never.
	Outlook Outlook
	// Hot says whether a look that is due by Outlook needs no more than the hot
	// params; nil is never.
	Hot func() bool
	// Trouble, which may be nil, is told when watching begins to fail, and with
	// nil when it works again.
	Trouble func(error)
	// Looked, which may be nil, is told whenever the view is known to be up to date.
	Looked func()
	// Random draws from [0, 1); nil takes math/rand/v2.
	Random func() float64
}

// Run watches until ctx ends, and returns its cause.
func (w Watch) Run(ctx context.Context) error {
	if w.Random == nil {
		w.Random = mathrand.Float64
	}
	doc, _ := w.View.Latest()
	run := &watching{Watch: w}
	holdOff := func() time.Duration {
		d, _ := w.View.Latest()
		return max(HoldOff(d, w.Random), run.slow)
	}
	news := func() <-chan struct{} {
		_, n := w.View.Latest()
		return w.View.After(n)
	}
	return Follow{
		Source: w.Store, Since: doc.Version, Known: run.known, Look: run.look, HoldOff: holdOff,
		Pace: run.pace, Outlook: run, News: news, Trouble: w.Trouble, Random: w.Random,
	}.Run(ctx)
}

// watching is one run of a Watch.
type watching struct {
	Watch
	asked    uint64        // number of the newest whole state after which was asked
	versions bool          // the endpoint has them
	slow     time.Duration // how long looks rest as the last one took its time

	unheard   int       // how many long polls that read failed in a row, though reading worked
	deafUntil time.Time // they are not tried, because they did not work
}

// known implements Follow.Known: whole states come with answers to one's own
// writes and reads.
func (w *watching) known(version string) string {
	if whole, n := w.View.whole(); whole != "" && n > w.asked {
		w.asked = n
		return whole
	}
	return version
}

// overtaken reports whether a whole state came since it was asked for news: then
// a hint says nothing, and the next is asked for about what is newer than that
// state.
func (w *watching) overtaken() bool {
	whole, n := w.View.whole()
	return whole != "" && n > w.asked
}

func (w *watching) look(ctx context.Context, version string) error {
	err := w.read(ctx, version)
	if err == nil && w.Looked != nil {
		w.Looked()
	}
	return err
}

func (w *watching) read(ctx context.Context, version string) error {
	names, hot := HotParams(), w.Hot != nil && w.pace() == 0 && w.Hot()
	if wanted, _ := w.View.Wanted(); !hot {
		names = append(names, wanted...)
	}
	d, _ := w.View.Latest()
	known, _ := w.View.whole()
	w.versions = w.versions || known != "" || version != ""
	switch {
	case !bytes.HasPrefix(d.Params[ParamMembers], []byte("{")): // read while it was edited by hand: it may have been mended
		names = append(names, ParamMembers)
	case version != "" && (w.overtaken() || known == version):
		return nil // the answer to one's own write said it all
	case version == "" && w.versions && !hot && !w.Due().IsZero():
		if known == "" { // put together of two: no state to ask after
			return w.View.Reread(ctx, w.Store)
		}
		return w.await(ctx, known)
	}
	asked := time.Now()
	err := w.View.Refresh(ctx, w.Store, names...)
	w.slow = min(slowTimes*time.Since(asked), slowMost)
	return err
}

// Between a hint and the look after it lies slowTimes as long as the last look took,
// slowMost at most: an endpoint that is slow is asked the more rarely.
const (
	slowTimes = 4
	slowMost  = 10 * time.Second
)

// await reads what is newer than the version known as soon as there is such a
// thing: where the next news is worth a look, a hint would be one request too many.
// A long poll that did not work says nothing about the profile: a plain read does.
func (w *watching) await(ctx context.Context, known string) error {
	waited, err := w.View.Await(ctx, w.Store, known, pollWait)
	switch {
	case err == nil && waited:
		w.unheard = 0
		return nil
	case err == nil:
		w.deafUntil = time.Now().Add(probeEvery)
		return nil
	case ctx.Err() != nil || !errors.Is(err, ErrUnavailable):
		return err
	}
	if err := w.View.Reread(ctx, w.Store); err != nil {
		return err
	}
	if w.unheard++; w.unheard == unheardMost {
		w.unheard, w.deafUntil = 0, time.Now().Add(probeEvery)
	}
	return nil
}

// pace is Pace, but there is no rest while somebody waits for a change.
func (w *watching) pace() time.Duration {
	if w.Pace == nil {
		return 0
	}
	pace := w.Pace()
	if _, waiters := w.View.Wanted(); waiters > 0 && pace > pollEvery {
		return 0
	}
	return pace
}

// Due implements Outlook.
func (w *watching) Due() time.Time {
	if w.Outlook == nil || w.pace() > 0 || time.Now().Before(w.deafUntil) {
		return time.Time{}
	}
	return w.Outlook.Due()
}

// Hold implements Outlook.
func (w *watching) Hold() time.Duration {
	if w.Outlook == nil || w.pace() > 0 || w.overtaken() {
		return 0
	}
	return w.Outlook.Hold()
}

// HoldOff is how long a member waits between a hint and reading, so that the
// reads of all members together stay bounded: 5 ms a member, 50 ms to 1 s, or 1 ms
// a member where that is more, but no longer than MostRest; less up to half of it
// by chance.
func HoldOff(d *Document, random func() float64) time.Duration {
	expected, err := d.Expected()
	if err != nil {
		return time.Second
	}
	members := time.Duration(expected.Count)
	most := max(holdOffLeast/4, min(time.Second, members*5*time.Millisecond))
	if many := members * time.Millisecond; many > most {
		most = max(most, min(many, d.MostRest()))
	}
	return time.Duration((0.5 + 0.5*random()) * float64(most))
}

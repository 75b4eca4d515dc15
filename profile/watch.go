package profile

import (
	"bytes"
	"context"
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
		return HoldOff(d, w.Random)
	}
	return Follow{
		Source: w.Store, Since: doc.Version, Known: run.known, Look: run.look, HoldOff: holdOff,
		Pace: run.pace, Outlook: run, Trouble: w.Trouble, Random: w.Random,
	}.Run(ctx)
}

// watching is one run of a Watch.
type watching struct {
	Watch
	asked uint64 // number of the newest whole state after which was asked
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
	wanted, _ := w.View.Wanted()
	names := append(HotParams(), wanted...)
	d, _ := w.View.Latest()
	switch known, _ := w.View.whole(); {
	case !bytes.HasPrefix(d.Params[ParamMembers], []byte("{")): // read while it was edited by hand: it may have been mended
		names = append(names, ParamMembers)
	case version != "" && (w.overtaken() || known == version):
		return nil // the answer to one's own write said it all
	case version == "" && known != "" && !w.Due().IsZero():
		// Without a hint only the whole tells which version this is, and
		// a long poll after an older one would end at once.
		return w.View.Reread(ctx, w.Store)
	}
	return w.View.Refresh(ctx, w.Store, names...)
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
	if w.Outlook == nil || w.pace() > 0 {
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
// reads of all members together stay bounded: 5 ms a member, 50 ms to 1 s, less
// up to half of it by chance.
func HoldOff(d *Document, random func() float64) time.Duration {
	expected, err := d.Expected()
	if err != nil {
		return time.Second
	}
	most := max(holdOffLeast/4, min(time.Second, time.Duration(expected.Count)*5*time.Millisecond))
	return time.Duration((0.5 + 0.5*random()) * float64(most))
}

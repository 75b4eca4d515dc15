package profile

import (
	"bytes"
	"context"
	mathrand "math/rand/v2"
	"time"

	"muster/internal/backoff"
)

// Times of watching. The wait is far below the ten minutes that DRP allows, so
// that proxies in between keep the connection; after it a look is taken
// whatever the endpoint says. Where the endpoint has no versions, or answers
// without waiting, polling takes over, and waiting is tried again hourly.
const (
	pollWait   = 2 * time.Minute
	pollEvery  = 5 * time.Second
	probeEvery = time.Hour
	// holdOffLeast bounds how often something is looked at.
	holdOffLeast = 200 * time.Millisecond
	// unheardMost is how many waits in a row may fail, though looking works,
	// until polling takes over: some proxies know no HEAD.
	unheardMost = 3
)

// source is what Follow asks for news: a Store or a MachineStore.
type source interface {
	Changed(ctx context.Context, since string, wait time.Duration) (string, error)
}

// Follow looks at something whenever it may have changed: by long poll where
// that works, by jittered polling where it does not. Every signal is only a
// hint to look.
type Follow struct {
	Source source
	Since  string // version of the state that is already known, or ""
	// Look reads again. version is what the endpoint announced, or "" when
	// polling and when a long poll ended without news.
	Look func(ctx context.Context, version string) error
	// HoldOff is how long to wait between a hint and the look, so that many
	// changes in a row cost one look; nil is 100 to 200 ms.
	HoldOff func() time.Duration
	// Pace says how old a look may be: a short one shortens polling and hold-off,
	// one above the usual polling lengthens both. 0, and nil, is the usual.
	Pace func() time.Duration
	// Trouble is told when looking begins to fail, and with nil when it works
	// again.
	Trouble func(error)
	// Random draws from [0, 1); nil takes math/rand/v2.
	Random func() float64
}

// Run follows until ctx ends, and returns its cause. Errors of the endpoint are
// outlived.
func (f Follow) Run(ctx context.Context) error {
	if f.Random == nil {
		f.Random = mathrand.Float64
	}
	if f.HoldOff == nil { // versions that never rest must not make a busy loop
		f.HoldOff = func() time.Duration { return time.Duration((0.5 + 0.5*f.Random()) * float64(holdOffLeast)) }
	}
	wait := backoff.New(200*time.Millisecond, pollEvery*2, f.Random)
	var pollUntil time.Time // polling, because waiting did not work
	failing, unheard := false, 0
	for {
		version, err := f.hint(ctx, failing, &pollUntil)
		if err != nil { // perhaps only the waiting does not work: a look tells
			if unheard++; unheard == unheardMost {
				pollUntil = time.Now().Add(probeEvery)
			}
			backoff.Sleep(ctx, wait.Next())
		} else {
			unheard = 0
		}
		if ctx.Err() == nil {
			err = f.Look(ctx, version)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if failing != (err != nil) && f.Trouble != nil {
			f.Trouble(err)
		}
		switch failing = err != nil; {
		case failing:
			unheard = 0 // the endpoint is away, or the token: nothing is known of waiting
			backoff.Sleep(ctx, wait.Next())
		case unheard == 0:
			wait.Reset()
		}
		if !failing && version != "" {
			f.Since = version
		}
	}
}

// hint blocks until a look is worth while. It returns the version announced.
func (f Follow) hint(ctx context.Context, failing bool, pollUntil *time.Time) (string, error) {
	if failing { // a look is worth while as soon as it works, though nothing has changed
		return f.Source.Changed(ctx, "", 0)
	}
	if time.Now().Before(*pollUntil) {
		return "", f.sleep(ctx)
	}
	asked := time.Now()
	version, err := f.Source.Changed(ctx, f.Since, pollWait)
	if err != nil {
		return "", err
	}
	ignored := version == f.Since && time.Since(asked) < pollWait/2
	if version == "" || ignored {
		*pollUntil = time.Now().Add(probeEvery)
		return "", f.sleep(ctx)
	}
	if version == f.Since {
		return "", nil // waited in vain: look all the same
	}
	if f.Since != "" {
		return version, f.hold(ctx)
	}
	return version, nil
}

// sleep waits for the next poll, ±20 %.
func (f Follow) sleep(ctx context.Context) error {
	return f.rest(ctx, func() time.Duration {
		if pace := f.pace(); pace > 0 {
			return pace
		}
		return pollEvery
	}, 0.8+0.4*f.Random())
}

// hold waits between a hint and the look.
func (f Follow) hold(ctx context.Context) error {
	usual := f.HoldOff()
	return f.rest(ctx, func() time.Duration {
		switch pace := f.pace(); {
		case pace > pollEvery:
			return pace
		case pace > 0:
			return min(usual, holdOffLeast/4)
		}
		return usual
	}, 1)
}

// paceEvery is how often a wait looks whether it became shorter.
const paceEvery = 500 * time.Millisecond

// rest waits for share of what length says, which may become shorter meanwhile.
func (f Follow) rest(ctx context.Context, length func() time.Duration, share float64) error {
	begun := time.Now()
	for {
		left := time.Duration(share*float64(length())) - time.Since(begun)
		if left <= 0 {
			return nil
		}
		if err := backoff.Sleep(ctx, min(left, paceEvery)); err != nil {
			return err
		}
	}
}

func (f Follow) pace() time.Duration {
	if f.Pace == nil {
		return 0
	}
	return f.Pace()
}

// Watch keeps a view up to date with the hot params of a store.
type Watch struct {
	Store Store
	View  *View
	// Pace says how old a look may be, 0 for the usual; nil is always the usual.
	Pace func() time.Duration
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
	look := func(ctx context.Context, version string) error {
		wanted, _ := w.View.Wanted()
		names := append(HotParams(), wanted...)
		d, _ := w.View.Latest()
		if !bytes.HasPrefix(d.Params[ParamMembers], []byte("{")) { // read while it was edited by hand: it may have been mended
			names = append(names, ParamMembers)
		} else if version != "" && d.Version == version {
			return nil // the answer to one's own write said it all
		}
		return w.View.Refresh(ctx, w.Store, names...)
	}
	noted := func(ctx context.Context, version string) error {
		err := look(ctx, version)
		if err == nil && w.Looked != nil {
			w.Looked()
		}
		return err
	}
	holdOff := func() time.Duration {
		d, _ := w.View.Latest()
		return HoldOff(d, w.Random)
	}
	return Follow{Source: w.Store, Since: doc.Version, Look: noted, HoldOff: holdOff, Pace: w.pace, Trouble: w.Trouble, Random: w.Random}.Run(ctx)
}

// pace is Pace, but there is no rest while somebody waits for a change.
func (w Watch) pace() time.Duration {
	if w.Pace == nil {
		return 0
	}
	pace := w.Pace()
	if _, waited := w.View.Wanted(); waited && pace > pollEvery {
		return 0
	}
	return pace
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

package profile

import (
	"context"
	mathrand "math/rand/v2"
	"slices"
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
	// with one above the usual polling nothing else makes one due. 0, and nil, is
	// the usual.
	Pace func() time.Duration
	// Known returns the version of the newest state that is known, if that came
	// from elsewhere since it was asked last, or else version; nil always returns
	// version.
	Known func(version string) string
	// Outlook says how long looks may rest by what is known; nil takes the usual.
	Outlook Outlook
	// News returns a channel that is closed when more is known than now, by which a
	// look may be due at another time; nil is never.
	News func() <-chan struct{}
	// Trouble is told when looking begins to fail, and with nil when it works
	// again.
	Trouble func(error)
	// Random draws from [0, 1); nil takes math/rand/v2.
	Random func() float64
}

// Outlook is asked again and again, as looks may become due sooner.
type Outlook interface {
	// Due is the moment at which a look is worth while though no hint has come,
	// and before which none is; zero if hints are to be waited for.
	Due() time.Time
	// Hold is the least time between a hint, or a poll, and the look after it.
	Hold() time.Duration
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
func (f *Follow) hint(ctx context.Context, failing bool, pollUntil *time.Time) (string, error) {
	if failing { // a look is worth while as soon as it works, though nothing has changed
		return f.Source.Changed(ctx, "", 0)
	}
	if time.Now().Before(*pollUntil) {
		return "", f.sleep(ctx)
	}
	if rested, err := f.rest(ctx); rested || err != nil {
		return "", err
	}
	if due, err := f.untilDue(ctx); due || err != nil {
		return "", err
	}
	since, asked := f.known(), time.Now()
	version, err := f.Source.Changed(ctx, since, pollWait)
	if err != nil {
		return "", err
	}
	ignored := version == since && time.Since(asked) < pollWait/2
	if version == "" || ignored {
		*pollUntil = time.Now().Add(probeEvery)
		return "", f.sleep(ctx)
	}
	if version == since {
		return "", nil // waited in vain: look all the same
	}
	if since != "" {
		return version, f.hold(ctx)
	}
	return version, nil
}

// rest waits for the next look where one may be older than is usually polled, for as
// long as it may: there is always news then, so that a hint says nothing.
func (f Follow) rest(ctx context.Context) (rested bool, err error) {
	if f.pace() <= pollEvery {
		return false, nil
	}
	begun, share := time.Now(), 0.8+0.4*f.Random()
	return true, f.until(ctx, func() time.Time {
		if pace := f.pace(); pace > pollEvery {
			return begun.Add(time.Duration(share * float64(pace)))
		}
		return begun
	})
}

// untilDue waits for a look that is due without a hint, for as long as one is.
func (f Follow) untilDue(ctx context.Context) (due bool, err error) {
	if f.Since == "" { // nothing tells what is news
		return false, nil
	}
	for asked := time.Now(); ; {
		var news <-chan struct{}
		if f.News != nil {
			news = f.News()
		}
		moment := f.due()
		if moment.IsZero() {
			return false, nil
		}
		left := time.Until(latest(moment, asked.Add(holdOffLeast)))
		if left <= 0 {
			return true, nil
		}
		if err := backoff.Doze(ctx, min(left, paceEvery), news); err != nil {
			return false, err
		}
	}
}

// sleep waits for the next poll, ±20 %.
func (f Follow) sleep(ctx context.Context) error {
	begun, share := time.Now(), 0.8+0.4*f.Random()
	return f.until(ctx, func() time.Time {
		every := pollEvery
		if pace := f.pace(); pace > 0 {
			every = pace
		}
		return latest(begun.Add(time.Duration(share*float64(max(every, f.held())))), f.due())
	})
}

// hold waits between a hint and the look.
func (f Follow) hold(ctx context.Context) error {
	begun, usual := time.Now(), f.HoldOff()
	return f.until(ctx, func() time.Time {
		length := max(usual, f.held())
		switch pace := f.pace(); {
		case pace > pollEvery:
			length = pace
		case pace > 0:
			length = min(usual, holdOffLeast/4)
		}
		return begun.Add(length)
	})
}

// paceEvery is how often a wait looks whether it became shorter.
const paceEvery = 500 * time.Millisecond

// until waits for a moment, which may become another meanwhile.
func (f Follow) until(ctx context.Context, moment func() time.Time) error {
	for {
		left := time.Until(moment())
		if left <= 0 {
			return nil
		}
		if err := backoff.Sleep(ctx, min(left, paceEvery)); err != nil {
			return err
		}
	}
}

func latest(moments ...time.Time) time.Time { return slices.MaxFunc(moments, time.Time.Compare) }

func (f Follow) due() time.Time {
	if f.Outlook == nil {
		return time.Time{}
	}
	return f.Outlook.Due()
}

func (f Follow) held() time.Duration {
	if f.Outlook == nil {
		return 0
	}
	return f.Outlook.Hold()
}

func (f *Follow) known() string {
	if f.Known != nil {
		f.Since = f.Known(f.Since)
	}
	return f.Since
}

func (f Follow) pace() time.Duration {
	if f.Pace == nil {
		return 0
	}
	return f.Pace()
}

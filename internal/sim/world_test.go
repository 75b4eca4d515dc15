package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/lincheck"
	"muster/profile"
	"muster/profile/memory"
)

const cluster = "cluster-1"

// world is one simulated cluster, in a bubble of simulated time.
type world struct {
	*memory.Profile
	*plan
	began  time.Time
	hosts  []*host
	judge  *judge
	stage  *stage
	tally  *tally
	procs  sync.WaitGroup // everything that runs
	calm   atomic.Bool
	backup atomic.Pointer[profile.Document] // what a restore brings back
	skew   atomic.Int64                     // of the endpoint's clock, in ns
	busy   sync.Map                         // kinds that are under way in the whole world
	events atomic.Uint64                    // a hash of what happened when
}

// result is what one seed came to.
type result struct {
	violations []string
	events     uint64        // hash of what happened when
	history    []lincheck.Op // of the slots
	lived      time.Duration // of all members together
	operations int
	tenures    int
	tally      *tally
	met        met
}

// simulate lets one seed happen.
func simulate(t *testing.T, p *plan) (r result) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, p)
		ctx, cancel := context.WithCancelCause(context.Background())
		for _, h := range w.hosts {
			w.procs.Go(func() { h.supervise(ctx, h.source("supervise")) })
			w.procs.Go(func() { h.runner(ctx, h.source("runner")) })
			w.procs.Go(func() { h.misfortunes(ctx, h.source("misfortunes")) })
		}
		w.procs.Go(func() { w.backups(ctx) })
		w.procs.Go(func() { w.stray(w.stream("strays")) })
		w.procs.Go(func() { w.operate(ctx, w.stream("operators")) })
		time.Sleep(w.storm)
		w.calm.Store(true)
		w.settle()
		w.stage.judge(w.judge)
		cancel(errOver)
		w.procs.Wait()
		time.Sleep(2 * time.Minute) // whatever is on its way arrives
		w.judge.final()
		r = result{
			violations: w.judge.found(), events: w.events.Load(), history: w.judge.history, lived: time.Since(w.began) * time.Duration(len(w.hosts)),
			operations: int(w.judge.operations.Load()), tenures: len(w.judge.used), tally: w.tally, met: w.judge.met,
		}
	})
	// Outside of the bubble, where the search is bounded by real time.
	if err := lincheck.Check(r.history, 5*time.Second); err != nil {
		r.violations = append(r.violations, err.Error())
	}
	return r
}

func newWorld(t *testing.T, p *plan) *world {
	params, err := p.planted().Params()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{plan: p, began: time.Now(), tally: newTally()}
	w.judge, w.stage = newJudge(w), &stage{world: w, forced: map[profile.Tenure]bool{}}
	w.Profile = memory.New(cluster, params)
	w.SetClock(func() time.Time { return time.Now().Add(time.Duration(w.skew.Load())) })
	w.OnCommit(w.judge.commit)
	c := &profile.Change{}
	for p, v := range w.judge.plantUnknown() {
		c.Set(p, v)
	}
	for _, name := range []string{profile.ParamRound, profile.ParamSlots} { // seen by the judge
		c.Set(profile.At(name), params[name])
	}
	if _, err := w.Store(nil).Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.backup.Store(w.Document())
	for i, uuid := range p.uuids() {
		h := &host{world: w, uuid: uuid, rate: p.rates[i], turns: map[point]turn{}, window: map[kind]time.Time{}, births: map[string]int{}}
		h.state = profile.State{UUID: uuid, Profile: cluster}
		at := profile.Machine{UUID: uuid, Name: "host " + uuid, Workflow: "w", Runnable: true, Task: 1, Job: "job 0"}
		if p.stale {
			at.Complete, at.Task, at.JobState = true, 3, "finished"
		}
		h.machine = memory.NewMachine(at)
		w.hosts = append(w.hosts, h)
	}
	return w
}

// isCalm reports whether faults have ended.
func (w *world) isCalm() bool { return w.calm.Load() }

// stream returns random numbers that depend on the seed and the use alone.
func (p *plan) stream(use string) *rand.Rand { return p.at(0, use) }

// at returns random numbers that depend on the seed, the use and the moment.
func (p *plan) at(moment time.Duration, use string) *rand.Rand {
	sum := fnv.New64a()
	sum.Write([]byte(use))
	return rand.New(rand.NewPCG(p.seed^sum.Sum64(), uint64(moment)))
}

// ended takes note of what an agent ended with, by itself.
func (w *world) ended(h *host, err error) {
	w.trace("%s ends with %v", h.uuid, err)
	malformed := errors.Is(err, profile.ErrMalformed) && h.life.peer == nil // while it joins: it is started again
	if context.Cause(h.life.ctx) == nil && !malformed && !w.judge.restored() {
		w.judge.violation("%s ended by itself: %v", h.uuid, err)
	}
}

// happens adds something to the hash of what happened when. Of two things at
// one moment it does not say which came first: nor does the seed.
func (w *world) happens(what ...any) {
	sum := fnv.New64a()
	fmt.Fprint(sum, time.Since(w.began), what)
	w.events.Add(sum.Sum64())
	w.trace("%s", fmt.Sprint(what...))
}

// trace tells what happens, if it was asked for.
func (w *world) trace(format string, args ...any) {
	if *flagTrace {
		fmt.Printf("%-14s %s\n", time.Since(w.began), fmt.Sprintf(format, args...))
	}
}

// settle waits until everything is as it has to be once faults have ended.
func (w *world) settle() {
	end := time.Now().Add(w.patience)
	for {
		lacks := w.judge.lacks()
		if lacks == "" {
			return
		}
		if time.Now().After(end) && w.judge.restoredAgain() {
			return
		}
		if time.Now().After(end) {
			w.judge.violation("%s after it was calm: %s", w.patience, lacks)
			return
		}
		time.Sleep(5 * time.Second)
	}
}

// misfortunes happen to a host by the time that passes.
func (h *host) misfortunes(ctx context.Context, random *rand.Rand) {
	most := map[scene]time.Duration{rounds: 4 * time.Minute, meetings: 4 * time.Minute, ends: 30 * time.Second}[h.world.scene]
	if most == 0 {
		most = 80 * time.Second
	}
	for !h.world.isCalm() && ctx.Err() == nil {
		time.Sleep(between(random, time.Second, most))
		h.mu.Lock()
		l := h.life
		h.mu.Unlock()
		if l == nil || h.world.isCalm() {
			continue
		}
		k := []kind{cut, cutReads, cutWrites, cutReplies, pauseAfter, killAfter, ""}[random.IntN(7)]
		if h.world.scene == ends && random.IntN(2) == 0 {
			k = ""
		}
		switch k {
		case "": // no fault, but an end as it should be
			l.cancel(errOver)
			continue
		case pauseAfter:
			l.pause(h.world.longPause(random))
		case killAfter:
			l.kill()
		default:
			l.cutFor(k, between(random, time.Second, 4*h.world.ttl))
		}
		h.world.tally.hit(k, "any", true)
	}
}

// longPause is longer than a TTL.
func (p *plan) longPause(random *rand.Rand) time.Duration {
	return between(random, p.ttl*11/10, 3*p.ttl)
}

// backups keeps an old state for a restore, older than any request under way.
func (w *world) backups(ctx context.Context) {
	for !w.isCalm() && ctx.Err() == nil {
		d, sound := w.Document(), !w.judge.editing.Load()
		time.Sleep(time.Minute + 7*time.Second)
		if sound {
			w.backup.Store(d)
		}
	}
}

// begin reports whether something of this kind may happen to the profile as a
// whole: the same is not under way.
func (w *world) begin(k kind) bool {
	_, busy := w.busy.LoadOrStore(k, true)
	return !busy
}

// suffer makes it happen, once it has begun.
func (w *world) suffer(k kind, random *rand.Rand) {
	defer w.busy.Delete(k)
	switch k {
	case restore:
		w.restore()
	case edit:
		w.edit(random)
	case foreign:
		w.foreign(random)
	case jump:
		w.jump(random)
	}
}

const tenYears = 10 * 365 * 24 * time.Hour

// jump sets the endpoint's clock ten years wrong, or right. One that may be
// restored goes forward only, and for 200 years: nobody promises that epochs
// rise in a restored profile with a clock that was set back.
func (w *world) jump(random *rand.Rand) {
	if now := time.Duration(w.skew.Load()); w.restores {
		w.skew.Store(int64(min(now+tenYears, 20*tenYears)))
		return
	}
	w.skew.Store(int64([]time.Duration{0, tenYears, -tenYears}[random.IntN(3)]))
}

func (w *world) restore() {
	params := maps.Clone(w.backup.Load().Params)
	params[paramRestored] = fmt.Append(nil, time.Since(w.began).Nanoseconds())
	w.Restore(params)
	time.Sleep(20 * time.Second)
}

// stray restores the profile now and then.
func (w *world) stray(random *rand.Rand) {
	for w.scene == strays && !w.isCalm() {
		if time.Sleep(between(random, 60*time.Second, 120*time.Second)); !w.isCalm() && w.begin(restore) {
			w.suffer(restore, random)
		}
	}
}

// foreign writes 50 times a second what is none of ours.
func (w *world) foreign(random *rand.Rand) {
	store := w.Store(nil)
	for n := range 100 + random.IntN(200) {
		c := &profile.Change{}
		c.Set(profile.At("site/foreign"), n)
		store.Apply(context.Background(), c)
		time.Sleep(20*time.Millisecond + time.Duration(random.IntN(1000)))
	}
}

// wrong are params, and what somebody makes of them by hand.
var wrong = map[string]string{
	profile.ParamRoles: `5`, profile.ParamPaused: `"no"`, profile.ParamLeaderCount: `"three"`, profile.ParamLeaders: `{}`,
	profile.ParamExpected: `[]`, profile.ParamRound: `"2"`, profile.ParamBarriers: `7`, profile.ParamSlots: `[]`, profile.ParamMembers: `null`,
}

// edit makes a param malformed, and mends it later.
func (w *world) edit(random *rand.Rand) {
	names := profile.HotParams()
	name := names[random.IntN(len(names))]
	if _, known := wrong[name]; !known {
		name = profile.ParamMembers
	}
	w.judge.editing.Store(true)
	defer w.judge.editing.Store(false)
	good := w.byHand(name, func(json.RawMessage) json.RawMessage { return json.RawMessage(wrong[name]) })
	time.Sleep(between(random, time.Second, 12*time.Second))
	w.byHand(name, func(now json.RawMessage) json.RawMessage {
		if string(now) == wrong[name] {
			return good
		}
		return now // mended meanwhile: a leader does that for its list
	})
}

// byHand makes something else of a param, and returns what it was.
func (w *world) byHand(name string, into func(json.RawMessage) json.RawMessage) json.RawMessage {
	for {
		d := w.Document()
		c := &profile.Change{}
		c.TestAsRead(d, profile.At(name))
		c.Set(profile.At(name), into(d.Params[name]))
		if _, err := w.Store(nil).Apply(context.Background(), c); err == nil || !errors.Is(err, profile.ErrConflict) {
			return d.Params[name]
		}
	}
}

// applied carries a change out and takes note of it. The second copy of one that
// arrives twice may land though the first is refused.
func (w *world) applied(s *memory.Store, ctx context.Context, c *profile.Change, twice bool) (*profile.Document, error) {
	w.judge.operations.Add(1)
	called := time.Since(w.began)
	d, err := s.Apply(ctx, c)
	switch {
	case err == nil:
		w.judge.record(c, called, lincheck.Landed)
	case errors.Is(err, profile.ErrUnknownOutcome), twice:
		w.judge.record(c, called, lincheck.Unknown)
	}
	return d, err
}

func (p *plan) uuids() []string {
	list := make([]string, p.members)
	for i := range list {
		list[i] = fmt.Sprintf("u%03d", i)
	}
	return list
}

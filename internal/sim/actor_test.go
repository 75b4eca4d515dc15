package sim

import (
	"context"
	"errors"
	"time"

	"muster/agent"
	"muster/coordinator"
	"muster/election"
	"muster/internal/backoff"
	"muster/profile"
)

// work is what users of leadership do on this host: for as long as it leads in
// a role they act, and now and then they write under its tenure.
func (l *life) work(peer *agent.Peer) {
	l.world.procs.Go(l.wait)
	for _, role := range l.world.roles() {
		l.world.procs.Go(func() {
			for {
				led, err := peer.Elector.Await(l.ctx, role)
				if err != nil {
					return
				}
				l.lead(peer, led)
			}
		})
	}
}

// wait waits for the verdict of one round after the other, as local commands do.
func (l *life) wait() {
	for seen := uint64(0); ; {
		d, n, err := l.view.Wait(l.ctx, seen)
		if err != nil {
			return
		}
		seen = n
		round, err := d.Round()
		if err != nil {
			continue
		}
		if out, _ := coordinator.Wait(l.ctx, l.view, profile.BarrierComplete, round, nil); out.Verdict != "" {
			l.world.judge.heard(l.uuid, round, out.Verdict)
		}
	}
}

// lead is one user of one leadership, from its begin to its end.
func (l *life) lead(peer *agent.Peer, led *election.Leadership) {
	random := l.source("lead")
	act := l.world.stage.enter(l, led.Tenure())
	defer act.leave()
	use, err := led.Use()
	if err != nil {
		return // it ended before it began to be used
	}
	l.world.procs.Go(func() { l.acknowledge(led, use) })
	for led.Context().Err() == nil {
		pause := time.NewTimer(between(random, time.Second, 30*time.Second))
		select {
		case <-pause.C:
			l.stopped()
			l.fenced(led.Context(), led.Tenure())
			if random.IntN(20) == 0 {
				l.resign(peer, led.Tenure().Role)
			}
		case <-led.Context().Done():
		}
		pause.Stop()
	}
	deadlines, _ := led.Deadlines()
	if cause := context.Cause(led.Context()); errors.Is(cause, election.ErrGivenUp) && l.ctx.Err() == nil {
		l.wind(random.Float64(), deadlines)
	}
	act.leave()
	use.Done()
	l.fenced(l.ctx, led.Tenure()) // stale: it must not land
}

// wind is the time that something needs to end, within its deadline.
func (l *life) wind(share float64, d election.Deadlines) {
	left := 2 * time.Second
	if d.Kill > 0 {
		left = time.Duration(float64(d.Kill-l.clock().read()) / l.rate)
	}
	backoff.Sleep(l.ctx, time.Duration(share*float64(left)))
}

// acknowledge keeps up with the deadlines of a leadership.
func (l *life) acknowledge(led *election.Leadership, use *election.Use) {
	acked := time.Duration(-1)
	for {
		d, changed := led.Deadlines()
		if l.stopped(); d.Kill != acked { // its own word is a change too
			acked = d.Kill
			use.Ack(acked)
			continue
		}
		select {
		case <-changed:
		case <-led.Context().Done():
			return
		}
	}
}

func (l *life) resign(peer *agent.Peer, role string) {
	l.world.procs.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, time.Minute)
		defer cancel()
		peer.Elector.Resign(ctx, role)
	})
}

// fenced makes one write that may land only under the tenure t.
func (l *life) fenced(ctx context.Context, t profile.Tenure) {
	tried := false
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	l.member.Write(ctx, func(d *profile.Document) (*profile.Change, error) {
		if tried { // the first time nothing that was read decides
			if now, held := l.member.Tenure(d, t.Role); !held || now != t {
				return nil, profile.ErrLost
			}
		}
		tried = true
		c := t.Guard()
		c.Set(profile.At(paramActs+t.Role+"/"+t.Slot), t)
		return c, nil
	})
}

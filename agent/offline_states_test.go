package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"muster/profile"
)

// state is one column of the offline table: what an agent is at.
type state struct {
	name string
	// during says what it does while the mishap lasts.
	during string
	// on is how long after the end of the mishap it goes on at the latest.
	on      time.Duration
	kept    bool           // nothing changes at all
	reads   bool           // reading is enough to go on
	ends    map[string]end // by mishap, where it ends at once
	outage  time.Duration  // how long a mishap lasts, unless it heals by itself
	machine bool           // the agent has its machine's token
	ttl     time.Duration
	ready   func(*cell)
	// act is called right after the mishap has begun. It returns when the agent
	// has gone on, or why it did not.
	act func(*cell) error
}

// end is how a command or an agent ends at once.
type end struct {
	err error
	as  string
}

// long is how long a mishap lasts.
const long = 2 * time.Minute

// leaseTTL is the TTL where a lease is held. With a shorter one a half-open
// connection may be noticed too late.
const leaseTTL = time.Minute

var (
	exit2 = end{profile.ErrNotFound, "exit 2"}
	exit6 = end{profile.ErrRefused, "exit 6"}
)

var states = []state{
	{
		name: "joins for the first time", outage: long, on: joinPoll, ends: map[string]end{"401": exit6, "403": exit6, "404": exit2},
		during: "tries again every 5 s, and says what is in the way; it has no socket yet. What most likely is a wrong token or name ends it",
		ready:  func(*cell) {}, act: (*cell).join,
	},
	{
		name: "joins again", outage: long, reads: true, on: joinPoll, during: "the same, but nothing ends it: what was good before may be so again",
		ready: (*cell).restart, act: (*cell).join,
	},
	{
		name: "waits at a gate", outage: long, reads: true, on: 10 * time.Second, during: "the gate stays shut, whatever happens meanwhile",
		ready: (*cell).waitsAlready, act: (*cell).opens,
	},
	{
		name: "begins to wait", outage: long, reads: true, on: 10 * time.Second, ends: map[string]end{"404": exit2}, during: "the same; a profile that is not there is said at once",
		ready: (*cell).run, act: func(c *cell) error { c.wait(); return c.opens() },
	},
	{
		name: "holds a sticky slot", outage: long, kept: true, during: "leads on: nobody else may claim the slot",
		ready: (*cell).lead, act: func(c *cell) error { return c.leadsFor(long + time.Minute) },
	},
	{
		name: "holds a lease", outage: long, ttl: leaseTTL, on: 10 * time.Second, during: "leads until 2/3 TTL after its last renewal, not longer; after the mishap it gives the slot back, and races for it. Kept with a TTL of a minute or more",
		ready: (*cell).lead, act: (*cell).leadsAgain,
	},
	{
		name: "records its run", outage: long, machine: true, on: 10 * time.Second, during: "tries again until it is recorded, once; the run itself is kept on disk",
		ready: func(c *cell) { c.run(); c.site.start(); time.Sleep(10 * time.Second) },
		act: func(c *cell) error {
			c.site.complete()
			return c.until(time.Second, func() bool { return c.record().Results["1"] == profile.Complete })
		},
	},
	{
		name: "reports by a command", outage: 10 * time.Second, on: 5 * time.Second, ends: map[string]end{"401": exit6, "403": exit6, "404": exit2},
		during: "the command tries again for 30 s, then exit 5 (4 where all was refused as a conflict); a refusal is said at once",
		ready:  (*cell).lead, act: (*cell).reports,
	},
	{
		name: "ends a step", outage: long, on: 5 * time.Second, during: "the step has ended on disk; where the profile cannot be told within 30 s the command says so, and run again tells it, without the step being run",
		ready: (*cell).lead, act: (*cell).endsStep,
	},
}

// run lets the agent join and run.
func (c *cell) run() {
	c.check(c.agent.Join(c.ctx, false))
	c.ran = make(chan error, 1)
	go func() { c.ran <- c.agent.Run(c.ctx) }()
}

func (c *cell) join() error { return c.agent.Join(c.ctx, true) }

// restart is an agent that has joined, ended and is started again.
func (c *cell) restart() {
	c.check(c.agent.Join(c.ctx, false))
	c.check(c.agent.Close())
	c.open(c.agent.cfg)
}

// waitsAlready is an agent through which a command waits.
func (c *cell) waitsAlready() {
	c.run()
	c.wait()
	time.Sleep(12 * time.Second)
}

func (c *cell) wait() {
	go func() {
		_, err := c.agent.Wait(c.ctx, Waiting{}, nil)
		c.waiting <- err
	}()
}

// opens lets the gate open when some time has passed, and not before.
func (c *cell) opens() error {
	c.site.stir()
	shut := long / 2
	if c.mishap.heals {
		shut = time.Second
	}
	select {
	case err := <-c.waiting:
		return cmp.Or(err, errTooEarly)
	case <-time.After(shut):
	}
	c.site.open()
	c.event = time.Now()
	return <-c.waiting
}

var errTooEarly = errors.New("the gate opened before there was a verdict")

// lead leads the role leader, for a while.
func (c *cell) lead() {
	c.run()
	c.check(c.until(100*time.Millisecond, func() bool { return c.led() != profile.Tenure{} }))
	time.Sleep(12 * time.Second)
}

func (c *cell) led() profile.Tenure {
	t, _, err := c.agent.peer.Elector.Leads(profile.Leader)
	if err != nil {
		return profile.Tenure{}
	}
	return t
}

// leadsFor looks for so long whether the tenure is led.
func (c *cell) leadsFor(most time.Duration) error {
	t := c.led()
	for began := time.Now(); time.Since(began) < most; time.Sleep(100 * time.Millisecond) {
		if c.led() != t {
			return fmt.Errorf("it is not led any more after %v", time.Since(began))
		}
	}
	return nil
}

// leadsAgain loses a lease in time, and gets it back.
func (c *cell) leadsAgain() error {
	if c.mishap.heals { // soon enough
		return c.leadsFor(long)
	}
	t, began := c.led(), time.Now()
	for c.led() == t {
		time.Sleep(100 * time.Millisecond)
	}
	if lasted := time.Since(began); lasted > profile.ActFor(leaseTTL)+time.Second {
		return fmt.Errorf("leadership lasted %v without a renewal", lasted)
	}
	return c.until(100*time.Millisecond, func() bool { return c.led() != profile.Tenure{} })
}

// commandMost is how long commands try.
const commandMost = 30 * time.Second

func (c *cell) reports() error {
	ctx, cancel := context.WithTimeout(c.ctx, commandMost)
	defer cancel()
	if _, err := c.agent.Report(ctx, profile.Running); err != nil {
		return err
	}
	if run := c.record().Run; run.State != profile.Running || run.N != 1 {
		return fmt.Errorf("the report landed as %+v", run)
	}
	return nil
}

// endsStep ends a step, and when the mishap is over runs the command again if
// the profile was not told.
func (c *cell) endsStep() error {
	d, _ := c.agent.view.Latest()
	round, err := d.Round()
	c.check(err)
	_, _, err = c.agent.BeginStep(c.ctx, "install", round, false)
	c.check(err)
	const exit = 3
	ctx, cancel := context.WithTimeout(c.ctx, commandMost)
	defer cancel()
	err = c.agent.EndStep(ctx, "install", round, exit)
	if note, again, err := c.agent.BeginStep(c.ctx, "install", round, false); err != nil || !again || note.Exit != exit {
		return fmt.Errorf("the step would run again: %+v, %v: %w", note, again, err)
	}
	if !errors.Is(err, c.mishap.err) {
		return fmt.Errorf("the end of the step was told with: %w, want %w", err, c.mishap.err)
	}
	if err != nil {
		<-c.over
		c.check(c.agent.EndStep(c.ctx, "install", round, exit))
	}
	if told := c.record().Steps["install"]; told.Exit != exit {
		return fmt.Errorf("the profile was told %+v", told)
	}
	return nil
}

var errNotBack = errors.New("it did not come back")

// until waits for something to be so, and looks from time to time.
func (c *cell) until(every time.Duration, so func() bool) error {
	for began := time.Now(); !so(); time.Sleep(every) {
		if time.Since(began) > 2*long {
			return errNotBack
		}
	}
	return nil
}
